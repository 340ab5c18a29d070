"""Figure S4: diversity comes more from the initial weights than from the order of the data.

`labels (R, 2, M, n)`: top labels, for ascending learning rates, of M members that differ only in their initial weights
and of M that differ only in data order; the first member of both families is the same network. `twice (2, n)`: top
labels of two networks with both seeds equal, at the highest rate. `targets (n,)`: the true labels.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from lib.config import Experiment
from lib.errors import ConfigError
from lib.findings.claim import DESCRIPTION, Criterion, Finding, claim
from lib.metrics.comparison import Pairs
from lib.metrics.intervals import Estimate, count, interval, pairs

#: There are many runs, so `quick` uses short ones.
FINDING = Finding(
    "10_randomness",
    settings={
        "smoke": {"architectures": ["small_cnn"]},
        "quick": {"architectures": ["small_cnn"], "num_members": 4, "epochs": 2},
        "full": {"architectures": ["small_cnn"], "num_members": 5},
        "paper": {"architectures": ["small_cnn"], "num_members": 5},
        "reference": {"architectures": ["small_cnn"], "num_members": 4, "epochs": 20},
    },
)

#: What may differ between the two trainings of a pair, with display names.
SOURCES = {
    "both": "initialisation and order",
    "initialization": "initialisation alone",
    "order": "order alone",
    "none": "neither",
}

#: A measure of the difference between two networks.
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
)
def initialisation(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity with different initialisation and the same data order, minus that with the same
    initialisation and a different order; mean over learning rates.
    """
    return _margin("initialization", "order", labels, targets)


@claim(
    "randomness/both",
    "a different order of the data adds to the diversity of different initialisations",
    figure="S4",
    criterion=Criterion(">", 0),
)
def both(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity from initialisation and order, minus from initialisation alone; mean over learning rates."""
    return _margin("both", "initialization", labels, targets)


@claim(
    "randomness/rate",
    "the order of the data matters more at a higher learning rate",
    figure="S4",
    criterion=Criterion(">", 0),
)
def rate(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity if only data order differs, at the highest learning rate minus at the lowest."""
    lowest, *_, highest = _at_each_rate(labels, targets)

    def growth(members: np.ndarray, images: np.ndarray) -> float:
        pairs = of_source("order", members, labels.shape[2])
        return float(highest.diversities(images)[pairs].mean()) - float(lowest.diversities(images)[pairs].mean())

    return interval(growth, members=labels.shape[2], images=len(targets))


@claim(
    "randomness/deterministic",
    "the same initialisation and the same order give the same function",
    figure="S4",
    criterion=Criterion("==", 0),
    kind=DESCRIPTION,
)
def deterministic(twice: np.ndarray) -> Estimate:
    """Disagreement of two runs with the same initialisation and the same data order, on a CPU.

    The paper finds none on a TPU, and some on a GPU.
    """
    first, second = twice
    return count(np.mean(first != second))


def _at_each_rate(labels: np.ndarray, targets: np.ndarray) -> Iterator[Pairs]:
    """The 2 M networks at each learning rate: the initialisation family, then the order family."""
    return (Pairs(own.reshape(-1, len(targets)), targets) for own in labels)


def _margin(more: str, less: str, labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity from the source `more` minus that from `less`, mean over learning rates."""
    compared = list(_at_each_rate(labels, targets))

    def margin(members: np.ndarray, images: np.ndarray) -> float:
        larger, smaller = (of_source(source, members, labels.shape[2]) for source in (more, less))
        diversities = [own.diversities(images) for own in compared]
        return np.mean([float(own[larger].mean()) - float(own[smaller].mean()) for own in diversities])

    return interval(margin, members=labels.shape[2], images=len(targets))


def of_source(source: str, members: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of networks that differ in `initialization`, in `order`, or in `both`: indices `(a, b)`.

    A pair that differs in both has one network of each family: one with new initial weights and the fixed order, one
    with the fixed initial weights and a new order. `members` selects from the `count` networks of each family; the
    order family's indices follow the initialisation family's.
    """
    if source == "both":
        moved = members[members > 0]
        return np.repeat(moved, len(moved)), np.tile(moved + count, len(moved))
    first, second = pairs(members)
    start = {"initialization": 0, "order": count}[source]
    return first + start, second + start


def learning_rates(experiment: Experiment, given: list[float] | None) -> list[float]:
    """The learning rates to compare, ascending: the `given` ones, or 1/4, 1/2 and 1 times the experiment's rate.

    With the paper's protocol this is the range of its figure S4. Raises `ConfigError` for fewer than two different
    rates or an invalid rate.
    """
    chosen = [share * experiment.learning_rate for share in (0.25, 0.5, 1)] if given is None else given
    rates = sorted({replace(experiment, learning_rate=rate).learning_rate for rate in chosen})
    if len(rates) < 2:
        raise ConfigError(f"learning_rates must be at least two different ones, got {given}")
    return rates


def differences(rates: Sequence[float], labels: np.ndarray, twice: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
    """Differences between pairs of networks, as in figure S4, one row per measure, source and learning rate.

    Columns: `measure`, from `MEASURES`; `series`, from `SOURCES`; `learning rate`; `value`, the mean over pairs; `low`
    and `high`, the ends of its interval over members and images.
    """
    members_each, size = labels.shape[2], len(targets)
    compared, repeated = list(_at_each_rate(labels, targets)), Pairs(twice, targets)
    rows = []
    for name, measure in MEASURES.items():
        for source in ("both", "initialization", "order"):
            for rate, own in zip(rates, compared, strict=True):
                found = interval(partial(_mean, measure, own, source, members_each), members=members_each, images=size)
                rows.append([name, SOURCES[source], rate, found.value, found.low, found.high])
        same = interval(lambda images, measure=measure: measure(repeated, images)[0, 1], images=size)
        rows.append([name, SOURCES["none"], rates[-1], same.value, same.low, same.high])
    return pd.DataFrame(rows, columns=["measure", "series", "learning rate", "value", "low", "high"])


def _mean(measure: Measure, own: Pairs, source: str, count: int, members: np.ndarray, images: np.ndarray) -> float:
    """The mean of a measure over the pairs of a source; `members` and `count` as in `of_source`."""
    return measure(own, images)[of_source(source, members, count)].mean()


def by_rate(rates: Sequence[float], labels: np.ndarray, targets: np.ndarray, found: pd.DataFrame) -> pd.DataFrame:
    """Table of mean accuracies and the results of `differences` (`found`), one row per learning rate."""
    columns = {"learning rate": [f"{rate:g}" for rate in rates]}
    columns["mean accuracy"] = [f"{np.mean(own == targets):.3f}" for own in labels]
    varied = found[found["series"] != SOURCES["none"]]
    for (measure, series), own in varied.groupby(["measure", "series"], sort=False):
        columns[f"{measure}: {series}"] = [f"{value:.3f}" for value in own["value"]]
    return pd.DataFrame(columns)
