"""How different networks are from one another in function space, and which pairs of them share what.

    labels → Pairs → disagreement and normalised diversity, of all images or of a resample → means over pairs

Networks that share something, their first weights or their chain, make pairs that say what the rest is worth.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lib.config import Experiment
from lib.errors import ConfigError
from lib.metrics.intervals import Estimate, bootstrap, distinct_pairs, mean_over

# Indices of the networks of all pairs that count in a resample of members: `(a, b)`.
_Chosen = tuple[np.ndarray, np.ndarray]


class Pairs:
    """What N networks predict on n images, two at a time, ready to be counted again and again.

    Args:
        labels: predicted, `(N, n)`.
        targets: true labels, `(n,)`.
    """

    def __init__(self, labels: ArrayLike, targets: ArrayLike):
        labels, targets = np.asarray(labels), np.asarray(targets)
        if labels.ndim != 2 or targets.shape != labels.shape[1:]:
            raise ValueError(
                f"labels and targets: expected shapes (N, n) and (n,), received {labels.shape}, {targets.shape}"
            )
        # As float32 the means below run in BLAS.
        self._differ = np.stack([labels != own for own in labels]).astype(np.float32)
        self._wrong = (labels != targets).astype(np.float32)
        self.networks, self.images = labels.shape

    def disagreements(self, images: np.ndarray | None = None) -> np.ndarray:
        """Fraction of images on which two networks' labels differ, `(N, N)`; of all, or of a resample's indices."""
        return mean_over(self._differ, np.arange(self.images) if images is None else images)

    def diversities(self, images: np.ndarray | None = None) -> np.ndarray:
        """Disagreement per error, `(N, N)`: the mean of both directions of `lib.metrics.normalized_diversity`.

        d (1 / e_i + 1 / e_j) / 2, with the two networks' error rates e; nan for a network without errors.
        """
        images = np.arange(self.images) if images is None else images
        errors = mean_over(self._wrong, images)
        inverse = 1 / np.where(errors > 0, errors, np.nan)
        return mean_over(self._differ, images) * (inverse[:, None] + inverse) / 2


#: What two networks of a pair are measured by.
MEASURES: dict[str, Callable[..., np.ndarray]] = {
    "fraction of labels that differ": Pairs.disagreements,
    "normalised diversity": Pairs.diversities,
}

#: What may differ between the trainings of a pair.
SOURCES = ("both", "initialization", "order")


def mean_of(matrix: np.ndarray, chosen: _Chosen) -> float:
    """Mean of a matrix `(N, N)` over the pairs that count; nan where there are none."""
    values = matrix[chosen]
    return float(values.mean()) if values.size else float("nan")


# Appendix B: N = 2 M networks. The first M differ in their initial weights alone, the others in their order alone; the
# first of both is the same network, with fixed initial weights and order.


def learning_rates(experiment: Experiment, given: list[float] | None) -> list[float]:
    """The learning rates to compare, ascending: those given, or a quarter, a half and all of the experiment's.

    From the paper's protocol that is the range of its figure S4. Raises `ConfigError` for fewer than two, and for what
    is none.
    """
    chosen = [share * experiment.learning_rate for share in (0.25, 0.5, 1)] if given is None else given
    rates = sorted({replace(experiment, learning_rate=rate).learning_rate for rate in chosen})
    if len(rates) < 2:
        raise ConfigError(f"learning_rates must be at least two different ones, got {given}")
    return rates


def of_source(source: str, members: np.ndarray, count: int) -> _Chosen:
    """All pairs of networks that differ in their `initialization`, in their `order`, or in `both`.

    Args:
        source: one of these three. Networks that differ in both are one of each half: one with other initial weights
            and the fixed order, one with the fixed initial weights and another order.
        members: of a resample, with repetitions.
        count: M.
    """
    if source == "initialization":
        return distinct_pairs(members)
    if source == "order":
        first, second = distinct_pairs(members)
        return first + count, second + count
    if source != "both":
        raise ValueError(f"source: expected initialization, order or both, received {source!r}")
    moved = np.asarray(members)[np.asarray(members) > 0]
    return np.repeat(moved, len(moved)), np.tile(moved + count, len(moved))


def diversity_from(source: str, compared: Pairs, members: np.ndarray, images: np.ndarray) -> float:
    """Mean normalised diversity of the pairs `of_source`, for members and images of a resample; nan without pairs."""
    return mean_of(compared.diversities(images), of_source(source, members, compared.networks // 2))


def by_source(compared: Mapping[float, Pairs]) -> dict[str, dict[str, dict[float, Estimate]]]:
    """Means over the pairs of each source, with bootstrap intervals over members and images.

    Args:
        compared: the 2 M networks of each learning rate.

    Returns:
        By the name of the measure, the source and the learning rate.
    """

    def estimate(measure: Callable, source: str, own: Pairs) -> Estimate:
        count = own.networks // 2
        return bootstrap(
            lambda members, images: mean_of(measure(own, images), of_source(source, members, count)),
            members=count,
            images=own.images,
        )

    return {
        name: {source: {rate: estimate(measure, source, own) for rate, own in compared.items()} for source in SOURCES}
        for name, measure in MEASURES.items()
    }


# Appendix C: networks chain after chain, in each the ends of its cycles in time order.


def within_chains(chains: np.ndarray, cycles: int) -> _Chosen:
    """All pairs of cycles of one chain, for each of the `chains` of a resample."""
    first, second = np.triu_indices(cycles, k=1)
    start = np.asarray(chains)[:, None] * cycles
    return (start + first).ravel(), (start + second).ravel()


def between_chains(chains: np.ndarray, cycles: int) -> _Chosen:
    """All pairs of different chains after the same number of cycles: of one age, from other first weights."""
    first, second = (one[:, None] * cycles + np.arange(cycles) for one in distinct_pairs(chains))
    return first.ravel(), second.ravel()


def chain_gap(disagreements: np.ndarray, chains: np.ndarray, cycles: int) -> float:
    """Mean disagreement between independent runs minus that between cycles of a chain; nan without different chains.

    Args:
        disagreements: of all networks, `(N, N)`, as from `Pairs`.
        chains: of a resample, with repetitions.
        cycles: of each chain.
    """
    between, within = between_chains(chains, cycles), within_chains(chains, cycles)
    return mean_of(disagreements, between) - mean_of(disagreements, within)
