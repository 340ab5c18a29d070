"""The variants of the paper's section 5: one network, many around one run, one a run, and many around each run.

    runs → samples_of_runs → within_runs → scores_by_size, scores_by_example → of_distinct

What is sampled around a run is averaged first, so that each method has one prediction a run, and an ensemble is a mean
over runs, whichever method it is of. Probabilities are averaged, not logits, and all runs count alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib import metrics
from lib.errors import ConfigError
from lib.models.networks import Network
from lib.models.weights import predict
from lib.run.progress import PATIENCE, progress
from lib.subspaces.methods import METHODS, NATURAL_SCALES
from lib.subspaces.samples import Sampler, Samples
from lib.training.trainer import Trajectory

#: What `scores_by_size` measures, by the names of its columns.
METRICS: dict[str, Callable] = {
    "accuracy": metrics.accuracy,
    "Brier score": metrics.brier_score,
    "negative log-likelihood": metrics.negative_log_likelihood,
    "calibration error": metrics.expected_calibration_error,
}


def check_counts(**counts: int | None) -> None:
    """Raise `ConfigError`, one line, for a parameter that counts something and is below one; None passes."""
    for name, value in counts.items():
        if value is not None and not value >= 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def check_shares(**shares: float | None) -> None:
    """Raise `ConfigError`, one line, for a parameter that is a share of something and not from 0 to 1; None passes."""
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} must be from 0 to 1, got {value}")


# Around each run


def checkpoints(run: Trajectory, count: int) -> Samples:
    """The last `count` checkpoints of a run as samples of it, the final solution last; with 1 that one alone.

    Raises `ValueError` for more than a run has epochs: weights before training are no solution.
    """
    epochs = len(run.weights) - 1
    if not 1 <= count <= epochs:
        raise ValueError(f"count: expected from 1 to the {epochs} epochs of the run, received {count}")
    accuracies = run.history["val_accuracy"].to_numpy()[-count:]
    return Samples("trajectory", np.zeros(count), run.weights[-count:], run.statistics[-count:], accuracies)


def samples_of_runs(
    sampler: Sampler, runs: Sequence[Trajectory], methods: Iterable[str], count: int, margin: float
) -> dict[str, list[Samples]]:
    """Up to `count` samples of each method around each run, drawn and rejected by `Sampler.near`.

    The largest scale of random directions and of dropout is found around the first run and serves all of them, as the
    authors have one scale for all runs; each run rejects by its own validation accuracy.
    """

    def around_all(method: str) -> Iterator[Samples]:
        largest = None
        if method in METHODS and method not in NATURAL_SCALES:
            largest = sampler.scale_at(runs[0], method, sampler.base_accuracy(runs[0]) - margin)
        return (sampler.near(run, method, count, largest, margin) for run in runs)

    return _shown(around_all, methods, len(runs))


def spread_of_runs(
    sampler: Sampler, runs: Sequence[Trajectory], methods: Iterable[str], count: int, share: float
) -> dict[str, list[Samples]]:
    """`count` samples of each method around each run, their scales spread from 0 to the largest, and none rejected.

    The largest scale is where samples around the first run keep on average a `share` of its validation accuracy; it
    serves all runs.
    """

    def around_all(method: str) -> Iterator[Samples]:
        largest = sampler.scale_at(runs[0], method, share * sampler.base_accuracy(runs[0]))
        return (sampler.spread(run, method, count, largest) for run in runs)

    return _shown(around_all, methods, len(runs))


def _shown(
    around_all: Callable[[str], Iterator[Samples]], methods: Iterable[str], num_runs: int
) -> dict[str, list[Samples]]:
    """The samples around all runs of each method, with the progress of drawing them."""
    methods, samples = list(methods), {}
    with progress("sampling", len(methods) * num_runs, "sample set", delay=PATIENCE) as tell:
        for method in methods:
            samples[method] = []
            for own in around_all(method):
                samples[method].append(own)
                tell(sum(map(len, samples.values())))
    return samples


def complete(samples: Mapping[str, Sequence[Samples]], count: int = 1) -> dict[str, Sequence[Samples]]:
    """The methods that have at least `count` samples around every run, the weight average its single one.

    The others are left out as a whole: means over different runs could not be compared.
    """
    needed = {method: 1 if method == "weight-average" else count for method in samples}
    return {method: own for method, own in samples.items() if all(len(one) >= needed[method] for one in own)}


def samples_table(samples: Mapping[str, Sequence[Samples]], names: Mapping[str, str]) -> pd.DataFrame:
    """What was kept and what was rejected of each method, over all runs, for a page; `names` in print."""
    rows = []
    for method, own in samples.items():
        scales = np.concatenate([one.scales for one in own])
        accuracies = np.concatenate([one.val_accuracies for one in own])
        rows.append(
            {
                "method": names[method],
                "kept": len(scales),
                "rejected": sum(one.rejected for one in own),
                "runs without any": sum(len(one) == 0 for one in own),
                "largest scale": f"{scales.max():.3g}" if scales.any() else "–",
                "mean validation accuracy": f"{accuracies.mean():.3f}" if len(accuracies) else "–",
            }
        )
    return pd.DataFrame(rows)


def within_runs(model: Network, samples: Sequence[Samples], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the samples around each of M runs predict on average, and how much they differ.

    Args:
        model: the network of the runs; its weights are overwritten.
        samples: of one method, one entry a run, none of them empty.
        images: uint8 `(n, H, W, C)`.

    Returns:
        The mean of the probabilities within each run, float32 `(M, n, K)`, and their Jensen-Shannon divergence within
        each run by example, in nats, float32 `(M, n)`: 0 for a single sample.
    """
    sizes = [len(one) for one in samples]
    if not sizes or min(sizes) == 0:
        raise ValueError(f"samples: expected at least one around every run, received {sizes}")
    # All in one call, so that networks side by side keep the cores busy.
    weights = np.concatenate([one.weights for one in samples])
    statistics = np.concatenate([one.statistics for one in samples])
    runs = np.split(predict(model, weights, images, statistics), np.cumsum(sizes)[:-1])
    mean = np.stack([probs.mean(axis=0) for probs in runs])
    divergence = np.stack([metrics.jensen_shannon_by_example(probs) for probs in runs])
    return mean, divergence.astype(np.float32)


