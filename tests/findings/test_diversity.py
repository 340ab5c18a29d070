"""Diversity at equal accuracy, the two limits and the flip family: answers worked out by hand."""

import numpy as np
import pytest

from lib import metrics
from lib.findings import diversity
from lib.findings.diversity import family_error, family_fit, gaps, share_between_limits
from lib.metrics import intervals
from lib.metrics.comparison import Comparison, Points
from lib.metrics.intervals import share

CLASSES = 5


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES", 20)
    monkeypatch.setattr(diversity, "FITTED_RESAMPLES", 5)


def points(accuracies, disagreements, reference_accuracy=0.8, num_classes=2):
    return Points(np.array(accuracies, float), np.array(disagreements, float), reference_accuracy, num_classes)


def points_of(exponent, flips=None, reference_accuracy=0.7, num_classes=10):
    """Points exactly on a curve of the flip family."""
    flips = np.linspace(0.05, 0.9, 30) if flips is None else np.array(flips)
    return points(
        *metrics.flip_family(flips, exponent, reference_accuracy, num_classes), reference_accuracy, num_classes
    )


def flipped(exponent=0.4, runs=4, samples=10, images=200):
    """Labels of runs that err independently, of samples of each run, flipped as in the family, and the true labels."""
    rng = np.random.default_rng(0)

    def other(labels):
        return (labels + rng.integers(1, CLASSES, size=labels.shape)) % CLASSES

    targets = rng.integers(CLASSES, size=images)
    errors = other(np.broadcast_to(targets, (runs, images)))
    solutions = np.where(rng.random((runs, images)) < np.linspace(0.6, 0.8, runs)[:, None], targets, errors)
    chance = np.linspace(0.05, 0.6, samples)[:, None]
    chance = np.where((solutions == targets)[:, None], chance, chance**exponent)
    bases = np.broadcast_to(solutions[:, None], chance.shape)
    return solutions, np.where(rng.random(chance.shape) < chance, other(bases), bases), targets


# Compared with samples of the same accuracy, for one base and for every base in turn


def test_gaps_by_hand():
    # Samples have diversity 1 at 0.4, 0.5 at 0.6 and so 0.75 at 0.5; the base, at 0.8, has 0. None is below 0.4.
    samples, independent = points([0.4, 0.6], [0.6, 0.2]), points([0.5, 0.6, 0.7, 0.3], [0.45, 0.2, 0.2, 0.7])
    np.testing.assert_allclose(gaps(independent, samples, within=True), [0.15, 0, 2 / 3 - 0.25, np.nan])
    np.testing.assert_allclose(gaps(independent, samples), [0.15, 0, 2 / 3 - 0.25, 0])
    assert np.isnan(gaps(points([1], [0.2]), samples))


def wrong(*chosen):
    """Labels of ten images that are wrong on the chosen ones."""
    return np.isin(np.arange(10), chosen).astype(int)


ZEROS = np.zeros(10, int)
SOLUTIONS = np.stack([wrong(0, 1), wrong(6, 7, 8, 9)])  # accuracies 0.8 and 0.6; per error they differ by 3 and 1.5
NEAR, FAR = wrong(0, 1, 2), wrong(0, 1, 2, 3, 4)  # of the first: accuracies 0.7 and 0.5, diversities 1/3 and 0.6
BELOW, ABOVE = wrong(5, 6, 7, 8, 9), wrong(8, 9)  # of the second: accuracies 0.5, 0.8; diversities 0.2, 1; pooled: 0.6


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([[NEAR, FAR], [BELOW, BELOW]], 1.5 - (1 / 3 + 0.6) / 2),
        ([[NEAR, NEAR], [BELOW, ABOVE]], 3 - 0.6),
        ([[NEAR, FAR], [BELOW, ABOVE]], (1.5 - (1 / 3 + 0.6) / 2 + 3 - 0.6) / 2),
        ([[NEAR, NEAR], [BELOW, BELOW]], np.nan),
    ],
)
def test_more_diverse_of_a_pair_that_is_reached_in_one_direction_in_both_or_in_none(samples, expected):
    found = diversity.more_diverse(SOLUTIONS, np.array(samples), ZEROS, 2)
    assert found.value == pytest.approx(expected, nan_ok=True)


def test_more_diverse_has_every_run_as_base():
    solutions, samples, targets = flipped()
    directions = np.full((4, 4), np.nan)
    for base, own in enumerate(samples):
        around, others = (Comparison(one, solutions[base], targets, CLASSES).points() for one in (own, solutions))
        directions[base] = np.where(np.arange(4) == base, np.nan, gaps(others, around, within=True))
    of_pairs = [np.nanmean([directions[a, b], directions[b, a]]) for a in range(4) for b in range(a)]
    found = diversity.more_diverse(solutions, samples, targets, CLASSES)
    assert (found.members, found.images, found.value) == (4, 200, pytest.approx(np.mean(of_pairs)))
    assert found.low < found.value < found.high


# Limits


