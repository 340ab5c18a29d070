"""Ensembles of several networks' predictions: how good they are by size, and what a resample of members makes of them.

One prediction a member, `probs (M, n, K)`; an ensemble is the mean of its members' probabilities, all counting alike.
"""

from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

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


def of_distinct(
    score: Callable[[np.ndarray], np.ndarray], most: int | None = None
) -> Callable[[ArrayLike], np.ndarray]:
    """Of a score of the ensemble of some members, one for a bootstrap over members.

    A member drawn twice counts once: an ensemble gains nothing from a copy. So the ensembles of a bootstrap are
    smaller than the one that there is, about two thirds of it, and a gain from ensembling is rather understated. One
    member alone is no ensemble: its score is all nan, and `bootstrap` draws such a resample again.

    Args:
        score: of different members, as ascending indices; each set is computed once and remembered.
        most: the first so many different members that were drawn make the ensemble; all of them when left out.

    Returns:
        A function of members `(m,)`, drawn with replacement.
    """

    @cache
    def of_set(members: tuple[int, ...]) -> np.ndarray:
        return np.asarray(score(np.array(members)))

    def of_resample(members: ArrayLike) -> np.ndarray:
        different = list(dict.fromkeys(np.asarray(members).tolist()))[:most]
        result = of_set(tuple(sorted(different)))
        return result if len(different) > 1 else np.full_like(result, np.nan, dtype=float)

    return of_resample
