"""Figure S4: diversity comes from the first weights more than from the order of the data.

`labels (R, 2, M, n)`: top labels at each learning rate, ascending, of M members that differ in their initial weights
alone and of M that differ in their order alone; the first of both is the same network. `twice (2, n)`: those of two
networks at the highest rate that share both seeds. `targets (n,)`: the true labels.
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

#: Many runs, and so, at `quick`, short ones.
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
)
def initialisation(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity: different initialisation, same order, minus same initialisation, different order; mean over
    learning rates.
    """
    return _margin("initialization", "order", labels, targets)


@claim(
    "randomness/both",
    "a different order of the data adds to the diversity of different initialisations",
    figure="S4",
    criterion=Criterion(">", 0),
)
def both(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity: both differ minus initialisation alone; mean over learning rates."""
    return _margin("both", "initialization", labels, targets)


@claim(
    "randomness/rate",
    "the order of the data matters more at a higher learning rate",
    figure="S4",
    criterion=Criterion(">", 0),
)
def rate(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity from order alone, highest learning rate minus lowest."""
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
    """Disagreement of two such runs, CPU.

    The paper finds none on a TPU, and some on a GPU.
    """
    first, second = twice
    return count(np.mean(first != second))


def _at_each_rate(labels: np.ndarray, targets: np.ndarray) -> Iterator[Pairs]:
    """The 2 M networks of each learning rate, those of the one family before those of the other."""
    return (Pairs(own.reshape(-1, len(targets)), targets) for own in labels)


def _margin(more: str, less: str, labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Normalised diversity from one source minus that from another, mean over learning rates."""
    compared = list(_at_each_rate(labels, targets))

    def margin(members: np.ndarray, images: np.ndarray) -> float:
        larger, smaller = (of_source(source, members, labels.shape[2]) for source in (more, less))
        diversities = [own.diversities(images) for own in compared]
        return np.mean([float(own[larger].mean()) - float(own[smaller].mean()) for own in diversities])

    return interval(margin, members=labels.shape[2], images=len(targets))


def of_source(source: str, members: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of networks that differ in their `initialization`, in their `order`, or in `both`: indices `(a, b)`.

    Networks that differ in both are one of each family: one with other initial weights and the fixed order, one with
    the fixed initial weights and another order. `members` are those that count, of `count` in each of the two families,
    of which one stands before the other.
    """
    if source == "both":
        moved = members[members > 0]
        return np.repeat(moved, len(moved)), np.tile(moved + count, len(moved))
    first, second = pairs(members)
    start = {"initialization": 0, "order": count}[source]
    return first + start, second + start


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

    Columns `measure`, of `MEASURES`; `series`, of `SOURCES`; `learning rate`; `value`, the mean over pairs; and `low`
    and `high`, the ends of its interval from members and images.
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
    """The mean of a measure over the pairs of a source; `count` as in `of_source`."""
    return measure(own, images)[of_source(source, members, count)].mean()


def by_rate(rates: Sequence[float], labels: np.ndarray, targets: np.ndarray, found: pd.DataFrame) -> pd.DataFrame:
    """The table of mean accuracies and of what `differences` found, whose arguments the others are: one row a rate."""
    columns = {"learning rate": [f"{rate:g}" for rate in rates]}
    columns["mean accuracy"] = [f"{np.mean(own == targets):.3f}" for own in labels]
    varied = found[found["series"] != SOURCES["none"]]
    for (measure, series), own in varied.groupby(["measure", "series"], sort=False):
        columns[f"{measure}: {series}"] = [f"{value:.3f}" for value in own["value"]]
    return pd.DataFrame(columns)
