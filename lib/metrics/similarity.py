"""Similarity of networks, in the direction of their weights and in their predictions."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist, squareform

from lib.metrics.checks import shaped, valid_labels, valid_probabilities
from lib.metrics.scores import entropy_of

#: How many numbers of a matrix are converted to float64 at a time: 16 MB.
BLOCK_NUMBERS = 1 << 21


def cosine_similarity(weights: ArrayLike) -> np.ndarray:
    """Cosine similarity of every pair of weight vectors: w_i · w_j / (|w_i| |w_j|).

    `weights (N, P)` give `(N, N)` in [-1, 1], no unit: 1 for the same direction, 0 for orthogonal vectors. Biases are
    included. Raises `ValueError` for a vector of zeros, which has no direction, and for weights that are not finite.
    Source: the paper's figures 2 and 3.
    """
    weights = shaped("weights", weights, "N P")
    gram = sum(block @ block.T for block in _blocks(weights))
    norms = np.sqrt(np.diag(gram))
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise ValueError(f"weights: every vector must be finite and not zero, vector {bad[0]} is not")
    cosine = np.clip(gram / np.outer(norms, norms), -1, 1)
    np.fill_diagonal(cosine, 1)
    return cosine


def disagreement(labels: ArrayLike) -> np.ndarray:
    """Fraction of examples on which two networks predict different labels: (1/n) Σ_x [f_i(x) ≠ f_j(x)].

    Predicted `labels (N, n)` give `(N, N)` in [0, 1], symmetric, zeros on the diagonal. Source: the paper's
    figures 2 and 3.
    """
    labels = valid_labels("labels", labels, "N n")
    return np.array([np.count_nonzero(labels != row, axis=1) for row in labels]) / labels.shape[1]


def jensen_shannon_divergence(probs: ArrayLike) -> float:
    """Jensen-Shannon divergence of the members: mean over examples of H(mean_i p_i) - mean_i H(p_i), in nats.

    H(p) = -Σ_k p_k log p_k, with 0 log 0 = 0. `probs (N, n, K)` give a float in [0, log min(N, K)]: 0 if all members
    predict the same, log N if each member is certain of a different class. This is the mean of the members' KL
    divergences from their mean, as in the authors' code; the paper's formula has their sum, which is N times larger.
    """
    return float(jensen_shannon_by_example(probs).mean())


def jensen_shannon_by_example(probs: ArrayLike) -> np.ndarray:
    """`jensen_shannon_divergence` on each example, not averaged: `probs (N, n, K)` give `(n,)`, in nats.

    `area_under_roc` can use it as a score for detecting out-of-distribution examples.
    """
    probs = valid_probabilities(probs, "N n K")
    mean = np.zeros(probs.shape[1:])
    entropy = np.zeros(probs.shape[1])
    for member in probs:
        mean += member
        entropy += entropy_of(member)
    mean, entropy = mean / len(probs), entropy / len(probs)
    # If all members agree on an example, rounding may give a few 1e-16 below zero.
    return np.maximum(entropy_of(mean) - entropy, 0)


def euclidean_distances(points: ArrayLike) -> np.ndarray:
    """Distance between every pair of points: |x_i - x_j|, computed from differences to stay accurate if close.

    `points (N, D)`, or `probs (N, n, K)` with examples and classes flattened into one vector, as for t-SNE, give
    `(N, N)`, symmetric, zeros on the diagonal; in the unit of the points.
    """
    points = shaped("points", points, "N D", "N n K")
    return squareform(np.sqrt(sum(pdist(block, "sqeuclidean") for block in _blocks(points.reshape(len(points), -1)))))


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of columns of `matrix` in float64, of about `BLOCK_NUMBERS` numbers each, so that memory stays bounded."""
    step = max(1, BLOCK_NUMBERS // len(matrix))
    return (matrix[:, start : start + step].astype(np.float64) for start in range(0, matrix.shape[1], step))
