"""Coverage of 95 % intervals from few runs: the percentile bootstrap used before, and the methods used now.

    python benchmarks/intervals.py

Networks are simulated, so that the truth is known: logits are a signal that all runs share, plus directions that each
run draws, plus contributions of its checkpoints or samples. Each of seven claims is judged many times from new runs and
new images. Coverage is how often the interval contains the truth. A false verdict is an interval that lies entirely on
one side of the truth, the side where this happens more often: how often a verdict is wrong if the criterion lies just
beyond the truth. It should be at most 0.025; below four runs the new methods give no interval, hence no verdict.
"""

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
import typer
from scipy.special import entr, softmax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.report import RESULTS, Report, aligned, circumstances, say
from lib.metrics import cosine_similarity, disagreement
from lib.metrics.comparison import equidistant
from lib.metrics.intervals import Estimate, equal_sizes, extreme, interval, mean_over, pairs, share

CLASSES, DIRECTIONS = 4, 12

#: Resamples of images for the current interval: fewer than claims use, enough for an average over data sets.
RESAMPLES = 100

#: Strengths of the signal at the shifts of the JSD margin. Margins are nearly equal, which is the hardest case.
SIGNALS = (2.0, 1.6, 1.2)


# Simulated runs


@dataclass(frozen=True)
class Task:
    """Images, represented by what their logits depend on: a shared part `(n, K)` and features `(directions, n K)`."""

    shared: np.ndarray
    features: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, images: int, signal: float) -> "Task":
        """New images; class 0 is correct, with a signal of the given strength."""
        shared = rng.standard_normal((images, CLASSES), np.float32)
        shared[:, 0] += signal
        return cls(
            shared, rng.standard_normal((DIRECTIONS, images * CLASSES), np.float32) / np.float32(DIRECTIONS**0.5)
        )

    def logits(self, runs: np.ndarray) -> np.ndarray:
        """Logits `(M, n, K)` of runs `(M, directions)`."""
        return self.shared + (runs @ self.features).reshape(len(runs), *self.shared.shape)


def new_runs(rng: np.random.Generator, members: int) -> np.ndarray:
    """New runs `(M, directions)`, which differ in direction and in length."""
    runs = rng.normal(size=(members, DIRECTIONS)) * np.exp(0.15 * rng.normal(size=(members, 1)))
    return runs.astype(np.float32)


def logits(rng: np.random.Generator, members: int, images: int, signal: float = 2.0) -> np.ndarray:
    """Logits `(M, n, K)` of new runs on new images."""
    return Task.drawn(rng, images, signal).logits(new_runs(rng, members))


def near(rng: np.random.Generator, base: np.ndarray, count: int, spread: float) -> np.ndarray:
    """Checkpoints or samples `(count, ..., M, n, K)` around every run `(..., M, n, K)`; runs differ in spread."""
    widths = spread * np.exp(0.25 * rng.standard_normal((base.shape[-3], 1, 1), np.float32))
    return base + widths * rng.standard_normal((count, *base.shape), np.float32)


