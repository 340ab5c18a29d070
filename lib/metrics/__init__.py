"""Numbers about networks: scores, similarity, diversity, ensembles, pairs, intervals.

Members come first on every axis: `weights (N, P)`, `probs (N, n, K)`, predicted labels `(N, n)`, for N networks of P
weights on n examples of K classes. Sums are taken in float64, member by member or block by block, so that memory stays
near that of the input. `ValueError` in one line: an array of the wrong shape, probabilities that do not sum to one,
labels out of range.
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
