"""Networks compared with a reference and each other: points and pairs as in lib.metrics, limits worked out by hand."""

import math

import numpy as np
import pytest

from lib import metrics
from lib.findings.claim import Criterion
from lib.findings.judging import decided
from lib.metrics.comparison import Comparison, Pairs, Points, equidistant

CLASSES = 5


def points(accuracies, disagreements, reference_accuracy=0.8, num_classes=2):
    return Points(np.array(accuracies, float), np.array(disagreements, float), reference_accuracy, num_classes)


def predictions(networks=4, images=60):
    """Labels of networks and of a reference, and the true labels."""
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=images)
    wrong = rng.random((networks + 1, images)) < np.linspace(0.2, 0.6, networks + 1)[:, None]
    labels = np.where(wrong, rng.integers(CLASSES, size=wrong.shape), targets)
    return labels[1:], labels[0], targets


def comparison(**sizes):
    return Comparison(*predictions(**sizes), CLASSES)


# Points


def test_points_of_a_comparison_are_those_of_metrics():
    labels, reference, targets = predictions()
    rng = np.random.default_rng(1)
    for images in (None, rng.integers(60, size=60), np.array([7, 7, 7, 50, 3])):
        found = comparison().points(images)
        chosen = np.arange(60) if images is None else images
        own, base, truth = labels[:, chosen], reference[chosen], targets[chosen]
        one_hot = np.eye(CLASSES)
        np.testing.assert_allclose(found.accuracies, metrics.accuracy(one_hot[own], truth), rtol=1e-12)
        assert found.reference_accuracy == pytest.approx(metrics.accuracy(one_hot[base], truth), rel=1e-12)
        pairs = metrics.disagreement(np.vstack([base, own]))
        np.testing.assert_allclose(found.disagreements, pairs[0, 1:], rtol=1e-12)
        np.testing.assert_allclose(found.diversities, metrics.normalized_diversity(own, base, truth), rtol=1e-12)
        assert found.num_classes == CLASSES


def test_points_by_hand():
    # The reference is right three times, the networks twice, never and always.
    labels = [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    found = Comparison(labels, [0, 0, 0, 1], [0, 0, 0, 0], 2).points()
    np.testing.assert_array_equal(found.accuracies, [0.5, 0, 1])
    np.testing.assert_array_equal(found.disagreements, [0.25, 0.75, 0.25])
    np.testing.assert_array_equal(found.diversities, [0.5, 0.75, np.nan])
    assert found.reference_accuracy == 0.75


# Standard errors


def test_standard_errors_by_hand():
    # Wrong twice and different once, so D = 1/2: residuals 1/2, -1/2, 0, 0 with error √(1/8) / √4, divided by 1/2.
    found = Comparison([[1, 1, 0, 0]], [0, 1, 0, 0], [0, 0, 0, 0], 2).standard_errors()
    np.testing.assert_allclose(found, [np.sqrt(1 / 8)])


def test_standard_errors_are_those_of_a_bootstrap():
    large = comparison(networks=3, images=1500)
    rng = np.random.default_rng(2)
    resampled = [large.points(rng.integers(1500, size=1500)).diversities for _ in range(800)]
    np.testing.assert_allclose(large.standard_errors(), np.std(resampled, axis=0), rtol=0.12)


def test_standard_errors_without_errors_are_undefined():
    found = Comparison([[0, 0, 0], [1, 0, 0], [1, 1, 1]], [0, 1, 0], [0, 0, 0], 2).standard_errors()
    np.testing.assert_array_equal(np.isnan(found), [True, False, False])


# Limits


def test_limits_by_hand():
    # Two classes, accuracies 0.8 and 0.6: 0.2 * 0.6 + 0.4 * 0.8 = 0.44 differ, or 0.2 / (2 * 0.8 - 1) are flipped.
    lower, upper = points([0.6, 0.8], [0.4, 0]).limits()
    np.testing.assert_allclose(upper, [0.44 / 0.4, 0.32 / 0.2])
    np.testing.assert_allclose(lower, [1 / 3 / 0.4, 0])


@pytest.mark.parametrize("guess", [0.5, 0.3])
def test_limits_of_a_reference_that_guesses(guess):
    lower, upper = points([0.6, 0.5], [0.4, 0.4], reference_accuracy=guess).limits()
    assert np.isnan(lower).all()
    np.testing.assert_allclose(upper, [((1 - guess) * 0.6 + guess * 0.4) / 0.4, 1])


def test_exponent_undefined():
    assert np.isnan(points([0.4], [0.5], reference_accuracy=0.5).exponent())
    assert np.isnan(points([1, 1], [0.2, 0.2]).exponent())


# Pairs

TARGETS = np.array([0, 1, 2, 3])
# Right on 4, 3, 2 and 3 of the four images.
LABELS = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 3, 0], [1, 1, 2, 3]])


def test_disagreements_are_those_of_metrics():
    compared = Pairs(LABELS, TARGETS)
    for images in (np.arange(4), np.array([3, 3, 0])):
        np.testing.assert_allclose(compared.disagreements(images), metrics.disagreement(LABELS[:, images]))


def test_diversities_are_the_mean_of_both_directions():
    compared = Pairs(LABELS, TARGETS).diversities(np.arange(4))
    assert compared[1, 2] == pytest.approx(0.25 * (1 / 0.25 + 1 / 0.5) / 2)
    assert compared[1, 1] == 0
    assert np.isnan(compared[0]).all()  # without errors
    both = [metrics.normalized_diversity(LABELS[a], LABELS[b], TARGETS) for a, b in ((2, 3), (3, 2))]
    assert compared[2, 3] == pytest.approx(np.mean(both))


# Equal distances


def test_equidistant_of_nothing_but_noise_reaches_zero():
    estimate = equidistant(np.random.default_rng(0).integers(10, size=(8, 300)))
    assert estimate.low == 0
    assert decided(estimate, Criterion("<=", 0.15))


def test_equidistant_value_without_noise():
    """Members that err on few of very many images, each on its own: distances are sums, which are known exactly."""
    errors = np.array([100, 200, 300, 400, 500, 600])
    labels = np.zeros((6, 50_000), int)
    for member, (count, end) in enumerate(zip(errors, np.cumsum(errors), strict=True)):
        labels[member, end - count : end] = 1
    # A distance is a sum of two terms, so its variance is twice that of one; there is no part that is not additive.
    expected = math.sqrt(2 * errors.var(ddof=1)) / (2 * errors.mean())
    found = equidistant(labels)
    assert found.value == pytest.approx(expected, rel=0.02)
    assert (found.method, found.members) == ("random effects", 6)
    assert found.low < found.value < found.high
