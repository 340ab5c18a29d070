"""Diversity at equal accuracy, the two limits and the flip family: answers that are known on paper."""

import numpy as np
import pytest

from lib import metrics
from lib.findings import diversity
from lib.findings.diversity import (
    family_error,
    family_fit,
    mean_below_uncorrelated,
    mean_gap,
    share_between_limits,
)
from lib.metrics.comparison import Comparison, Points

CLASSES = 5

# What is undefined is nan, by a mean of nothing; in a bootstrap NumPy does not warn of it.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def points(accuracies, disagreements, reference_accuracy=0.8, num_classes=2):
    return Points(np.array(accuracies, float), np.array(disagreements, float), reference_accuracy, num_classes)


def points_of(exponent, flips=None, reference_accuracy=0.7, num_classes=10):
    """Points of the flip family, exactly."""
    flips = np.linspace(0.05, 0.9, 30) if flips is None else np.array(flips)
    return points(
        *metrics.flip_family(flips, exponent, reference_accuracy, num_classes), reference_accuracy, num_classes
    )


def predictions(networks=4, images=60):
    """Labels of networks and of a base, and the true ones."""
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=images)
    wrong = rng.random((networks + 1, images)) < np.linspace(0.2, 0.6, networks + 1)[:, None]
    labels = np.where(wrong, rng.integers(CLASSES, size=wrong.shape), targets)
    return labels[1:], labels[0], targets


# Beside samples of the same accuracy


def test_mean_gap_by_hand():
    # Samples have 1 at 0.4, 0.5 at 0.6 and so 0.75 at 0.5; a solution more accurate than all has no match.
    samples = points([0.4, 0.6], [0.6, 0.2])
    independent = points([0.5, 0.6, 0.7], [0.45, 0.2, 0.2])
    assert mean_gap(independent, samples) == pytest.approx(0.075)
    assert mean_gap(independent.chosen(np.array([0, 0, 1])), samples) == pytest.approx(0.1)


def test_mean_gap_is_undefined_where_samples_reach_no_solution():
    samples = points([0.4, 0.6], [0.6, 0.2])
    assert np.isnan(mean_gap(points([0.7, 0.3], [0.2, 0.2]), samples))
    assert np.isnan(mean_gap(points([0.5], [0.4]), points([1, 1], [0.2, 0.2])))
    assert np.isfinite(mean_gap(points([0.7, 0.5], [0.2, 0.2]), samples))


# Limits


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
def test_family_error_explains_all_that_the_nearer_limit_leaves(exponent):
    own = points_of(exponent)
    assert family_error(own, exponent) < 0
    left = [metrics.diversity_rmse(own.accuracies, own.disagreements, limit) for limit in own.limits()]
    assert family_error(own, exponent) == pytest.approx(-min(left), abs=1e-6)


def test_family_error_of_another_exponent_is_larger():
    own = points_of(0.4)
    assert family_error(own, 0.4) < family_error(own, 0.5) < family_error(own, 0.7)
    assert family_error(own, 10) > 0
    # An exponent of one is the lower limit.
    assert family_error(points_of(3.0), 1.0) == pytest.approx(0, abs=1e-9)


def test_family_error_on_the_lower_limit_gains_nothing():
    own = points_of(1.0)
    assert family_error(own, own.exponent()) == pytest.approx(0, abs=1e-3)


def test_family_error_undefined():
    guessing = points([0.4], [0.5], reference_accuracy=0.5)
    assert np.isnan(family_error(guessing, 1.0))
    assert np.isnan(family_error(points_of(0.4), np.nan))


def test_family_fit_is_that_of_the_points_and_is_remembered(monkeypatch):
    counted, original = [], Comparison.points
    monkeypatch.setattr(Comparison, "points", lambda *given: counted.append(len(given[1])) or original(*given))
    labels, base, targets = predictions()
    fit = family_fit(labels, base, targets, CLASSES)
    all_images, others = np.arange(60), np.random.default_rng(3).integers(60, size=60)
    first, second = fit(all_images), fit(others)
    assert (fit(others.copy()), fit(all_images)) == (second, first)
    assert counted == [60, 60]
    assert first != second
    for (exponent, error), images in ((first, all_images), (second, others)):
        expected = original(Comparison(labels, base, targets, CLASSES), images)
        assert exponent == expected.exponent()
        assert error == family_error(expected, exponent)
        assert diversity.exponent(fit, targets).function(images) == exponent
        assert diversity.family(fit, targets).function(images) == error


def test_family_fit_of_a_guessing_base_is_undefined():
    labels, _, targets = predictions()
    assert np.isnan(family_fit(labels, (targets + 1) % CLASSES, targets, CLASSES)(np.arange(60))).all()


# Statistics


def test_statistics_are_those_of_the_points_of_a_resample():
    labels, base, targets = predictions(networks=12)
    independent, samples, truth = labels[4:9], np.delete(labels, range(4, 9), axis=0), (base, targets, CLASSES)
    rng = np.random.default_rng(1)
    members, images = rng.integers(5, size=5), rng.integers(60, size=60)
    drawn = base[images], targets[images], CLASSES
    others = Comparison(independent[members][:, images], *drawn).points()
    around = Comparison(samples[:, images], *drawn).points()

    gap = diversity.more_diverse(independent, samples, *truth)
    assert (gap.members, gap.images) == (5, 60)
    assert gap.function(members, images) == pytest.approx(mean_gap(others, around))
    assert np.isfinite(gap.function(members, images))
    below = diversity.below_uncorrelated(independent, *truth)
    assert below.function(members, images) == pytest.approx(mean_below_uncorrelated(others))
    # The tolerance is that of the images that there are, whatever is drawn.
    errors = Comparison(labels, *truth).standard_errors()
    every = Comparison(labels[:, images], *drawn).points()
    assert diversity.limits(labels, *truth).function(images=images) == share_between_limits(every, errors)


# Tables


def test_tables_by_hand():
    own = {
        ("net", "independent"): points([0.5, 0.7], [0.45, 0.2]),
        ("net", "random"): points([0.4, 0.6], [0.6, 0.2]),
    }
    (row,) = diversity.matched_table(own, {("net", "random"): np.array([0.25, 1.5])}).to_numpy().tolist()
    # Solutions have 0.9 and 0.67; the samples reach the first one's accuracy alone, and have 0.75 there.
    assert row == ["net", "random directions", "1.5", "0.400", "0.75", "0.78", "1 of 2"]
    exact = points_of(0.4)
    (row,) = diversity.family_table({"net": exact}).to_numpy().tolist()
    lower, upper = (metrics.diversity_rmse(exact.accuracies, exact.disagreements, one) for one in exact.limits())
    assert row == ["net", "0.40", "0.000", f"{lower:.3f}", f"{upper:.3f}"]
