"""Whether samples around a run stay in its mode: nearer to their own solution than to any other, and how far from it.

    predictions of samples and solutions → distances by example → share that stays, distance beside that between runs

Distances are kept example by example, so that a bootstrap over images costs one product of an array and a vector.
"""

import numpy as np
from numpy.typing import ArrayLike

from lib.metrics.intervals import distinct_pairs, mean_over
from lib.subspaces.samples import Samples

#: A sample counts as accurate as its base up to this much less validation accuracy: the 2 points of the claims.
AS_ACCURATE = 0.02


def as_accurate(samples: Samples, base_accuracy: float) -> np.ndarray:
    """Which samples have about the validation accuracy of their base: bool `(N,)`."""
    # Accuracies are shares of the same images: all that is forgiven is rounding.
    return samples.val_accuracies >= base_accuracy - AS_ACCURATE - 1e-9


def squared_distances(probs: ArrayLike, solutions: ArrayLike) -> np.ndarray:
    """Squared Euclidean distance of each sample from each solution on each example.

    Probabilities `(S, n, K)` of the samples and `(M, n, K)` of the solutions give float32 `(S, M, n)`, 0 to 2. Sums
    over examples are the squared distances of whole predictions.
    """
    probs, solutions = np.asarray(probs), np.asarray(solutions)
    if probs.ndim != 3 or probs.shape[1:] != solutions.shape[1:]:
        raise ValueError(
            f"probs and solutions: expected (S, n, K) and (M, n, K), received {probs.shape}, {solutions.shape}"
        )
    # One sample at a time: a difference of all pairs would be K times the result.
    return np.stack([np.square(solutions - sample).sum(axis=-1, dtype=np.float32) for sample in probs])


def share_staying(distances: np.ndarray, counted: np.ndarray, members: np.ndarray, images: np.ndarray) -> float:
    """Share of samples whose nearest solution is that of their own run.

    Args:
        distances: `squared_distances` of the S samples of each run from the solutions of all runs, `(M, S, M, n)`.
        counted: which samples count, bool `(M, S)`.
        members: the runs whose samples count, with repetitions, as from `lib.metrics.intervals.bootstrap`; the solutions
            that a sample may be near to are always those of all runs.
        images: indices of the images that count, alike.

    Returns:
        0 to 1; nan where no sample counts. At equal distances the first run is the nearest.
    """
    stayed = mean_over(distances, images).argmin(axis=-1) == np.arange(len(distances))[:, None]
    return _mean(stayed[members][counted[members]])


def relative_disagreement(
    from_base: np.ndarray, between: np.ndarray, counted: np.ndarray, members: np.ndarray, images: np.ndarray
) -> float:
    """Mean disagreement of samples with their base over the mean disagreement between solutions of different runs.

    Args:
        from_base: whether a sample has another label than its base on an image, `(M, S, n)`; float32 is many times
            faster than booleans.
        between: whether two solutions have different labels, `(M, M, n)`, alike.
        counted: which samples count, bool `(M, S)`.
        members: the runs that count, with repetitions, both their samples and the pairs of them.
        images: indices of the images that count, with repetitions.

    Returns:
        0 or more, below 1 when samples are nearer to their base than runs are to each other; nan where no sample
        counts, no two different runs do, or these do not differ.
    """
    own = _mean(mean_over(from_base, images)[members][counted[members]])
    runs = _mean(mean_over(between, images)[distinct_pairs(members)])
    return own / runs if runs else float("nan")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
