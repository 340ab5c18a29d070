"""Embeddings of function space in the plane that keep neighbours together."""

import numpy as np
from sklearn.manifold import TSNE


def tsne(probs: np.ndarray, seed: int = 0) -> np.ndarray:
    """One joint t-SNE `(N, 2)` of N networks by their probabilities `(N, n, K)` (van der Maaten and Hinton 2008).

    Distances between separate groups and the sizes of groups mean nothing; only which points are neighbours does. The
    perplexity is scikit-learn's 30, or less for fewer than 91 points.
    """
    points = probs.reshape(len(probs), -1)
    perplexity = min(30.0, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
