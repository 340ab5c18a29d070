"""How similar networks are: answers worked out by hand, and comparisons with scikit-learn and SciPy."""

import numpy as np
import pytest
import scipy.spatial.distance
import sklearn.metrics
from helpers import random_probs

from lib import metrics
from lib.metrics import similarity


def test_cosine_known_angles():
    weights = np.array([[1, 0], [2, 0], [0, 3], [-1, 0], [1, 1]], dtype=np.float32)
    half = np.sqrt(0.5)
    expected = [[1, 1, 0, -1, half], [1, 1, 0, -1, half], [0, 0, 1, 0, half], [-1, -1, 0, 1, -half]]
    np.testing.assert_allclose(metrics.cosine_similarity(weights)[:4], expected, atol=1e-15)


def test_cosine_equals_sklearn_over_block_borders(monkeypatch):
    weights = np.random.default_rng(0).normal(size=(6, 1000)).astype(np.float32)
    monkeypatch.setattr(similarity, "BLOCK_NUMBERS", 150)
    expected = sklearn.metrics.pairwise.cosine_similarity(weights.astype(np.float64))
    np.testing.assert_allclose(metrics.cosine_similarity(weights), expected, atol=1e-13)


def test_disagreement_same_opposite_and_two_of_three():
    labels = np.array([[0, 1, 2], [0, 1, 2], [1, 2, 0], [0, 2, 0]])
    expected = [[0, 0, 1, 2 / 3], [0, 0, 1, 2 / 3], [1, 1, 0, 1 / 3], [2 / 3, 2 / 3, 1 / 3, 0]]
    np.testing.assert_allclose(metrics.disagreement(labels), expected)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_jsd_each_sure_of_another_class_is_log_of_members(members):
    probs = np.eye(members)[np.tile(np.arange(members)[:, None], 4)]
    assert metrics.jensen_shannon_divergence(probs) == pytest.approx(np.log(members), rel=1e-14)


def test_jsd_two_members_equals_scipy():
    probs = random_probs(2, 30, 4).astype(np.float64)
    probs /= probs.sum(axis=-1, keepdims=True)
    expected = np.mean(scipy.spatial.distance.jensenshannon(probs[0], probs[1], axis=1) ** 2)
    assert metrics.jensen_shannon_divergence(probs) == pytest.approx(expected, rel=1e-12)


def test_jsd_by_example_known():
    probs = np.eye(2)[[[0, 0, 0], [0, 1, 0]]]
    probs[1, 2] = 0.5
    # Identical; each sure of another class; one sure, one undecided: H(3/4, 1/4) - (log 2) / 2.
    third = -0.75 * np.log(0.75) - 0.25 * np.log(0.25) - np.log(2) / 2
    np.testing.assert_allclose(metrics.jensen_shannon_by_example(probs), [0, np.log(2), third], atol=1e-15)


def test_euclidean_known_triangle():
    expected = [[0, 3, 5], [3, 0, 4], [5, 4, 0]]
    np.testing.assert_allclose(metrics.euclidean_distances([[0, 0], [3, 0], [3, 4]]), expected)


def test_euclidean_equals_sklearn_over_block_borders(monkeypatch):
    probs = random_probs(5, 30, 4)
    monkeypatch.setattr(similarity, "BLOCK_NUMBERS", 30)
    expected = sklearn.metrics.pairwise.euclidean_distances(probs.reshape(5, -1).astype(np.float64))
    np.testing.assert_allclose(metrics.euclidean_distances(probs), expected, atol=1e-7)


def test_euclidean_near_points_stay_exact():
    points = np.array([[1e3, 0], [1e3, 1e-9]])
    assert metrics.euclidean_distances(points)[0, 1] == pytest.approx(1e-9)


def test_half_precision_probabilities_are_accepted():
    probs = random_probs(3, 20, 10).astype(np.float16)
    assert 0 <= metrics.jensen_shannon_divergence(probs) <= np.log(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.cosine_similarity(np.ones(3)), r"weights: expected shape \(N, P\), received \(3,\)"),
        (lambda: metrics.cosine_similarity([[1.0, 2.0], [0.0, 0.0]]), "vector 1 is not"),
        (lambda: metrics.cosine_similarity([[np.nan, 2.0], [1.0, 0.0]]), "vector 0 is not"),
        (lambda: metrics.disagreement(np.zeros((2, 0), int)), r"labels: .*received \(2, 0\)"),
        (lambda: metrics.jensen_shannon_divergence(np.full((3, 2), 0.5)), r"probs: .*\(N, n, K\), received \(3, 2\)"),
        (lambda: metrics.euclidean_distances([1.0]), r"points: expected shape \(N, D\) or \(N, n, K\)"),
    ],
)
def test_bad_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
