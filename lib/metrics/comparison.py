"""Comparison of networks with a reference and with each other: difference in function space, and accuracy.

    labels → Comparison → Points, for all images or a resample
    labels → Pairs → matrices over pairs, likewise

Top `labels (N, n)` and true `targets (n,)` of N networks on n images. Results per network and image are kept as
float32: a resample of the images, given as indices that may repeat, then costs one BLAS product, which counts exactly
up to 2^24 images.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from lib.metrics.checks import valid_labels
from lib.metrics.diversity import fit_flip_exponent, per_error, perturbed_limit, uncorrelated_limit
from lib.metrics.intervals import LEAST_MEMBERS, Estimate, mean_over


@dataclass(frozen=True, eq=False)
class Points:
    """Networks as points in the diversity-accuracy plane.

    Attributes:
        accuracies: fractions, `(N,)`.
        disagreements: disagreements with the reference, fractions, `(N,)`.
        reference_accuracy: accuracy of the reference, a fraction.
        num_classes: number of classes, K.
    """

    accuracies: np.ndarray
    disagreements: np.ndarray
    reference_accuracy: float
    num_classes: int

    @cached_property
    def diversities(self) -> np.ndarray:
        """Normalised diversity, see `lib.metrics.normalized_diversity`: `(N,)`, nan for networks without errors."""
        return per_error(self.disagreements, self.accuracies)

    @property
    def above_chance(self) -> bool:
        """Whether the reference is better than guessing; if not, the models of flipped labels do not apply."""
        return self.reference_accuracy * self.num_classes > 1

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower (perturbed) and upper (uncorrelated) limits at the points' accuracies, `(N,)` each."""
        settings = self.accuracies, self.reference_accuracy, self.num_classes
        return perturbed_limit(*settings), uncorrelated_limit(*settings)

    def exponent(self) -> float:
        """The best-fitting exponent of the flip family, see `lib.metrics.fit_flip_exponent`; nan if there is none."""
        return fit_flip_exponent(self.accuracies, self.disagreements, self.reference_accuracy, self.num_classes)


class Comparison:
    """N networks and a `reference (n,)`, all given by their top labels, on a task with `num_classes`."""

    def __init__(self, labels: ArrayLike, reference: ArrayLike, targets: ArrayLike, num_classes: int):
        self._right = np.equal(labels, targets).astype(np.float32)
        self._differ = np.not_equal(labels, reference).astype(np.float32)
        self._reference_right = np.equal(reference, targets).astype(np.float32)
        self.num_classes = num_classes

    def points(self, images: np.ndarray | None = None) -> Points:
        """The networks' points in the plane for all images, or for a resample of the images."""
        total = len(self._reference_right)
        images = np.arange(total) if images is None else images
        counts = np.bincount(images, minlength=total).astype(np.float32)
        shares = [own @ counts / np.float64(len(images)) for own in (self._right, self._differ, self._reference_right)]
        return Points(*shares, self.num_classes)

    def standard_errors(self) -> np.ndarray:
        """First-order standard errors of normalised diversity over images: `(N,)`; nan for networks without errors.

        Normalised diversity is a ratio of two means, D = mean(differ) / mean(wrong); its standard error is that of
        mean(differ - D wrong), divided by mean(wrong).
        """
        wrong = 1 - self._right
        residuals = self._differ - self.points().diversities[:, None] * wrong
        return residuals.std(axis=1) / np.sqrt(wrong.shape[1]) / wrong.mean(axis=1)


class Pairs:
    """All pairs of N networks."""

    def __init__(self, labels: ArrayLike, targets: ArrayLike):
        self._differ = np.stack([labels != own for own in labels]).astype(np.float32)
        self._wrong = np.not_equal(labels, targets).astype(np.float32)

    def disagreements(self, images: np.ndarray) -> np.ndarray:
        """Fraction of images on which two networks' labels differ: `(N, N)`."""
        return mean_over(self._differ, images)

    def diversities(self, images: np.ndarray) -> np.ndarray:
        """Disagreement per error, `(N, N)`: the mean of `lib.metrics.normalized_diversity` in both directions.

        d (1 / e_i + 1 / e_j) / 2 with disagreement d and error rates e; nan for pairs with a network without errors.
        """
        errors = mean_over(self._wrong, images)
        inverse = 1 / np.where(errors > 0, errors, np.nan)
        return mean_over(self._differ, images) * (inverse[:, None] + inverse) / 2


def equidistant(labels: ArrayLike, level: float = 0.95) -> Estimate:
    """Coefficient of variation of pairwise disagreement, for the population of runs and images.

    `labels (M, n)`: top labels. Disagreement is modelled as μ + g_i + g_j + s_ij, with random g and s, plus noise from
    the finite number of images. Mean squares between members (M-1 degrees of freedom) and of the rest (M(M-3)/2) give
    the variance between pairs, (2 MS_g + (M-4) MS_s) / (M-2), with the bounds of Graybill and Wang. The noise is
    estimated from the variation over images and subtracted. 0 or more, no unit; the low end is 0 if image noise
    explains all variation. Sources: Griffing (1956), Graybill and Wang (1980).
    """
    labels = valid_labels("labels", labels, "M n")
    members, images = labels.shape
    nothing = Estimate(math.nan, math.nan, math.nan, "random effects", members, level=level)
    if members < LEAST_MEMBERS or images < 2:
        return nothing
    differ = (labels[:, None] != labels).astype(np.float64)  # (M, M, n)
    apart = differ.mean(axis=-1)
    mean = apart.sum() / (members * (members - 1))
    parts = _parts(apart)
    total = parts.sum()
    noise = _parts(differ - apart[..., None]).sum() / (images * (images - 1))
    if not total > 0:
        return nothing
    df, tail = np.array([members - 1, members * (members - 3) / 2]), (1 - level) / 2
    below = np.linalg.norm(parts * (1 - df / chi2.ppf(1 - tail, df)))
    above = np.linalg.norm(parts * (df / chi2.ppf(tail, df) - 1))
    ends = np.sqrt(np.maximum([total - noise, total - below - noise, total + above - noise], 0)) / mean
    if ends[2] == 0:  # less variation than from image noise alone, so the noise model is wrong
        ends[1:] = math.nan
    return Estimate(*map(float, ends), "random effects", members, level=level)


def _parts(apart: np.ndarray) -> np.ndarray:
    """Contributions of the mean squares between members and of the rest to the variance between pairs: `(2,)`.

    `apart (M, M, ...)` is symmetric with zeros on the diagonal; further axes are summed over. Formulas for a half
    diallel without selfs (Griffing's method 4).
    """
    members = len(apart)
    of_members, everything = apart.sum(axis=0), apart.sum(axis=(0, 1)) / 2
    squares = np.square(of_members).sum(axis=0)
    between = (squares - 4 * everything**2 / members) / (members - 2)
    rest = np.square(apart).sum(axis=(0, 1)) / 2 - squares / (members - 2)
    rest = rest + 2 * everything**2 / ((members - 1) * (members - 2))
    return np.array(
        [
            2 * between.sum() / (members - 1),
            (members - 4) * rest.sum() / (members * (members - 3) / 2),
        ]
    ) / (members - 2)
