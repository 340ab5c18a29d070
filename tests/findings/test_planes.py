"""The diversity–accuracy plane: points against lib.metrics, limits and exponents known on paper."""

import numpy as np
import pytest

from lib import metrics
from lib.findings.planes import (
    Plane,
    Points,
    diversity_gaps,
    family_fits,
    mean_below_uncorrelated,
    mean_gap,
    share_between_limits,
)

CLASSES = 5


def points(accuracies, disagreements, reference_accuracy=0.8, num_classes=2):
    return Points(np.array(accuracies, float), np.array(disagreements, float), reference_accuracy, num_classes)


def family(exponent, flips=None, reference_accuracy=0.7, num_classes=10):
    """Points of the flip family, exactly."""
    flips = np.linspace(0.05, 0.9, 30) if flips is None else np.array(flips)
    return points(
        *metrics.flip_family(flips, exponent, reference_accuracy, num_classes), reference_accuracy, num_classes
    )


def predictions(networks=4, images=60):
    """Labels of networks and of a reference, and the true ones."""
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=images)
    wrong = rng.random((networks + 1, images)) < np.linspace(0.2, 0.6, networks + 1)[:, None]
    labels = np.where(wrong, rng.integers(CLASSES, size=wrong.shape), targets)
    return labels[1:], labels[0], targets


def plane(**sizes):
    return Plane(*predictions(**sizes), CLASSES)


# Points


def test_points_of_a_plane_are_those_of_metrics():
    labels, reference, targets = predictions()
    rng = np.random.default_rng(1)
    for images in (None, rng.integers(60, size=60), np.array([7, 7, 7, 50, 3])):
        found = plane().points(images)
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
    found = Plane(labels, [0, 0, 0, 1], [0, 0, 0, 0], 2).points()
    np.testing.assert_array_equal(found.accuracies, [0.5, 0, 1])
    np.testing.assert_array_equal(found.disagreements, [0.25, 0.75, 0.25])
    np.testing.assert_array_equal(found.diversities, [0.5, 0.75, np.nan])
    assert found.reference_accuracy == 0.75


