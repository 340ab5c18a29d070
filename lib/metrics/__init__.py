"""Metrics of networks: scores, similarity, diversity, ensembles, pairs, intervals.

The first axis is the ensemble member: `weights (N, P)`, `probs (N, n, K)`, predicted labels `(N, n)`, for N networks
with P weights on n examples of K classes. Sums are in float64, one member or block at a time, so memory use stays close
to the size of the input. Raises a one-line `ValueError` for arrays of the wrong shape, probabilities that do not sum to
one, and labels out of range.
"""

from lib.metrics.diversity import (
    diversity_at_accuracy,
    diversity_rmse,
    fit_flip_exponent,
    flip_family,
    flip_family_diversity,
    normalized_diversity,
    perturbed_limit,
    uncorrelated_limit,
)
from lib.metrics.scores import (
    accuracy,
    area_under_roc,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    predictive_entropy,
    top_labels,
)
from lib.metrics.similarity import (
    cosine_similarity,
    disagreement,
    euclidean_distances,
    jensen_shannon_by_example,
    jensen_shannon_divergence,
)

__all__ = [
    "accuracy",
    "area_under_roc",
    "brier_score",
    "cosine_similarity",
    "disagreement",
    "diversity_at_accuracy",
    "diversity_rmse",
    "euclidean_distances",
    "expected_calibration_error",
    "fit_flip_exponent",
    "flip_family",
    "flip_family_diversity",
    "jensen_shannon_by_example",
    "jensen_shannon_divergence",
    "negative_log_likelihood",
    "normalized_diversity",
    "perturbed_limit",
    "predictive_entropy",
    "top_labels",
    "uncorrelated_limit",
]