def test_below_uncorrelated_is_the_mean_over_both_directions():
    # With two classes 0.2 * 0.6 + 0.4 * 0.8 = 0.44 would differ, and 0.6 do; divided by the error of either one.
    found = diversity.below_uncorrelated(SOLUTIONS, ZEROS, 2)
    assert found.value == pytest.approx((0.44 - 0.6) * (1 / 0.4 + 1 / 0.2) / 2)


def test_below_uncorrelated_of_independent_errors_is_near_zero():
    solutions, _, targets = flipped(images=20_000)
    assert diversity.below_uncorrelated(solutions, targets, CLASSES).value == pytest.approx(0, abs=0.02)


def test_share_between_limits_by_hand():
    # At 0.6 the limits are 5/6 and 1.1: one point between, one 0.13 below, one 0.15 above, one without errors.
    own = points([0.6, 0.6, 0.6, 1], [0.4, 0.28, 0.5, 0.2])
    for error, expected in ((0, 1 / 3), (0.06, 1 / 3), (0.07, 2 / 3), (0.08, 1)):
        assert share_between_limits(own, np.full(4, error)) == pytest.approx(expected)
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
    # An exponent of one gives the lower limit.
    assert family_error(points_of(3.0), 1.0) == pytest.approx(0, abs=1e-9)


def test_family_error_on_the_lower_limit_gains_nothing():
    own = points_of(1.0)
    assert family_error(own, own.exponent()) == pytest.approx(0, abs=1e-3)


def test_family_error_undefined():
    guessing = points([0.4], [0.5], reference_accuracy=0.5)
    assert np.isnan(family_error(guessing, 1.0))
    assert np.isnan(family_error(points_of(0.4), np.nan))


def test_limits_are_a_share_of_each_base():
    solutions, samples, targets = flipped(exponent=1)
    shares = []
    for base, own in enumerate(samples):
        plane = Comparison([*np.delete(solutions, base, axis=0), *own], solutions[base], targets, CLASSES)
        shares.append(share_between_limits(plane.points(), plane.standard_errors()))
    assert diversity.limits(solutions, samples, targets, CLASSES) == share(shares)
    assert min(shares) > 0.7


def test_family_is_fitted_on_one_half_of_the_samples_and_compared_on_the_other(monkeypatch):
    counted, original = [], Comparison.points
    monkeypatch.setattr(Comparison, "points", lambda *given: counted.append(len(given[1])) or original(*given))
    solutions, samples, targets = flipped()
    fit = family_fit(solutions, samples, targets, CLASSES)
    error, exponent = diversity.family(fit, solutions), diversity.exponent(fit, solutions)
    assert len(counted) == 2 * 4 * 6  # both halves, four runs, all images and five resamples: once for both claims
    exponents, errors = fit(np.arange(200))
    for base in range(4):
        halves = [Comparison(samples[base, half::2], solutions[base], targets, CLASSES) for half in (0, 1)]
        assert exponents[base] == original(halves[0]).exponent()
        assert errors[base] == family_error(original(halves[1]), exponents[base])
    assert error.value == pytest.approx(errors.mean())
    assert exponent.value == pytest.approx(np.exp(np.log(exponents).mean()))
    assert error.high < 0 < exponent.low < 0.4 < exponent.high < 1


def test_family_fit_of_a_guessing_base_or_at_an_end_of_the_search_is_undefined():
    solutions, samples, targets = flipped(exponent=0, images=1000)
    for bases in ((targets + 1) % CLASSES + 0 * solutions, solutions):
        fit = family_fit(bases, samples, targets, CLASSES)
        assert np.isnan(fit(np.arange(1000))).all()
        assert np.isnan([diversity.exponent(fit, bases).value, diversity.family(fit, bases).value]).all()


# Tables


def test_tables_by_hand():
    own = {
        ("net", "independent"): points([0.5, 0.7], [0.45, 0.2]),
        ("net", "random"): points([0.4, 0.6], [0.6, 0.2]),
    }
    (row,) = diversity.matched_table(own, {("net", "random"): np.array([0.25, 1.5])}).to_numpy().tolist()
    # Solutions have 0.9 and 0.67; at their accuracies samples have 0.75 and, interpolated to the base, 0.25.
    assert row == ["net", "random directions", "1.5", "0.400", "0.50", "0.78", "2 of 2"]
    exact = points_of(0.4)
    (row,) = diversity.family_table({"net": exact}).to_numpy().tolist()
    lower, upper = (metrics.diversity_rmse(exact.accuracies, exact.disagreements, one) for one in exact.limits())
    assert row == ["net", "0.40", "0.000", f"{lower:.3f}", f"{upper:.3f}"]


def test_tables_of_a_base_no_better_than_guessing_say_what_there_is():
    guessing = Points(np.array([0.1, 0.2]), np.array([0.5, 0.4]), 1 / CLASSES, CLASSES)
    own = {("net", "independent"): guessing, ("net", "random"): guessing}
    assert len(diversity.matched_table(own, {("net", "random"): np.ones(2)})) == 1
    (row,) = diversity.family_table({"net": guessing}).to_numpy().tolist()
    assert row[1:4] == ["nan", "nan", "nan"]
    assert np.isfinite(float(row[4]))
