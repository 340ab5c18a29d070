"""Scores of one network, or of each of several: accuracy, proper scores, calibration, detection."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from lib.metrics.checks import valid_labels, valid_probabilities

#: Probabilities are clipped to this in the negative log-likelihood: the smallest normal float32, about 1.2e-38. A
#: float32 softmax gives 0 below it, and one such example would make the mean infinite; clipped, it costs 87 nats.
#: Probabilities that float32 represents in full precision do not change.
PROBABILITY_FLOOR = float(np.finfo(np.float32).tiny)


def top_labels(probs: ArrayLike) -> np.ndarray:
    """The most probable class, the lowest if tied: `probs (N, n, K)` give `(N, n)`, `(n, K)` give `(n,)`."""
    return valid_probabilities(probs, "N n K", "n K").argmax(axis=-1)


def accuracy(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Fraction of examples whose most probable class is the true one.

    `probs (N, n, K)` and true `labels (n,)` give `(N,)`; `probs (n, K)` give a float. In [0, 1], higher is better.
    """
    return _score(lambda probs, labels: np.mean(probs.argmax(axis=1) == labels), probs, labels)


def brier_score(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Squared distance of the probabilities from the truth: mean over examples of Σ_k (p_k - [k = label])².

    A sum over classes, as in the paper, not a mean. `probs (N, n, K)` and true `labels (n,)` give `(N,)`;
    `probs (n, K)` give a float. In [0, 2], 0 is best. Source: Brier 1950.
    """

    def brier(probs, labels):
        return np.mean(np.square(probs - np.eye(probs.shape[1])[labels]).sum(axis=1))

    return _score(brier, probs, labels)


def negative_log_likelihood(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Mean over examples of -log p_label, in nats, with p clipped to at least `PROBABILITY_FLOOR`.

    `probs (N, n, K)` and true `labels (n,)` give `(N,)`; `probs (n, K)` give a float. 0 is best, 87.3 is worst.
    """

    def surprise(probs, labels):
        return -np.mean(np.log(np.maximum(probs[np.arange(len(labels)), labels], PROBABILITY_FLOOR)))

    return _score(surprise, probs, labels)


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> np.ndarray | float:
    """Mean gap between confidence and accuracy over bins: Σ_b (n_b / n) |accuracy_b - mean confidence_b|.

    Confidence is the probability of the most probable class; bin b of `bins` holds confidences in
    (b / bins, (b + 1) / bins]. `probs (N, n, K)` and true `labels (n,)` give `(N,)`; `probs (n, K)` give a float. A
    fraction in [0, 1], 0 is best. Source: Naeini et al. 2015, Guo et al. 2017.
    """

    def calibration(probs, labels):
        confidence = probs.max(axis=1)
        bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
        gaps = np.bincount(bin_of, weights=(probs.argmax(axis=1) == labels) - confidence)
        return np.abs(gaps).sum() / len(labels)

    return _score(calibration, probs, labels)


def predictive_entropy(probs: ArrayLike) -> np.ndarray:
    """Entropy of the prediction on each example: H(p) = -Σ_k p_k log p_k, in nats.

    `probs (N, n, K)` give `(N, n)`, one row per member; `(n, K)` give `(n,)`. In [0, log K]. The entropy of an ensemble
    is that of its mean prediction: `predictive_entropy(probs.mean(axis=0))`.
    """
    return entropy_of(valid_probabilities(probs, "N n K", "n K"))


def area_under_roc(scores: ArrayLike, positive: ArrayLike) -> np.ndarray | float:
    """Probability that a positive example scores higher than a negative one, with ties counted as half: the AUROC.

    `scores (N, n)` give `(N,)`, `(n,)` give a float; `positive (n,)` is a boolean mask, for example of
    out-of-distribution examples. In [0, 1]: 1 if every positive example scores above every negative one, 0.5 for an
    uninformative score; nan without examples of both kinds.
    """
    # Imported here: every training process imports this module, and importing scikit-learn takes a second.
    from sklearn.metrics import roc_auc_score

    scores, positive = np.asarray(scores), np.asarray(positive, dtype=bool)
    if positive.all() or not positive.any():
        return np.full(scores.shape[:-1], np.nan)[()]
    if scores.ndim == 1:
        return float(roc_auc_score(positive, scores))
    return np.array([roc_auc_score(positive, member) for member in scores])


def entropy_of(probs: np.ndarray) -> np.ndarray:
    """Entropy over the last axis, in nats, in float64."""
    return entr(probs, dtype=np.float64).sum(axis=-1)


def _score(score: Callable[[np.ndarray, np.ndarray], float], probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Apply `score(probs (n, K), labels (n,))` to one network, giving a float, or to each of N, giving `(N,)`."""
    probs = valid_probabilities(probs, "N n K", "n K")
    labels = valid_labels("labels", labels, "n", n=probs.shape[-2], classes=probs.shape[-1])
    if probs.ndim == 2:
        return float(score(probs.astype(np.float64), labels))
    return np.array([score(member.astype(np.float64), labels) for member in probs])
