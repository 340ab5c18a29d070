"""Weights around the end of one run: ways to sample them, a search for the largest scale, and their average.

    late_iterates → subspace → sample → predict

Everything here is in weight space: flat float32 vectors of P weights, including biases. The caller evaluates the
samples; a network with BatchNorm needs `lib.models.predict.fresh_statistics` for that.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lib.errors import ConfigError, unknown

#: Columns of the iterates converted to float64 at a time.
BLOCK = 1 << 16

#: Number of principal directions of low-rank Gaussians, as in the authors' notebook.
RANK = 5

#: Late iterates are the last of this many equal parts of a run: epochs 30 to 39 of 40 in the authors' notebook.
LATE_PART = 4

#: The scale at which a method is exactly what its name says; random directions and dropout have none. The authors'
#: notebook also uses 1 for its ensembles.
NATURAL_SCALES = {"diagonal-gaussian": 1.0, "low-rank-gaussian": 1.0, "random-pca": 1.0}

#: Number of accepted random samples whose principal components `random-pca` uses: as many as the paper's figure 8 has
#: per method (the notebook: up to 30).
PCA_SAMPLES = 10

#: Samples in the diversity–accuracy plane range from the base's validation accuracy to this share of it (our choice).
PLANE_FLOOR = 0.5

#: Random samples in an ensemble lose at most this much of the base's validation accuracy: the paper's section 5
#: rejects samples below 0.65, and its networks reach 0.71.
REJECTION_MARGIN = 0.06

#: Settings of `largest_scale`: the factor between two scales while it looks for a bracket, the most such steps, and
#: how often it then halves the bracket, which leaves a bracket of one per cent.
BRACKET_FACTOR, BRACKET_STEPS, BISECTIONS = 4, 6, 7


def late_iterates(weights: ArrayLike, rank: int = RANK) -> np.ndarray:
    """The late iterates of a run, from which a subspace is made: the last quarter of its epochs, rounded up.

    There are at least `rank` + 1, enough for `rank` principal directions. `weights (T, P)` are those at initialisation,
    which is not an iterate, and after each epoch, as in `Trajectory.weights`. Returns a view `(t, P)` that ends with
    the final solution. Raises `ConfigError` if the run has too few epochs. Source: the authors' notebook, see
    `LATE_PART`.
    """
    weights = np.asarray(weights, dtype=np.float32)
    epochs, needed = len(weights) - 1, rank + 1
    if epochs < needed:
        raise ConfigError(f"epochs must be at least {needed} for late iterates of rank {rank}, got {epochs}")
    return weights[-max(math.ceil(epochs / LATE_PART), needed) :]


def weight_average(iterates: ArrayLike) -> np.ndarray:
    """The mean of `iterates (T, P)`: `(P,)`. Source: the paper's section 5, after Izmailov et al. 2018."""
    return np.mean(np.asarray(iterates, dtype=np.float32), axis=0, dtype=np.float64).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Subspace(ABC):
    """A distribution of weights around a `center (P,)`: the larger the scale, the farther away. Created by `subspace`.

    `upper` is the largest scale allowed. `fitted` says whether it is made from several iterates; others use the final
    solution alone, so that runs of any length have them.
    """

    center: np.ndarray
    upper: ClassVar[float] = math.inf
    fitted: ClassVar[bool] = False

    @classmethod
    def _fit(cls, iterates: np.ndarray, rank: int, standardized: bool) -> "Subspace":
        """The result of `subspace`, with the same arguments; by default centered on the final solution."""
        return cls(iterates[-1])

    def sample(self, scales: ArrayLike, seed: int) -> np.ndarray:
        """Weights, float32 `(N, P)`: one independent draw for each of the `scales (N,)`; scale 0 is the center.

        Sample i depends only on `seed`, i and its own scale: more scales add samples and leave the first ones
        unchanged, and a larger scale takes the same draw further from the center. Runs and methods that share a seed
        share their draws.
        """
        scales = np.asarray(scales, dtype=np.float64)
        if not np.all((scales >= 0) & (scales <= self.upper)):
            raise ValueError(f"scales: expected 0 to {self.upper:g}, received {scales.min()} to {scales.max()}")
        samples = np.empty((len(scales), len(self.center)), dtype=np.float32)
        for number, scale in enumerate(scales.tolist()):
            own_seed = np.random.SeedSequence(seed, spawn_key=(number,))
            samples[number] = self._draw(scale, np.random.default_rng(own_seed))
        return samples

    @abstractmethod
    def _draw(self, scale: float, generator: np.random.Generator) -> np.ndarray:
        """One sample `(P,)`."""


class RandomDirections(Subspace):
    """The final solution plus a step in a uniformly random direction; the scale is the Euclidean length of the step."""

    def _draw(self, scale, generator):
        direction = generator.standard_normal(len(self.center))
        return self.center + scale / np.linalg.norm(direction) * direction


class ParameterDropout(Subspace):
    """The final solution with each weight zeroed with probability scale, and the others divided by 1 - scale.

    Biases are weights too. This is not dropout of activations: one mask is drawn for all images. At scale 1 no weight
    would be left, so the largest scale keeps about one weight in a hundred.
    """

    upper = 0.99

    def _draw(self, scale, generator):
        return np.where(generator.random(len(self.center)) < scale, 0, self.center / (1 - scale))


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(Subspace):
    """The iterates' mean plus, for each weight separately, scale times `deviation (P,)` times a standard normal."""

    deviation: np.ndarray
    fitted = True

    @classmethod
    def _fit(cls, iterates, rank, standardized):
        deviation = np.concatenate([np.sqrt(np.mean(block**2, axis=0)) for block in _deviations(iterates)])
        return cls(weight_average(iterates), deviation.astype(np.float32))

    def _draw(self, scale, generator):
        return self.center + scale * self.deviation * generator.standard_normal(len(self.center))


