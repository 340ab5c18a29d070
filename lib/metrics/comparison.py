"""Networks beside a reference, and beside one another: how different they are in function space, and how accurate.

    labels → Comparison → Points, of all images or of a resample
    labels → Pairs → matrices of pairs, alike

Top `labels (N, n)` and true `targets (n,)` of N networks on n images. What each network does on each image is kept as
float32: so a resample of the images, given as indices that may repeat, costs one product in BLAS, which counts exactly
up to 2^24 of them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from lib.metrics.diversity import fit_flip_exponent, per_error, perturbed_limit, uncorrelated_limit
from lib.metrics.intervals import mean_over


@dataclass(frozen=True, eq=False)
class Points:
    """Networks on the plane of diversity and accuracy.

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
        return per_error(self.disagreements, self.accuracies)

    @property
    def above_chance(self) -> bool:
        """Whether the reference is better than guessing; otherwise it has no labels worth flipping."""
        return self.reference_accuracy * self.num_classes > 1

    def chosen(self, which: np.ndarray) -> "Points":
        """Those that a mask `(N,)` or indices choose."""
        return replace(self, accuracies=self.accuracies[which], disagreements=self.disagreements[which])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower (perturbed) and the upper (uncorrelated) limit at the points' accuracies, each `(N,)`."""
        settings = self.accuracies, self.reference_accuracy, self.num_classes
        return perturbed_limit(*settings), uncorrelated_limit(*settings)

    def exponent(self) -> float:
        """The exponent of the flip family that fits best, see `lib.metrics.fit_flip_exponent`; nan where none can."""
        return fit_flip_exponent(self.accuracies, self.disagreements, self.reference_accuracy, self.num_classes)


class Comparison:
    """N networks and a `reference (n,)`, given by its top labels, in a task of `num_classes`."""

    def __init__(self, labels: ArrayLike, reference: ArrayLike, targets: ArrayLike, num_classes: int):
        self._right = np.equal(labels, targets).astype(np.float32)
        self._differ = np.not_equal(labels, reference).astype(np.float32)
        self._reference_right = np.equal(reference, targets).astype(np.float32)
        self.num_classes = num_classes

    def points(self, images: np.ndarray | None = None) -> Points:
        """The networks on the plane by all images, or by those of a resample."""
        total = len(self._reference_right)
        images = np.arange(total) if images is None else images
        counts = np.bincount(images, minlength=total).astype(np.float32)
        shares = [own @ counts / np.float64(len(images)) for own in (self._right, self._differ, self._reference_right)]
        return Points(*shares, self.num_classes)

    def standard_errors(self) -> np.ndarray:
        """Of each network's normalised diversity, over images: `(N,)`, to first order; nan without errors.

        Normalised diversity is a ratio of two means, D = mean(differ) / mean(wrong); its error is that of
        mean(differ - D wrong) / mean(wrong).
        """
        wrong = 1 - self._right
        residuals = self._differ - self.points().diversities[:, None] * wrong
        return residuals.std(axis=1) / np.sqrt(wrong.shape[1]) / wrong.mean(axis=1)


class Pairs:
    """N networks, two at a time."""

    def __init__(self, labels: ArrayLike, targets: ArrayLike):
        self._differ = np.stack([labels != own for own in labels]).astype(np.float32)
        self._wrong = np.not_equal(labels, targets).astype(np.float32)

    def disagreements(self, images: np.ndarray) -> np.ndarray:
        """Fraction of images on which two networks' labels differ: `(N, N)`."""
        return mean_over(self._differ, images)

    def diversities(self, images: np.ndarray) -> np.ndarray:
        """Disagreement per error, `(N, N)`: the mean of both directions of `lib.metrics.normalized_diversity`.

        d (1 / e_i + 1 / e_j) / 2, with the two networks' error rates e; nan for a network without errors.
        """
        errors = mean_over(self._wrong, images)
        inverse = 1 / np.where(errors > 0, errors, np.nan)
        return mean_over(self._differ, images) * (inverse[:, None] + inverse) / 2
