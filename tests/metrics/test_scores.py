"""Scores of networks: answers worked out by hand, and comparisons with scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
from helpers import random_probs
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import metrics
from lib.metrics.scores import PROBABILITY_FLOOR

SCORES = [
    metrics.accuracy,
    metrics.brier_score,
    metrics.negative_log_likelihood,
    metrics.expected_calibration_error,
]


def random_labels(*shape, classes=4, seed=0):
    return np.random.default_rng(seed).integers(classes, size=shape)


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[np.asarray(labels)]


@st.composite
def ensembles(draw):
    """`probs (N, n, K)` of any small shape, from sure to undecided, and true labels."""
    members, examples, classes = (draw(st.integers(*bounds)) for bounds in ((1, 5), (1, 12), (2, 5)))
    seed, scale = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.1, 3.0, 300.0]))
    probs = random_probs(members, examples, classes, seed=seed, scale=scale)
    return probs, random_labels(examples, classes=classes, seed=seed)


def test_top_labels_known_and_tie_goes_low():
    probs = np.array([[[0.1, 0.9], [0.5, 0.5]], [[0.7, 0.3], [0.2, 0.8]]])
    np.testing.assert_array_equal(metrics.top_labels(probs), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(metrics.top_labels(probs[0]), [1, 0])


def test_accuracy_two_of_three():
    probs = one_hot([[0, 1, 2], [0, 1, 1], [1, 2, 0]], 3)
    np.testing.assert_allclose(metrics.accuracy(probs, [0, 1, 1]), [2 / 3, 1, 0])


def test_brier_best_worst_and_uniform():
    assert metrics.brier_score(one_hot([0, 1], 3), [0, 1]) == 0
    assert metrics.brier_score(one_hot([0, 1], 3), [1, 0]) == 2
    assert metrics.brier_score(np.full((2, 4), 0.25), [0, 3]) == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_nll_known_values():
    assert metrics.negative_log_likelihood(one_hot([0, 1], 3), [0, 1]) == 0
    assert metrics.negative_log_likelihood(np.full((2, 4), 0.25), [0, 3]) == pytest.approx(np.log(4))


def test_nll_equals_sklearn():
    probs, labels = random_probs(50, 4).astype(np.float64), random_labels(50)
    probs /= probs.sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probs, labels=range(4))
    assert metrics.negative_log_likelihood(probs, labels) == pytest.approx(expected, rel=1e-13)


def test_nll_sure_and_wrong_is_finite():
    value = metrics.negative_log_likelihood(one_hot([0], 2), [1])
    assert value == pytest.approx(-np.log(PROBABILITY_FLOOR)) == pytest.approx(87.3, abs=0.05)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_ece_equals_plain_loop(bins):
    probs, labels = random_probs(200, 3).astype(np.float64), random_labels(200, classes=3)
    probs[:4] = [[0.5, 0.25, 0.25], [0.25, 0.75, 0], [0, 0, 1], [0, 0.5, 0.5]]  # on borders of four bins
    expected = 0
    for b in range(bins):
        inside = [i for i, p in enumerate(probs) if b / bins < max(p) <= (b + 1) / bins]
        if inside:
            hits = np.mean([np.argmax(probs[i]) == labels[i] for i in inside])
            expected += len(inside) / 200 * abs(hits - np.mean([max(probs[i]) for i in inside]))
    assert metrics.expected_calibration_error(probs, labels, bins) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score", SCORES)
@given(ensembles())
@settings(max_examples=30)
def test_scores_member_by_member_and_in_range(score, ensemble):
    probs, labels = ensemble
    values = score(probs, labels)
    assert values.shape == (len(probs),)
    one_by_one = [score(member, labels) for member in probs]
    assert all(isinstance(value, float) for value in one_by_one)
    np.testing.assert_array_equal(values, one_by_one)
    assert values.min() >= 0
    upper = {metrics.brier_score: 2, metrics.negative_log_likelihood: 87.4}.get(score, 1)
    assert values.max() <= upper + 1e-6


def test_entropy_sure_undecided_and_between():
    probs = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(metrics.predictive_entropy(probs), [0, np.log(4), np.log(2)])
    np.testing.assert_allclose(metrics.predictive_entropy([probs, probs[::-1]])[1], [np.log(2), np.log(4), 0])


def test_entropy_of_the_mean_less_mean_entropy_is_jsd():
    probs = random_probs(3, 20, 4).astype(np.float64)
    gap = metrics.predictive_entropy(probs.mean(axis=0)) - metrics.predictive_entropy(probs).mean(axis=0)
    np.testing.assert_allclose(metrics.jensen_shannon_by_example(probs), gap, atol=1e-14)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 1, 2, 3], 1),
        ([3, 2, 1, 0], 0),
        ([7, 7, 7, 7], 0.5),
        ([0, 2, 1, 3], 0.75),  # three of four pairs in order
        ([0, 1, 1, 3], 0.875),  # three in order and one tie
    ],
)
def test_auroc_known(scores, expected):
    positive = [False, False, True, True]
    value = metrics.area_under_roc(scores, positive)
    assert value == expected
    assert isinstance(value, float)


def test_auroc_equals_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(10, size=60), rng.random(60) < 0.4
    pairs = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    assert metrics.area_under_roc(scores, positive) == pytest.approx(pairs.mean(), rel=1e-12)


def test_auroc_without_both_kinds_is_nan():
    assert np.isnan(metrics.area_under_roc([0.0, 1.0], [True, True]))
    np.testing.assert_array_equal(metrics.area_under_roc([[0.0, 1.0]] * 2, [False, False]), [np.nan, np.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.top_labels([1.0]), r"probs: expected shape \(N, n, K\) or \(n, K\), received \(1,\)"),
        (lambda: metrics.top_labels(np.zeros((0, 3))), r"probs: .* received \(0, 3\)"),
        (lambda: metrics.accuracy(np.full((3, 2), 0.5), [0, 1]), r"labels: expected shape \(n\) with n = 3, received"),
        (
            lambda: metrics.accuracy(np.full((1, 2), 0.5), [2]),
            "labels: expected whole numbers from 0 to below 2, .* 2",
        ),
        (lambda: metrics.accuracy(np.full((1, 2), 0.5), [0.0]), "labels: expected whole numbers .* of type float64"),
        (lambda: metrics.accuracy(np.full((1, 2), 0.5), [-1]), "labels: expected whole numbers .* received -1"),
        (lambda: metrics.brier_score(np.full((1, 2), 0.6), [0]), "probs: .*sum to one"),
        (lambda: metrics.brier_score([[1.5, -0.5]], [0]), "probs: .*non-negative"),
        (lambda: metrics.brier_score([[np.nan, 0.5]], [0]), "probs: "),
    ],
)
def test_bad_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