@dataclass(frozen=True, eq=False)
class LowRankGaussian(Subspace):
    """The iterates' mean plus scale times a standard normal along each of the `directions (rank, P)`.

    The directions are principal, and their lengths are the samples' standard deviations at scale 1. The iterates are a
    run's late ones for `low-rank-gaussian`, and accepted random samples around its end for `random-pca`.
    """

    directions: np.ndarray
    fitted = True

    @classmethod
    def _fit(cls, iterates, rank, standardized):
        return cls(weight_average(iterates), _principal_directions(iterates, rank, standardized))

    def _draw(self, scale, generator):
        return self.center + scale * generator.standard_normal(len(self.directions)) @ self.directions


#: Subspaces by name. Samples are seeded by the position in this table: add new subspaces at the end.
SUBSPACES: dict[str, type[Subspace]] = {
    "random": RandomDirections,
    "dropout": ParameterDropout,
    "diagonal-gaussian": DiagonalGaussian,
    "low-rank-gaussian": LowRankGaussian,
    "random-pca": LowRankGaussian,
}
METHODS = tuple(SUBSPACES)

#: Methods that use one run instead of training more: the subspaces, and the average of its late weights.
WITHIN_RUN = (*METHODS, "weight-average")

#: Display names of all methods to obtain networks.
METHOD_NAMES = {
    "single": "single network",
    "independent": "independent solutions",
    "trajectory": "checkpoints of one run",
    "random": "random directions",
    "dropout": "dropout of weights",
    "diagonal-gaussian": "diagonal Gaussian",
    "low-rank-gaussian": "low-rank Gaussian",
    "random-pca": "PCA of random samples",
    "weight-average": "weight average",
}


def subspace(method: str, iterates: ArrayLike, rank: int = RANK, standardized: bool = True) -> Subspace:
    """One of `SUBSPACES` around the end of a run.

    `random` and `dropout` are centered on the final solution, the last of the `iterates (T, P)`, and use only that;
    the others are centered on the mean of the iterates: those of `late_iterates`, or accepted random samples for
    `random-pca`. `low-rank-gaussian` and `random-pca` need at least `rank` + 1 iterates and have `rank` principal
    directions, largest variance first. If `standardized`, these are scaled by the iterates' standard deviation along
    them, which makes the method a Gaussian fit of the iterates; otherwise they have length one, as in the paper's
    formula and the authors' notebook. Standard deviations are those of the T iterates themselves (divided by T, not T -
    1), as in the notebook. Raises `ConfigError` for an unknown method or too few iterates.
    """
    if method not in SUBSPACES:
        raise ConfigError(unknown("method", method, METHODS))
    return SUBSPACES[method]._fit(np.asarray(iterates, dtype=np.float32), rank, standardized)


def largest_scale(accuracy_at: Callable[[float], float], floor: float, start: float, upper: float = math.inf) -> float:
    """The largest scale at which samples are still accurate enough, to one per cent, in at most 14 evaluations.

    Steps by a factor of 4 from `start` find a scale that is small enough and one that is too large; then the interval
    between them is bisected. This assumes that accuracy falls with scale; if it goes up and down, the result is one of
    the places where it crosses the floor. `accuracy_at` returns the mean validation accuracy, a fraction, of a few
    samples at a scale above 0, always with the same seed; `floor` is the lowest accuracy that is enough. The result is
    `upper`, or 4096 times `start`, if accuracy never falls below the floor, and 0 if it is below it even at `start` /
    4096.
    """
    low, high = (start, math.inf) if accuracy_at(start) >= floor else (0.0, start)
    for _ in range(BRACKET_STEPS):
        if low == upper or (low > 0 and high < math.inf):
            break
        scale = min(low * BRACKET_FACTOR, upper) if low > 0 else high / BRACKET_FACTOR
        low, high = (scale, high) if accuracy_at(scale) >= floor else (low, scale)
    if low == 0 or high == math.inf:
        return low
    for _ in range(BISECTIONS):
        scale = math.sqrt(low * high)
        low, high = (scale, high) if accuracy_at(scale) >= floor else (low, scale)
    return low


def _deviations(iterates: np.ndarray) -> Iterator[np.ndarray]:
    """The iterates minus their mean, in float64, `BLOCK` columns at a time to save memory."""
    for start in range(0, iterates.shape[1], BLOCK):
        block = iterates[:, start : start + BLOCK].astype(np.float64)
        yield block - block.mean(axis=0)


def _principal_directions(iterates: np.ndarray, rank: int, standardized: bool) -> np.ndarray:
    """Principal directions `(rank, P)`, combined from the iterates by the eigenvectors of their T x T Gram matrix."""
    count = len(iterates)
    if not 1 <= rank <= count - 1:
        raise ConfigError(f"rank must be at least 1 and less than the number of iterates, {count}, got {rank}")
    values, vectors = np.linalg.eigh(sum(block @ block.T for block in _deviations(iterates)))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    # The sign of an eigenvector is arbitrary; fix it, so that it does not depend on the linear algebra library.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
    # A direction combined by a unit eigenvector has length √value; the deviation along it is √(value / T).
    lengths = math.sqrt(count)
    if not standardized:
        if values[-1] <= count * np.finfo(np.float64).eps * values[0]:
            raise ConfigError(f"rank must be smaller, got {rank}: the iterates span fewer dimensions")
        lengths = np.sqrt(values)
    return np.concatenate(
        [((vectors / lengths).T @ block).astype(np.float32) for block in _deviations(iterates)], axis=1
    )
