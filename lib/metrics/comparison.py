"""Networks beside a reference, and beside one another: how different they are in function space, and how accurate.

    labels → Comparison → Points, of all images or of a resample
    labels → Pairs → matrices of pairs, alike

Top `labels (N, n)` and true `targets (n,)` of N networks on n images. What each network does on each image is kept as
float32: so a resample of the images, given as indices that may repeat, costs one product in BLAS, which counts exactly
up to 2^24 of them.
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


def equidistant(labels: ArrayLike, level: float = 0.95) -> Estimate:
    """Coefficient of variation of the true disagreement of pairs: of more runs like these, on more images like these.

    `labels (M, n)`: top labels. Disagreement is μ + g_i + g_j + s_ij with random g and s, plus what few images add.
    Mean squares between members (M-1 degrees of freedom) and of the rest (M(M-3)/2) give the variance between pairs,
    (2 MS_g + (M-4) MS_s) / (M-2), with the bounds of Graybill and Wang; what images add to it is found from how pairs
    vary over images, and subtracted before. 0 or more, no unit; the low end is 0 where images explain it all. Sources:
    Griffing (1956), Graybill and Wang (1980).
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
    if ends[2] == 0:  # less than images alone would bring about: they were not drawn as was thought
        ends[1:] = math.nan
    return Estimate(*map(float, ends), "random effects", members, level=level)


def _parts(apart: np.ndarray) -> np.ndarray:
    """What mean squares between members and of the rest add to the variance between pairs.

    `apart (M, M, ...)`, symmetric with zeros on the diagonal, gives `(2, ...)`, summed over further axes: `(2,)`.
    Formulas of a half diallel without selfs (Griffing's method 4).
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
