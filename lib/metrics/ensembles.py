"""Ensembles of several networks' predictions, and how good they are by size.

One prediction a member, `probs (M, n, K)`; an ensemble is the mean of its members' probabilities, all counting alike.
"""

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from lib.metrics.scores import accuracy, brier_score, expected_calibration_error, negative_log_likelihood, top_labels

#: What `scores_by_size` measures, by the names of its columns.
METRICS: dict[str, Callable] = {
    "accuracy": accuracy,
    "Brier score": brier_score,
    "negative log-likelihood": negative_log_likelihood,
    "calibration error": expected_calibration_error,
}


def subsets(members: int, size: int, limit: int, seed: int = 0) -> np.ndarray:
    """Ensembles of `size` out of so many members: indices `(S, size)`, each row in ascending order.

    All of them where there are at most `limit`, otherwise `limit` different ones, drawn by `seed`.
    """
    if comb(members, size) <= limit:
        return np.array(list(combinations(range(members), size)))
    generator, drawn = np.random.default_rng([seed, size]), set()
    while len(drawn) < limit:
        drawn.add(tuple(sorted(generator.choice(members, size, replace=False).tolist())))
    return np.array(sorted(drawn))


def scores_by_size(probs: np.ndarray, labels: np.ndarray, limit: int, seed: int = 0) -> pd.DataFrame:
    """How good ensembles of 1 to M members are: one row an ensemble, columns `size` and those of `METRICS`.

    Args:
        probs: one prediction a run, `(M, n, K)`.
        labels: the true ones, `(n,)`.
        limit: ensembles of each size, see `subsets`.
        seed: of what is drawn where there are more; the same for two methods gives them the same ensembles.
    """
    rows = []
    for size in range(1, len(probs) + 1):
        for members in subsets(len(probs), size, limit, seed):
            ensemble = probs[members].mean(axis=0)
            rows.append({"size": size} | {name: score(ensemble, labels) for name, score in METRICS.items()})
    return pd.DataFrame(rows)


def scores_by_example(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the top label is right, 0 or 1, and the Brier score, 0 to 2, on each example.

    `probs (N, n, K)` and true `labels (n,)` give float32 `(2, N, n)`, `probs (n, K)` gives `(2, n)`. Their means over
    examples are `accuracy` and `brier_score`.
    """
    right = top_labels(probs) == labels
    truth = np.eye(probs.shape[-1], dtype=np.float32)[labels]
    return np.stack([right, np.square(probs - truth).sum(axis=-1)]).astype(np.float32)
