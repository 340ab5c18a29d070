"""Ensembles of networks' predictions, and their scores by size.

Predictions of M members are `probs (M, n, K)`; an ensemble's prediction is the unweighted mean of its members'.
"""

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from lib.metrics.scores import accuracy, brier_score, expected_calibration_error, negative_log_likelihood, top_labels

#: The metrics of `scores_by_size`, by column name.
METRICS: dict[str, Callable] = {
    "accuracy": accuracy,
    "Brier score": brier_score,
    "negative log-likelihood": negative_log_likelihood,
    "calibration error": expected_calibration_error,
}


def subsets(members: int, size: int, limit: int, seed: int = 0) -> np.ndarray:
    """Ensembles of `size` out of `members` networks: indices `(S, size)`, each row in ascending order.

    All of them if there are at most `limit`, otherwise `limit` different ones drawn at random with `seed`.
    """
    if comb(members, size) <= limit:
        return np.array(list(combinations(range(members), size)))
    generator, drawn = np.random.default_rng([seed, size]), set()
    while len(drawn) < limit:
        drawn.add(tuple(sorted(generator.choice(members, size, replace=False).tolist())))
    return np.array(sorted(drawn))


def scores_by_size(probs: np.ndarray, labels: np.ndarray, limit: int, seed: int = 0) -> pd.DataFrame:
    """Scores of ensembles of 1 to M members: one row per ensemble, with columns `size` and those of `METRICS`.

    Args:
        probs: predictions of each run, `(M, n, K)`.
        labels: true labels, `(n,)`.
        limit: maximum number of ensembles of each size, see `subsets`.
        seed: random seed of `subsets`; the same seed gives two methods the same ensembles.
    """
    rows = []
    for size in range(1, len(probs) + 1):
        for members in subsets(len(probs), size, limit, seed):
            ensemble = probs[members].mean(axis=0)
            rows.append({"size": size} | {name: score(ensemble, labels) for name, score in METRICS.items()})
    return pd.DataFrame(rows)


def scores_by_example(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Correctness of the top label (0 or 1) and Brier score (0 to 2) on each example.

    `probs (N, n, K)` and true `labels (n,)` give float32 `(2, N, n)`; `probs (n, K)` give `(2, n)`. Their means over
    examples are `accuracy` and `brier_score`.
    """
    right = top_labels(probs) == labels
    truth = np.eye(probs.shape[-1], dtype=np.float32)[labels]
    return np.stack([right, np.square(probs - truth).sum(axis=-1)]).astype(np.float32)
