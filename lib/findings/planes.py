"""The diversity–accuracy plane: where networks lie on it, beside a reference and between the analytic limits.

    labels → Plane → points, of all images or of a resample → gap at matched accuracy, share between limits, exponent

A plane keeps what each network does on each image, so that a bootstrap over images costs one product of a matrix and
a vector a resample.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from sklearn import config_context

from lib import metrics

#: How many standard errors a point may lie outside the limits and still count as between them: what the claim says.
TOLERANCE = 2.0


@dataclass(frozen=True, eq=False)
class Points:
    """Networks on the plane.

    Attributes:
        accuracies: fractions, `(N,)`.
        disagreements: with the reference, fractions, `(N,)`.
        reference_accuracy: that of the reference, a fraction.
        num_classes: K.
    """

    accuracies: np.ndarray
    disagreements: np.ndarray
    reference_accuracy: float
    num_classes: int

    @cached_property
    def diversities(self) -> np.ndarray:
        """Normalised diversity, see `lib.metrics.normalized_diversity`: `(N,)`, nan without errors."""
        errors = 1 - self.accuracies
        return self.disagreements / np.where(errors > 0, errors, np.nan)

    def chosen(self, which: np.ndarray) -> "Points":
        """Those that a mask `(N,)` or indices choose."""
        return replace(self, accuracies=self.accuracies[which], disagreements=self.disagreements[which])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower (perturbed) and the upper (uncorrelated) limit at the points' accuracies, each `(N,)`.

        Without a reference better than chance there is no lower limit: nan.
        """
        settings = self.accuracies, self.reference_accuracy, self.num_classes
        lower = metrics.perturbed_limit(*settings) if self._above_chance else np.full(len(self.accuracies), np.nan)
        return lower, metrics.uncorrelated_limit(*settings)

    def exponent(self) -> float:
        """The exponent of the flip family that fits best, see `lib.metrics.fit_flip_exponent`; nan where none can."""
        if not self._above_chance:
            return float("nan")
        settings = self.accuracies, self.disagreements, self.reference_accuracy, self.num_classes
        return metrics.fit_flip_exponent(*settings)

    def family_error(self, exponent: float) -> float:
        """RMSE of the points from the flip family of that exponent minus the smaller RMSE from the two limits.

        Below 0 the family describes the points better than either limit; nan where `exponent` is.
        """
        if not (self._above_chance and np.isfinite(exponent)):
            return float("nan")
        settings = self.accuracies, exponent, self.reference_accuracy, self.num_classes
        curves = metrics.flip_family_diversity(*settings), *self.limits()
        family, *limits = [metrics.diversity_rmse(self.accuracies, self.disagreements, curve) for curve in curves]
        return family - min(limits)

    @property
    def _above_chance(self) -> bool:
        return self.reference_accuracy * self.num_classes > 1


class Plane:
    """What N networks and a reference predict on n images, ready to be counted again and again.

    Args:
        labels: predicted, `(N, n)`.
        reference: the reference's predicted labels, `(n,)`.
        targets: true labels, `(n,)`.
        num_classes: K.
    """

    def __init__(self, labels: ArrayLike, reference: ArrayLike, targets: ArrayLike, num_classes: int):
        labels, reference, targets = map(np.asarray, (labels, reference, targets))
        if labels.ndim != 2 or not labels.size:
            raise ValueError(f"labels: expected shape (N, n), received {labels.shape}")
        for name, value in {"reference": reference, "targets": targets}.items():
            if value.shape != labels.shape[1:]:
                raise ValueError(f"{name}: expected shape (n = {labels.shape[1]},), received {value.shape}")
        # As float32 the products below run in BLAS; they count images, exactly up to 2^24 of them.
        self._right = (labels == targets).astype(np.float32)
        self._differ = (labels != reference).astype(np.float32)
        self._reference_right = (reference == targets).astype(np.float32)
        self.num_classes = num_classes

    def points(self, images: np.ndarray | None = None) -> Points:
        """The networks on the plane by all images, or by those of a resample (indices, which may repeat)."""
        total = self._right.shape[1]
        images = np.arange(total) if images is None else images
        counts = np.bincount(images, minlength=total).astype(np.float32)
        right, differ = self._right @ counts, self._differ @ counts
        size = len(images)
        reference = float(self._reference_right @ counts) / size
        return Points(right / np.float64(size), differ / np.float64(size), reference, self.num_classes)

    def standard_errors(self) -> np.ndarray:
        """Of each network's normalised diversity, over images: `(N,)`, to first order; nan without errors.

        Normalised diversity is a ratio of two means, D = mean(differ) / mean(wrong); its error is that of
        mean(differ - D wrong) / mean(wrong).
        """
        diversities = self.points().diversities
        wrong = 1 - self._right
        residuals = self._differ - diversities[:, None] * wrong
        return (
            residuals.std(axis=1)
            / np.sqrt(wrong.shape[1])
            / np.where(np.isnan(diversities), np.nan, wrong.mean(axis=1))
        )


def diversity_gaps(independent: Points, samples: Points) -> np.ndarray:
    """Normalised diversity of each independent solution minus what the samples have at its accuracy: `(N,)`.

    nan where the samples do not reach that accuracy, see `lib.metrics.diversity_at_accuracy`.
    """
    # Half of the time of a fit this small goes into scikit-learn's checks of what is checked already.
    with config_context(skip_parameter_validation=True, assume_finite=True):
        matched = metrics.diversity_at_accuracy(samples.accuracies, samples.diversities, independent.accuracies)
    return independent.diversities - matched


def mean_gap(independent: Points, samples: Points) -> float:
    """The mean of `diversity_gaps` over the solutions whose accuracy the samples reach; nan where they reach none."""
    gaps = diversity_gaps(independent, samples)
    return _mean(gaps[np.isfinite(gaps)])


def mean_below_uncorrelated(points: Points) -> float:
    """Mean distance of points below the uncorrelated limit, in normalised diversity; nan where none has errors."""
    below = points.limits()[1] - points.diversities
    return _mean(below[np.isfinite(below)])


def family_fits(plane: Plane) -> Callable[[np.ndarray], tuple[float, float]]:
    """What a bootstrap of the flip family over images needs: `family_error` of the best member, and its exponent.

    The function takes the images of a resample. Asked again for the same ones, as by a second bootstrap with the same
    seed, it remembers.
    """
    found: dict[bytes, tuple[float, float]] = {}

    def fit(images: np.ndarray) -> tuple[float, float]:
        key = hashlib.sha256(np.ascontiguousarray(images)).digest()
        if key not in found:
            points = plane.points(images)
            exponent = points.exponent()
            found[key] = points.family_error(exponent), exponent
        return found[key]

    return fit


def share_between_limits(points: Points, standard_errors: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Share of points between both limits, or outside by at most `tolerance` of their `standard_errors (N,)`.

    0 to 1. Points without errors are left out; nan when there are no others, or no lower limit.
    """
    slack = tolerance * standard_errors
    lower, upper = points.limits()
    below, above = lower - slack - points.diversities, points.diversities - upper - slack
    known = np.isfinite(below) & np.isfinite(above)
    return _mean((below <= 0)[known] & (above <= 0)[known])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