def jsd(probs: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence over the first axis per example, in nats: `(N, ..., K)` to `(...)`."""
    return entr(probs.mean(axis=0)).sum(axis=-1) - entr(probs).sum(axis=-1).mean(axis=0)


def right(probs: np.ndarray) -> np.ndarray:
    """Whether the top class is correct: `(..., K)` to `(...)`."""
    return (probs.argmax(axis=-1) == 0).astype(np.float32)


# The previous interval


def bootstrap(statistic: Callable[..., float], resamples: int, **sizes: int) -> Estimate:
    """Percentile bootstrap over `members`, or over these and `images`; resamples without a value are drawn again."""
    rng, found = np.random.default_rng(0), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # from the empty mean if only one member was drawn
        while len(found) < resamples:
            value = float(statistic(**{name: rng.integers(size, size=size) for name, size in sizes.items()}))
            found += [value] if math.isfinite(value) else []
    return Estimate(math.nan, *np.quantile(found, [0.025, 0.975]).tolist())


def distinct_pairs(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The `pairs` of a resample, without pairs of a member with itself."""
    first, second = pairs(members)
    return first[first != second], second[first != second]


def of_distinct(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The score of the ensemble of a resample, counting each member once; nan for a single member."""
    score_once = cache(lambda members: score(np.array(members)))

    def of_resample(members: np.ndarray) -> np.ndarray:
        result = score_once(tuple(sorted(set(members.tolist()))))
        return result if len(set(members.tolist())) > 1 else np.full_like(result, np.nan)

    return of_resample


# Claims: their statistics, the previous and the current interval, and the true values that the two estimate


def largest_cosine() -> "Row":
    def simulate(rng, members):
        weights = rng.normal(size=(members, 400)) + rng.normal(0.15, 0.1, size=(members, 1))
        return np.abs(cosine_similarity(weights))

    def before(cosines, members, resamples):
        return bootstrap(
            lambda members: cosines[distinct_pairs(members)].max(initial=-np.inf), resamples, members=members
        )

    def now(cosines, members):
        return interval(lambda members: cosines[pairs(members)].mean(), members=members)

    def numbers(rng, members):
        cosines = simulate(rng, members)[pairs(np.arange(members))]
        return cosines.max(), cosines.mean()

    return Row("largest |cosine|; now the mean", simulate, before, now, replicated(numbers))


def equal_distances() -> "Row":
    def simulate(rng, members):
        return logits(rng, members, 1000).argmax(axis=-1)

    def before(labels, members, resamples):
        apart = disagreement(labels)

        def variation(members):
            distances = apart[distinct_pairs(members)]
            return distances.std(ddof=1) / distances.mean()

        return bootstrap(variation, resamples, members=members)

    def now(labels, members):
        return equidistant(labels)

    @cache
    def variation_of(count, blocks=15, images=300):
        """True variation over `count` pairs of runs; the binomial noise from using few images is subtracted."""
        rng = np.random.default_rng(0)
        runs, apart = new_runs(rng, 2 * count), 0
        for _ in range(blocks):
            labels = Task.drawn(rng, images, 2.0).logits(runs).argmax(axis=-1)
            apart = apart + (labels[::2] != labels[1::2]).mean(axis=-1) / blocks
        noise = apart * (1 - apart) / (blocks * images)
        return math.sqrt(apart.var() - noise.mean()) / apart.mean()

    def truth(rng, members, repetitions):
        return (variation_of(10 * repetitions),) * 2

    return Row("variation of pairwise disagreement", simulate, before, now, truth)


def within_between() -> "Row":
    def simulate(rng, members):
        final = logits(rng, members, 300)
        checkpoints = near(rng, final, 3, 0.6).argmax(axis=-1)
        within = np.mean([one != other for one, other in combinations(checkpoints, 2)], axis=0)  # (M, n)
        between = checkpoints[-1][:, None] != checkpoints[-1]  # (M, M, n)
        return within.astype(np.float32), between.astype(np.float32)

    def of(data):
        within, between = data

        def ratio(members, images):
            return (
                mean_over(within, images)[members].mean() / mean_over(between, images)[distinct_pairs(members)].mean()
            )

        return ratio

    def before(data, members, resamples):
        return bootstrap(of(data), resamples, members=members, images=300)

    def now(data, members):
        return interval(of(data), members=members, images=300, log=True, resamples=RESAMPLES)

    def truth(rng, members, repetitions):
        within, between = replicated(lambda rng, members: _means(simulate(rng, members)))(rng, 10, repetitions)
        return (within / between,) * 2

    return Row("disagreement within / between runs", simulate, before, now, truth)


def _means(data: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    within, between = data
    return within.mean(), between[pairs(np.arange(len(between)))].mean()


def accuracy_gain() -> "Row":
    def simulate(rng, members):
        probs = softmax(logits(rng, members, 1000), axis=-1)
        single = right(probs)
        return lambda chosen: right(probs[chosen].mean(axis=0)) - single[chosen].mean(axis=0)  # (n,)

    return _ensemble_row("accuracy gain of the ensemble", simulate, 1000)


def gains_less() -> "Row":
    def simulate(rng, members):
        base = logits(rng, members, 500)
        probs = softmax(base, axis=-1)
        samples = softmax(near(rng, base, members - 1, 0.8), axis=-1)
        alone = right(samples.mean(axis=0))  # (M, n); the accuracy of single networks cancels
        return lambda chosen: alone[chosen].mean(axis=0) - right(probs[chosen].mean(axis=0))

    return _ensemble_row("a subspace gains less", simulate, 500)


def _ensemble_row(name: str, simulate: Callable, images: int) -> "Row":
    """A row for `simulate(rng, members)`, which returns a function from distinct members to `(n,)`."""

    def before(by_example, members, resamples):
        of_members = of_distinct(by_example)
        return bootstrap(
            lambda members, images: mean_over(of_members(members), images), resamples, members=members, images=images
        )

    def now(by_example, members):
        return interval(equal_sizes(by_example, members), members=members, images=images, resamples=RESAMPLES)

    def numbers(rng, members):
        by_example = simulate(rng, members)
        return by_example(np.arange(members)).mean(), by_example(np.arange(members - 1)).mean()

    return Row(name, simulate, before, now, replicated(numbers))


def jsd_margin() -> "Row":
    images = 150

    def simulate(rng, members):
        runs = new_runs(rng, members)
        base = np.stack([Task.drawn(rng, images, signal).logits(runs) for signal in SIGNALS])  # (severities, M, n, K)
        probs = softmax(base, axis=-1).swapaxes(0, 1)
        # The first axis of `samples` is the samples of a run, as many as members; that of `probs` is the members.
        samples = softmax(near(rng, base, members, 0.7), axis=-1).swapaxes(1, 2)

        def by_example(chosen):
            return jsd(probs[chosen]) - jsd(samples[: len(chosen), chosen]).mean(axis=0)  # (severities, n)

        return by_example, probs, jsd(samples)

    def before(data, members, resamples):
        _, probs, within = data
        of_members = of_distinct(lambda chosen: jsd(probs[chosen]))
        return bootstrap(
            lambda members, images: mean_over(of_members(members) - within[members].mean(axis=0), images).min(),
            resamples,
            members=members,
            images=images,
        )

    def now(data, members):
        return extreme(equal_sizes(data[0], members), "smallest", members=members, images=images, resamples=RESAMPLES)

    def truth(rng, members, repetitions):
        def numbers(rng, members):
            by_example = simulate(rng, members)[0]
            return [by_example(np.arange(size)).mean(axis=-1) for size in (members, members - 1)]

        return replicated(numbers)(rng, members, repetitions).min(axis=-1)

    return Row("JSD margin, smallest over shifts", simulate, before, now, truth)


def share_of_runs() -> "Row":
    def simulate(rng, members):
        return rng.binomial(10, rng.beta(0.45, 0.05, size=members)) / 10  # the samples of a run mostly agree

    def before(shares, members, resamples):
        return bootstrap(lambda members: shares[members].mean(), resamples, members=members)

    def now(shares, members):
        return share(shares)

    return Row("share of samples that stay", simulate, before, now, lambda rng, members, repetitions: (0.9, 0.9))


@dataclass(frozen=True)
class Row:
    """One claim.

    Attributes:
        name: in the figure.
        simulate: `simulate(rng, members)`, the data that the statistics take.
        before: `before(data, members, resamples)`, the previous interval.
        now: `now(data, members)`, the current interval.
        truth: `truth(rng, members, repetitions)`, the true values that the two intervals estimate.
    """

    name: str
    simulate: Callable[[np.random.Generator, int], Any]
    before: Callable[[Any, int, int], Estimate]
    now: Callable[[Any, int], Estimate]
    truth: Callable[[np.random.Generator, int, int], tuple[float, float]]


def replicated(numbers: Callable[[np.random.Generator, int], Any]) -> Callable:
    """The means of unbiased estimates over many sets of runs."""
    return lambda rng, members, repetitions: np.mean([numbers(rng, members) for _ in range(repetitions)], axis=0)


ROWS = (largest_cosine, equal_distances, within_between, accuracy_gain, gains_less, jsd_margin, share_of_runs)


# The study


def verdicts(estimates: list[Estimate], truth: float) -> dict[str, float | None]:
    """Coverage and false verdicts of intervals; None if fewer than half of the data sets have one."""
    ends = np.array([[one.low, one.high] for one in estimates])
    given = np.isfinite(ends).all(axis=1)
    if given.mean() < 0.5:
        return {"given": float(given.mean()), "coverage": None, "false": None, "width": None}
    low, high = ends[given].T
    slack = 1e-9 * abs(truth)
    above, below = np.mean(low > truth + slack), np.mean(high < truth - slack)
    return {
        "given": float(given.mean()),
        "coverage": float(1 - above - below),
        "false": float(max(above, below)),
        "width": float(np.median(high - low)),
    }


def study(row: Row, members: int, repetitions: int, resamples: int, truths: int) -> dict[str, dict]:
    """Both intervals of one claim for `members` runs; claim and number of runs determine the seed."""
    rng = np.random.default_rng([members, *row.name.encode()])
    true = row.truth(rng, members, truths)
    made = {"before": [], "now": []}
    for _ in range(repetitions):
        data = row.simulate(rng, members)
        made["before"].append(row.before(data, members, resamples))
        made["now"].append(row.now(data, members))
    return {
        name: {"truth": float(number)} | verdicts(estimates, float(number))
        for (name, estimates), number in zip(made.items(), true, strict=True)
    }


def table(rows: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Header, and one row per claim and number of runs, with before and now beside each other."""
    cells = []
    for before, now in zip(rows[::2], rows[1::2], strict=True):
        pairs = [[row[name] for row in (before, now)] for name in ("coverage", "false", "width")]
        numbers = ["–" if number is None else f"{number:.3f}" for pair in pairs for number in pair]
        cells.append([before["claim"], str(before["members"]), *numbers])
    header = [f"{name} {when}" for name in ("coverage", "false verdicts", "width") for when in ("before", "now")]
    return ["claim", "runs", *header], cells


def main(
    members: Annotated[list[int], typer.Option(help="Numbers of runs per interval.")] = [3, 4, 6, 10],  # noqa: B006
    rounds: Annotated[int, typer.Option(help="Data sets per claim and number of runs.")] = 200,
    resamples: Annotated[int, typer.Option(help="Resamples of the percentile bootstrap.")] = 200,
    quick: Annotated[bool, typer.Option("--quick", help="Only a few data sets, for tests.")] = False,
    output: Annotated[Path | None, typer.Option(help="File of the results.")] = None,
):
    """Print the table of coverage and write the results."""
    if quick:
        members, rounds, resamples = [3, 4], 4, 20
    options = {"members": members, "resamples": resamples}
    report = Report("intervals", "intervals", options, rounds)
    for make in ROWS:
        row, start = make(), time.perf_counter()
        for count in members:
            found = study(row, count, rounds, resamples, truths=20 if quick else 400)
            for name, numbers in found.items():
                say(f"{row.name}, {count} runs, {name}: coverage {numbers['coverage']}")
                report.content["rows"].append({"claim": row.name, "members": count, "interval": name} | numbers)
        say(f"{row.name}: {time.perf_counter() - start:.0f} s")
    content = report.content
    print("\n".join([content["command"], circumstances(content), "", aligned(*table(content["rows"]))]))
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    (output or RESULTS / "intervals.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
