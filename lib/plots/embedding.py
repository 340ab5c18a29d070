"""Pictures of function space: points in the plane that keep neighbours together."""

import numpy as np
from sklearn.manifold import TSNE


def tsne(probs: np.ndarray, seed: int = 0) -> np.ndarray:
    """One joint t-SNE of networks by what they predict (van der Maaten and Hinton 2008; scikit-learn).

    Args:
        probs: probabilities `(N, n, K)`, N at least 3; each network is one point of n x K coordinates.
        seed: of the optimisation.

    Returns:
        `(N, 2)`. Distances between far groups and the sizes of groups mean nothing: only who is near whom does.
        The perplexity is scikit-learn's 30, less where there are fewer than 91 points.
    """
    if probs.ndim != 3 or len(probs) < 3:
        raise ValueError(f"probs must have the shape (N, n, K) with N at least 3, got {probs.shape}")
    points = probs.reshape(len(probs), -1)
    perplexity = min(30.0, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
