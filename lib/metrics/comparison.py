"""Networks beside a reference: where they lie on the plane of diversity and accuracy.

    labels → Comparison → Points, of all images or of a resample

A comparison keeps what each network does on each image, so that a resample of the images costs one product of a matrix
and a vector.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from lib.metrics.checks import shaped
from lib.metrics.diversity import fit_flip_exponent, per_error, perturbed_limit, uncorrelated_limit


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
        return per_error(self.disagreements, self.accuracies)

    @property
    def above_chance(self) -> bool:
        """Whether the reference is better than guessing; otherwise it has no labels worth flipping."""
        return self.reference_accuracy * self.num_classes > 1

    def chosen(self, which: np.ndarray) -> "Points":
        """Those that a mask `(N,)` or indices choose."""
        return replace(self, accuracies=self.accuracies[which], disagreements=self.disagreements[which])

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower (perturbed) and the upper (uncorrelated) limit at the points' accuracies, each `(N,)`.

        Without a reference better than chance there is no lower limit: nan.
        """
        settings = self.accuracies, self.reference_accuracy, self.num_classes
        lower = perturbed_limit(*settings) if self.above_chance else np.full(len(self.accuracies), np.nan)
        return lower, uncorrelated_limit(*settings)

    def exponent(self) -> float:
        """The exponent of the flip family that fits best, see `lib.metrics.fit_flip_exponent`; nan where none can."""
        if not self.above_chance:
            return float("nan")
        return fit_flip_exponent(self.accuracies, self.disagreements, self.reference_accuracy, self.num_classes)


class Comparison:
    """What N networks and a reference predict on n images, ready to be counted again and again.

    Args:
        labels: predicted, `(N, n)`.
        reference: the reference's predicted labels, `(n,)`.
        targets: true labels, `(n,)`.
        num_classes: K.
    """

    def __init__(self, labels: ArrayLike, reference: ArrayLike, targets: ArrayLike, num_classes: int):
        labels = shaped("labels", labels, "N n")
        reference = shaped("reference", reference, "n", n=labels.shape[1])
        targets = shaped("targets", targets, "n", n=labels.shape[1])
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
        errors = np.where(np.isnan(diversities), np.nan, wrong.mean(axis=1))
        return residuals.std(axis=1) / np.sqrt(wrong.shape[1]) / errors