def across_runs(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `within_runs` gives, for networks of different runs as the only ensemble there is.

    `probs (N, n, K)` give the mean `(1, n, K)` and the Jensen-Shannon divergence by example `(1, n)`, float32.
    """
    divergence = metrics.jensen_shannon_by_example(probs)
    return probs.mean(axis=0)[None], divergence[None].astype(np.float32)


# Ensembles over runs


def subsets(members: int, size: int, limit: int, seed: int = 0) -> np.ndarray:
    """Ensembles of `size` out of so many members: indices `(S, size)`, each row in ascending order.

    All of them where there are at most `limit`, otherwise `limit` different ones, drawn by `seed`.
    """
    if not 1 <= size <= members:
        raise ValueError(f"size: expected from 1 to {members}, received {size}")
    if comb(members, size) <= limit:
        return np.array(list(combinations(range(members), size)))
    generator, drawn = np.random.default_rng([seed, size]), set()
    while len(drawn) < limit:
        drawn.add(tuple(sorted(generator.choice(members, size, replace=False).tolist())))
    return np.array(sorted(drawn))


def scores_by_size(probs: np.ndarray, labels: np.ndarray, limit: int, seed: int = 0) -> pd.DataFrame:
    """How good ensembles of 1 to M members are: one row an ensemble, columns `size` and those of `METRICS`.

    Args:
        probs: one prediction a run, `(M, n, K)`.
        labels: the true ones, `(n,)`.
        limit: ensembles of each size, see `subsets`.
        seed: of what is drawn where there are more; the same for two methods gives them the same ensembles.
    """
    rows = []
    for size in range(1, len(probs) + 1):
        for members in subsets(len(probs), size, limit, seed):
            ensemble = probs[members].mean(axis=0)
            rows.append({"size": size} | {name: score(ensemble, labels) for name, score in METRICS.items()})
    return pd.DataFrame(rows)


def scores_by_example(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the top label is right, 0 or 1, and the Brier score, 0 to 2, on each example.

    `probs (N, n, K)` and true `labels (n,)` give float32 `(2, N, n)`, `probs (n, K)` gives `(2, n)`. Their means over
    examples are `metrics.accuracy` and `metrics.brier_score`.
    """
    right = metrics.top_labels(probs) == labels
    truth = np.eye(probs.shape[-1], dtype=np.float32)[labels]
    return np.stack([right, np.square(probs - truth).sum(axis=-1)]).astype(np.float32)


def of_distinct(
    score: Callable[[np.ndarray], np.ndarray], most: int | None = None
) -> Callable[[ArrayLike], np.ndarray]:
    """Of a score of the ensemble of some members, one for a bootstrap over members.

    A member drawn twice counts once: an ensemble gains nothing from a copy. So the ensembles of a bootstrap are
    smaller than the one that there is, about two thirds of it, and a gain from ensembling is rather understated. One
    member alone is no ensemble: its score is all nan, and `bootstrap` draws such a resample again.

    Args:
        score: of different members, as ascending indices; each set is computed once and remembered.
        most: the first so many different members that were drawn make the ensemble; all of them when left out.

    Returns:
        A function of members `(m,)`, drawn with replacement.
    """

    @cache
    def of_set(members: tuple[int, ...]) -> np.ndarray:
        return np.asarray(score(np.array(members)))

    def of_resample(members: ArrayLike) -> np.ndarray:
        different = list(dict.fromkeys(np.asarray(members).tolist()))[:most]
        result = of_set(tuple(sorted(different)))
        return result if len(different) > 1 else np.full_like(result, np.nan, dtype=float)

    return of_resample