def test_points_chosen_by_indices_and_by_a_mask():
    every = points([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    for which in (np.array([2, 0, 2]), np.array([True, False, True])):
        chosen = every.chosen(which)
        np.testing.assert_array_equal(chosen.accuracies, every.accuracies[which])
        np.testing.assert_array_equal(chosen.diversities, every.diversities[which])
        assert (chosen.reference_accuracy, chosen.num_classes) == (0.8, 2)


@pytest.mark.parametrize(
    ("labels", "reference", "targets", "message"),
    [
        (np.zeros(4, int), np.zeros(4), np.zeros(4), r"labels: expected shape \(N, n\), received \(4,\)"),
        (np.zeros((0, 4)), np.zeros(4), np.zeros(4), r"labels: expected shape \(N, n\), received \(0, 4\)"),
        (np.zeros((2, 4)), np.zeros(3), np.zeros(4), r"reference: expected shape \(n = 4,\), received \(3,\)"),
        (np.zeros((2, 4)), np.zeros(4), np.zeros((2, 4)), r"targets: expected shape \(n = 4,\), received \(2, 4\)"),
    ],
)
def test_plane_of_other_shapes_is_refused(labels, reference, targets, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Plane(labels, reference, targets, 2)


# Standard errors


def test_standard_errors_by_hand():
    # Wrong twice and apart once, D = 1/2: residuals 1/2, -1/2, 0, 0, their error √(1/8) / √4, errors 1/2.
    found = Plane([[1, 1, 0, 0]], [0, 1, 0, 0], [0, 0, 0, 0], 2).standard_errors()
    np.testing.assert_allclose(found, [np.sqrt(1 / 8)])


def test_standard_errors_are_those_of_a_bootstrap():
    large = plane(networks=3, images=1500)
    rng = np.random.default_rng(2)
    resampled = [large.points(rng.integers(1500, size=1500)).diversities for _ in range(800)]
    np.testing.assert_allclose(large.standard_errors(), np.std(resampled, axis=0), rtol=0.12)


def test_standard_errors_halve_with_four_times_the_images():
    labels, reference, targets = predictions()
    fourfold = Plane(*(np.tile(own, 4) for own in (labels, reference, targets)), CLASSES)
    np.testing.assert_allclose(fourfold.standard_errors(), plane().standard_errors() / 2, rtol=1e-5)


def test_standard_errors_without_errors_are_undefined():
    found = Plane([[0, 0, 0], [1, 0, 0], [1, 1, 1]], [0, 1, 0], [0, 0, 0], 2).standard_errors()
    np.testing.assert_array_equal(np.isnan(found), [True, False, False])


# Limits


def test_limits_by_hand():
    # Two classes, 0.8 and 0.6: 0.2 * 0.6 + 0.4 * 0.8 = 0.44 differ, or flips of 0.2 / (2 * 0.8 - 1).
    lower, upper = points([0.6, 0.8], [0.4, 0]).limits()
    np.testing.assert_allclose(upper, [0.44 / 0.4, 0.32 / 0.2])
    np.testing.assert_allclose(lower, [1 / 3 / 0.4, 0])


@pytest.mark.parametrize("guess", [0.5, 0.3])
def test_limits_of_a_reference_that_guesses(guess):
    lower, upper = points([0.6, 0.5], [0.4, 0.4], reference_accuracy=guess).limits()
    assert np.isnan(lower).all()
    np.testing.assert_allclose(upper, [((1 - guess) * 0.6 + guess * 0.4) / 0.4, 1])


def test_mean_below_uncorrelated_by_hand():
    # At 0.6 the limit is 1.1; networks at 1 and 0.7, and one above it at 1.2. Without errors there is no limit.
    assert mean_below_uncorrelated(points([0.6, 0.6, 1], [0.4, 0.28, 0.2])) == pytest.approx((0.1 + 0.4) / 2)
    assert mean_below_uncorrelated(points([0.6], [0.48])) == pytest.approx(-0.1)
    assert np.isnan(mean_below_uncorrelated(points([1, 1], [0.2, 0.2])))


def test_mean_below_uncorrelated_of_independent_errors_is_zero():
    accuracies = np.linspace(0.2, 0.9, 8)
    on_the_limit = metrics.uncorrelated_limit(accuracies, 0.7, 10) * (1 - accuracies)
    assert mean_below_uncorrelated(points(accuracies, on_the_limit, 0.7, 10)) == pytest.approx(0, abs=1e-12)


def test_share_between_limits_by_hand():
    # At 0.6 the limits are 5/6 and 1.1: one between, one below by 0.13, one above by 0.15, one without errors.
    own = points([0.6, 0.6, 0.6, 1], [0.4, 0.28, 0.5, 0.2])
    for error, share in ((0, 1 / 3), (0.06, 1 / 3), (0.07, 2 / 3), (0.08, 1)):
        assert share_between_limits(own, np.full(4, error)) == pytest.approx(share)
    each = np.array([0, 0.07, 0, 0])
    assert share_between_limits(own, each) == pytest.approx(2 / 3)
    assert share_between_limits(own, each, tolerance=1) == pytest.approx(1 / 3)


def test_share_between_limits_includes_the_limits():
    lower, upper = points([0.6], [0]).limits()
    own = points([0.6, 0.6], 0.4 * np.array([lower[0], upper[0]]))
    assert share_between_limits(own, np.full(2, 1e-12)) == 1


def test_share_between_limits_without_points_or_a_lower_limit_is_undefined():
    assert np.isnan(share_between_limits(points([1, 1], [0.2, 0.2]), np.full(2, np.nan)))
    assert np.isnan(share_between_limits(points([0.6], [0.4], reference_accuracy=0.5), np.ones(1)))
    assert share_between_limits(points([0.6], [0.4]), np.ones(1)) == 1


# The flip family


@pytest.mark.parametrize("exponent", [0.1, 0.4, 3.0])
def test_exponent_of_the_family_is_its_own(exponent):
    own = family(exponent)
    assert own.exponent() == pytest.approx(exponent, rel=1e-3)
    assert own.family_error(exponent) < 0
    # All of what the nearer limit leaves is explained.
    left = [metrics.diversity_rmse(own.accuracies, own.disagreements, limit) for limit in own.limits()]
    assert own.family_error(exponent) == pytest.approx(-min(left), abs=1e-6)


def test_family_error_of_another_exponent_is_larger():
    own = family(0.4)
    assert own.family_error(0.4) < own.family_error(0.5) < own.family_error(0.7)
    assert own.family_error(10) > 0
    # An exponent of one is the lower limit.
    assert family(3.0).family_error(1.0) == pytest.approx(0, abs=1e-9)


def test_family_error_on_the_lower_limit_gains_nothing():
    own = family(1.0)
    assert own.exponent() == pytest.approx(1, rel=1e-3)
    assert own.family_error(own.exponent()) == pytest.approx(0, abs=1e-3)


def test_exponent_undefined():
    guessing, without_errors = points([0.4], [0.5], reference_accuracy=0.5), points([1, 1], [0.2, 0.2])
    assert np.isnan(guessing.exponent())
    assert np.isnan(guessing.family_error(1.0))
    assert np.isnan(without_errors.exponent())
    assert np.isnan(family(0.4).family_error(np.nan))
    assert np.isfinite(family(0.4).exponent())


def test_family_fits_are_those_of_the_points_and_are_remembered(monkeypatch):
    counted, original = [], Plane.points
    monkeypatch.setattr(Plane, "points", lambda *given: counted.append(len(given[1])) or original(*given))
    own = plane()
    fit, all_images, others = family_fits(own), np.arange(60), np.random.default_rng(3).integers(60, size=60)
    first, second = fit(all_images), fit(others)
    assert counted == [60, 60]
    assert (fit(others.copy()), fit(all_images)) == (second, first)
    assert counted == [60, 60]
    assert first != second
    for (error, exponent), images in ((first, all_images), (second, others)):
        expected = own.points(images)
        assert exponent == expected.exponent()
        assert error == expected.family_error(exponent)


def test_family_fits_remember_one_plane_each():
    fit, other = family_fits(plane()), family_fits(Plane(*predictions(networks=2), CLASSES))
    assert fit(np.arange(60)) != other(np.arange(60))


def test_family_fits_of_a_guessing_reference_are_undefined():
    labels, _, targets = predictions()
    fit = family_fits(Plane(labels, (targets + 1) % CLASSES, targets, CLASSES))
    assert np.isnan(fit(np.arange(60))).all()


# Beside samples of the same accuracy


def test_diversity_gaps_by_hand():
    # Samples have 1 at 0.4, 0.5 at 0.6 and so 0.75 at 0.5; a solution more accurate than all has no match.
    samples = points([0.4, 0.6], [0.6, 0.2])
    independent = points([0.5, 0.6, 0.7], [0.45, 0.2, 0.2])
    np.testing.assert_allclose(diversity_gaps(independent, samples), [0.9 - 0.75, 0, np.nan], atol=1e-12)
    assert mean_gap(independent, samples) == pytest.approx(0.075)
    assert mean_gap(independent.chosen(np.array([0, 0, 1])), samples) == pytest.approx(0.1)


def test_diversity_gaps_take_a_curve_that_never_rises():
    # 0.5 at 0.4 and 1 at 0.6 are 0.75 at both.
    samples = points([0.4, 0.6], [0.3, 0.4])
    np.testing.assert_allclose(diversity_gaps(points([0.4, 0.6], [0.6, 0.4]), samples), [0.25, 0.25])


def test_diversity_gaps_of_samples_as_solutions_are_zero():
    falling = points([0.3, 0.5, 0.7], [0.7, 0.4, 0.1])
    np.testing.assert_allclose(diversity_gaps(falling, falling), 0, atol=1e-12)


def test_mean_gap_is_undefined_where_samples_reach_no_solution():
    samples = points([0.4, 0.6], [0.6, 0.2])
    assert np.isnan(mean_gap(points([0.7, 0.3], [0.2, 0.2]), samples))
    assert np.isnan(mean_gap(points([0.5], [0.4]), points([1, 1], [0.2, 0.2])))
    assert np.isfinite(mean_gap(points([0.7, 0.5], [0.2, 0.2]), samples))
