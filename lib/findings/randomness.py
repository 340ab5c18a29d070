"""Figure S4: diversity comes from the first weights more than from the order of the data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lib.config import Experiment
from lib.errors import ConfigError
from lib.findings.claim import Criterion, Finding, Statistic, claim
from lib.metrics.intervals import Estimate, bootstrap, distinct_pairs, mean_over
from lib.metrics.pairs import Pairs, mean_of

#: Many runs, and so, at `quick`, short ones.
FINDING = Finding(
    "10_randomness",
    settings={
        "smoke": {"architectures": ["small_cnn"]},
        "quick": {"architectures": ["small_cnn"], "num_members": 3, "epochs": 2},
        "full": {"architectures": ["small_cnn"], "num_members": 5},
        "paper": {"architectures": ["small_cnn"], "num_members": 5},
    },
)

#: What may differ between the trainings of a pair, and its name in print.
SOURCES = {
    "both": "initialisation and order",
    "initialization": "initialisation alone",
    "order": "order alone",
    "none": "neither",
}

#: What two networks of a pair are measured by.
Measure = Callable[[Pairs, np.ndarray], np.ndarray]
MEASURES: dict[str, Measure] = {
    "fraction of labels that differ": Pairs.disagreements,
    "normalised diversity": Pairs.diversities,
}


@claim(
    "randomness/initialisation",
    "initialisation is the dominant source of diversity",
    figure="S4",
    criterion=Criterion(">", 0),
    varies=("members", "images"),
)
def initialisation(labels: np.ndarray, targets: np.ndarray) -> Statistic:
    """Normalised diversity: different initialisation, same order, minus same initialisation, different order; mean over
    learning rates.

    `labels (R, 2, M, n)`: top labels at each learning rate, ascending, of M members that differ in their initial
    weights alone and of M that differ in their order alone; the first of both is the same network. `targets (n,)`: the
    true labels.
    """
    return _margin("initialization", "order", labels, targets)


@claim(
    "randomness/both",
    "a different order of the data adds to the diversity of different initialisations",
    figure="S4",
    criterion=Criterion(">", 0),
    varies=("members", "images"),
)
def both(labels: np.ndarray, targets: np.ndarray) -> Statistic:
    """Normalised diversity: both differ minus initialisation alone; mean over learning rates.

    The arrays are those of `initialisation`.
    """
    return _margin("both", "initialization", labels, targets)


@claim(
    "randomness/rate",
    "the order of the data matters more at a higher learning rate",
    figure="S4",
    criterion=Criterion(">", 0),
    varies=("members", "images"),
)
def rate(labels: np.ndarray, targets: np.ndarray) -> Statistic:
    """Normalised diversity from order alone, highest learning rate minus lowest.

    The arrays are those of `initialisation`.
    """
    lowest, *_, highest = _at_each_rate(labels, targets)

    def growth(members: np.ndarray, images: np.ndarray) -> float:
        pairs = of_source("order", members, labels.shape[2])
        return mean_of(highest.diversities(images), pairs) - mean_of(lowest.diversities(images), pairs)

    return Statistic(growth, members=labels.shape[2], images=len(targets))


@claim(
    "randomness/deterministic",
    "the same initialisation and the same order give the same function",
    figure="S4",
    criterion=Criterion("==", 0),
    varies=(),
    paper_value="so on TPU, not on GPU",
)
def deterministic(labels: np.ndarray) -> Statistic:
    """Disagreement of two such runs, CPU.

    `labels (2, n)`: their top labels.
    """
    first, second = labels
    return Statistic(lambda: float(mean_over(first != second, np.arange(len(first)))))


def _at_each_rate(labels: np.ndarray, targets: np.ndarray) -> Iterator[Pairs]:
    """The 2 M networks of each learning rate, those of the one family before those of the other."""
    return (Pairs(own.reshape(-1, len(targets)), targets) for own in labels)


def _margin(more: str, less: str, labels: np.ndarray, targets: np.ndarray) -> Statistic:
    """Normalised diversity from one source minus that from another, mean over learning rates."""
    compared = list(_at_each_rate(labels, targets))

    def margin(members: np.ndarray, images: np.ndarray) -> float:
        pairs = [of_source(source, members, labels.shape[2]) for source in (more, less)]
        margins = []
        for own in compared:
            diversities = own.diversities(images)
            margins.append(mean_of(diversities, pairs[0]) - mean_of(diversities, pairs[1]))
        return np.mean(margins)

    return Statistic(margin, members=labels.shape[2], images=len(targets))


def of_source(source: str, members: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of networks that differ in their `initialization`, in their `order`, or in `both`: indices `(a, b)`.

    Networks that differ in both are one of each family: one with other initial weights and the fixed order, one with
    the fixed initial weights and another order.

    Args:
        source: one of these three.
        members: those that count.
        count: M, members of each of the two families, of which one stands before the other.
    """
    if source == "initialization":
        return distinct_pairs(members)
    if source == "order":
        first, second = distinct_pairs(members)
        return first + count, second + count
    if source != "both":
        raise ValueError(f"source: expected initialization, order or both, received {source!r}")
    moved = members[members > 0]
    return np.repeat(moved, len(moved)), np.tile(moved + count, len(moved))


