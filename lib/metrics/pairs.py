"""How different networks are from one another in function space, of all images or of a resample of them."""

import numpy as np
from numpy.typing import ArrayLike

from lib.metrics.checks import shaped
from lib.metrics.intervals import mean_over


class Pairs:
    """What N networks predict on n images, two at a time, ready to be counted again and again.

    Args:
        labels: predicted, `(N, n)`.
        targets: true labels, `(n,)`.
    """

    def __init__(self, labels: ArrayLike, targets: ArrayLike):
        labels = shaped("labels", labels, "N n")
        targets = shaped("targets", targets, "n", n=labels.shape[1])
        # As float32 the means below run in BLAS.
        self._differ = np.stack([labels != own for own in labels]).astype(np.float32)
        self._wrong = (labels != targets).astype(np.float32)

    def disagreements(self, images: np.ndarray) -> np.ndarray:
        """Fraction of images on which two networks' labels differ: `(N, N)`.

        `images` are the indices of those that count, with repetitions, as `lib.metrics.intervals` draws them.
        """
        return mean_over(self._differ, images)

    def diversities(self, images: np.ndarray) -> np.ndarray:
        """Disagreement per error, `(N, N)`: the mean of both directions of `lib.metrics.normalized_diversity`.

        d (1 / e_i + 1 / e_j) / 2, with the two networks' error rates e; nan for a network without errors. `images` as
        in `disagreements`.
        """
        errors = mean_over(self._wrong, images)
        inverse = 1 / np.where(errors > 0, errors, np.nan)
        return mean_over(self._differ, images) * (inverse[:, None] + inverse) / 2


def mean_of(matrix: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean of a matrix `(N, N)` over pairs of networks, given as indices `(a, b)`; nan where there are none."""
    values = matrix[pairs]
    return float(values.mean()) if values.size else float("nan")