def learning_rates(experiment: Experiment, given: list[float] | None) -> list[float]:
    """The learning rates to compare, ascending: those given, or a quarter, a half and all of the experiment's.

    From the paper's protocol that is the range of its figure S4. Raises `ConfigError` for fewer than two, and for what
    is not a learning rate.
    """
    chosen = [share * experiment.learning_rate for share in (0.25, 0.5, 1)] if given is None else given
    rates = sorted({replace(experiment, learning_rate=rate).learning_rate for rate in chosen})
    if len(rates) < 2:
        raise ConfigError(f"learning_rates must be at least two different ones, got {given}")
    return rates


def differences(rates: Sequence[float], labels: np.ndarray, twice: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
    """How different two networks are: the data of figure S4, one row a measure, source and learning rate.

    Args:
        rates: R learning rates, ascending.
        labels: as in `initialisation`, `(R, 2, M, n)`.
        twice: top labels of two networks at the highest rate that share both seeds, `(2, n)`.
        targets: the true labels, `(n,)`.

    Returns:
        Columns `measure`, of `MEASURES`; `series`, of `SOURCES`; `learning rate`; `value`, the mean over pairs; and
        `low` and `high`, the ends of its interval from members and images.
    """
    compared, repeated = list(_at_each_rate(labels, targets)), Pairs(twice, targets)
    rows = []
    for name, measure in MEASURES.items():
        for source in ("both", "initialization", "order"):
            for learning_rate, own in zip(rates, compared, strict=True):
                found = _mean(measure, source, own, labels.shape[2], len(targets))
                rows.append([name, SOURCES[source], learning_rate, found.value, found.low, found.high])
        same = _same(measure, repeated, len(targets))
        rows.append([name, SOURCES["none"], rates[-1], same.value, same.low, same.high])
    return pd.DataFrame(rows, columns=["measure", "series", "learning rate", "value", "low", "high"])


def _mean(measure: Measure, source: str, own: Pairs, count: int, images: int) -> Estimate:
    """The mean of a measure over the pairs of a source, `count` being M."""
    return bootstrap(
        lambda members, images: mean_of(measure(own, images), of_source(source, members, count)),
        members=count,
        images=images,
    )


def _same(measure: Measure, repeated: Pairs, images: int) -> Estimate:
    """A measure of the one pair of two networks."""
    return bootstrap(lambda images: measure(repeated, images)[0, 1], images=images)


def by_rate(rates: Sequence[float], labels: np.ndarray, targets: np.ndarray, found: pd.DataFrame) -> pd.DataFrame:
    """The table of mean accuracies and of what `differences` found, whose arguments the others are: one row a rate."""
    columns = {"learning rate": [f"{rate:g}" for rate in rates]}
    columns["mean accuracy"] = [f"{np.mean(own == targets):.3f}" for own in labels]
    varied = found[found["series"] != SOURCES["none"]]
    for (measure, series), own in varied.groupby(["measure", "series"], sort=False):
        columns[f"{measure}: {series}"] = [f"{value:.3f}" for value in own["value"]]
    return pd.DataFrame(columns)
