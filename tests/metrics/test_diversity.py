"""Diversity: answers worked out by hand, and simulations of the analytic limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import metrics


def wrong_labels(rng, labels, classes):
    """Each label replaced by a random other one."""
    return (labels + rng.integers(1, classes, size=labels.shape)) % classes


def simulated_errors(rng, targets, accuracy, classes):
    return np.where(rng.random(len(targets)) < accuracy, targets, wrong_labels(rng, targets, classes))


def test_normalized_diversity_known():
    targets = np.array([0, 1, 2, 3])
    reference = np.array([0, 1, 2, 0])
    labels = np.array([reference, [0, 1, 0, 1], [0, 1, 2, 3]])
    # The second has two of four labels wrong, and two unlike the reference. The third has no errors to divide by.
    np.testing.assert_allclose(metrics.normalized_diversity(labels, reference, targets), [0, 1, np.nan])
    assert metrics.normalized_diversity(labels[1], reference, targets) == 1


@pytest.mark.parametrize(("accuracy", "expected"), [(0.70, 1.67), (0.76, 1.73), (0.89, 1.88)])
def test_uncorrelated_limit_at_the_papers_accuracies(accuracy, expected):
    assert metrics.uncorrelated_limit(accuracy, accuracy, 10) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("accuracy", "reference_accuracy", "classes"), [(0.5, 0.7, 10), (0.8, 0.6, 3), (0.3, 0.9, 2)])
def test_uncorrelated_limit_equals_simulation(accuracy, reference_accuracy, classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(classes, size=200_000)
    labels, reference = (simulated_errors(rng, targets, a, classes) for a in (accuracy, reference_accuracy))
    simulated = metrics.normalized_diversity(labels, reference, targets)
    assert metrics.uncorrelated_limit(accuracy, reference_accuracy, classes) == pytest.approx(simulated, rel=0.02)


@pytest.mark.parametrize(("flip", "reference_accuracy", "classes"), [(0.1, 0.7, 10), (0.5, 0.9, 4), (0.3, 0.8, 2)])
def test_perturbed_limit_equals_simulation(flip, reference_accuracy, classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(classes, size=200_000)
    reference = simulated_errors(rng, targets, reference_accuracy, classes)
    labels = np.where(rng.random(len(targets)) < flip, wrong_labels(rng, reference, classes), reference)
    simulated = metrics.normalized_diversity(labels, reference, targets)
    accuracy = np.mean(labels == targets)
    assert metrics.perturbed_limit(accuracy, reference_accuracy, classes) == pytest.approx(simulated, rel=0.03)


def test_flip_family_equals_simulation():
    rng = np.random.default_rng(0)
    targets = rng.integers(10, size=200_000)
    reference = simulated_errors(rng, targets, 0.7, 10)
    chance = np.where(reference == targets, 0.2, 0.2**0.22)
    labels = np.where(rng.random(len(targets)) < chance, wrong_labels(rng, reference, 10), reference)
    accuracy, disagreement = metrics.flip_family(0.2, 0.22, 0.7, 10)
    assert accuracy == pytest.approx(np.mean(labels == targets), abs=0.005)
    assert disagreement == pytest.approx(np.mean(labels != reference), abs=0.005)


def test_limits_meet_at_chance():
    assert metrics.uncorrelated_limit(0.1, 0.7, 10) == pytest.approx(1)
    assert metrics.perturbed_limit(0.1, 0.7, 10) == pytest.approx(1)


def test_perturbed_limit_zero_at_the_reference_and_above():
    np.testing.assert_array_equal(metrics.perturbed_limit([0.7, 0.75], 0.7, 10), 0)


@given(st.floats(0, 0.99), st.floats(0.6, 1), st.integers(2, 100))
def test_limits_are_in_order(fraction, reference_accuracy, classes):
    accuracy = 1 / classes + fraction * (reference_accuracy - 1 / classes)
    lower = metrics.perturbed_limit(accuracy, reference_accuracy, classes)
    upper = metrics.uncorrelated_limit(accuracy, reference_accuracy, classes)
    assert -1e-9 <= lower <= upper + 1e-9


@given(st.floats(0, 1), st.floats(0.6, 0.99), st.integers(2, 100))
def test_flip_family_exponent_one_is_the_perturbed_limit(flip, reference_accuracy, classes):
    accuracy, disagreement = metrics.flip_family(flip, 1, reference_accuracy, classes)
    expected = metrics.perturbed_limit(accuracy, reference_accuracy, classes)
    assert disagreement / (1 - accuracy) == pytest.approx(expected, abs=1e-9)


def test_flip_family_diversity_inverts_the_family():
    flips = np.linspace(0.05, 0.95, 40)
    for exponent in (0, 0.01, 0.22, 0.99, 1, 1.01, 3, 10):
        accuracy, disagreement = metrics.flip_family(flips, exponent, 0.7, 10)
        curve = metrics.flip_family_diversity(accuracy, exponent, 0.7, 10)
        np.testing.assert_allclose(curve, disagreement / (1 - accuracy), rtol=1e-8)


def test_flip_family_diversity_above_its_reach_is_that_of_the_most_accurate_member():
    flips = np.linspace(0, 1, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 0.22, 0.7, 10)
    peak = accuracy.argmax()
    assert 0.7 < accuracy[peak] < 0.72
    for above in (0.72, 0.9):
        expected = disagreement[peak] / (1 - above)
        assert metrics.flip_family_diversity(above, 0.22, 0.7, 10) == pytest.approx(expected, rel=1e-3)


def test_flip_family_diversity_is_of_the_falling_part():
    # Two members have accuracy 0.705, one of them on the way up to the peak: the curve takes the other.
    flips = np.linspace(0, 0.05, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 0.22, 0.7, 10)
    up, down = np.flatnonzero(np.diff(np.sign(accuracy - 0.705)))
    curve = metrics.flip_family_diversity(0.705, 0.22, 0.7, 10)
    assert curve == pytest.approx(disagreement[down] / 0.295, rel=1e-3)
    assert curve > 2 * disagreement[up] / 0.295


def test_flip_family_diversity_below_its_reach():
    # At p₊ = 1 all labels flip: d = 1, accuracy (1 - a*) / (K - 1).
    assert metrics.flip_family_diversity(0.01, 0.22, 0.7, 10) == pytest.approx(1 / 0.99)
    # With two classes and a large exponent the last flips correct more than they break: accuracy turns before p₊ = 1.
    flips = np.linspace(0, 1, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 8, 0.7, 2)
    trough = accuracy.argmin()
    assert 0.5 < flips[trough] < 0.95
    expected = disagreement[trough] / 0.9
    assert metrics.flip_family_diversity(0.1, 8, 0.7, 2) == pytest.approx(expected, rel=1e-3)


def test_flip_family_diversity_broadcasts():
    grid = metrics.flip_family_diversity([0.3, 0.5, 0.69], [[0.22], [1.0]], 0.7, 10)
    assert grid.shape == (2, 3)
    assert grid[1, 2] == metrics.flip_family_diversity(0.69, 1, 0.7, 10)
    assert np.isnan(metrics.flip_family_diversity(1.0, 0.22, 0.7, 10))


@pytest.mark.parametrize("exponent", [0.05, 0.22, 1, 2.5])
@pytest.mark.parametrize(("reference_accuracy", "classes"), [(0.7, 10), (0.9, 100), (0.8, 2)])
def test_fit_flip_exponent_recovers_the_familys_own(exponent, reference_accuracy, classes):
    flips = np.random.default_rng(0).uniform(0.05, 0.9, size=100)
    points = metrics.flip_family(flips, exponent, reference_accuracy, classes)
    assert metrics.fit_flip_exponent(*points, reference_accuracy, classes) == pytest.approx(exponent, rel=1e-3)


def test_fit_flip_exponent_is_the_best_there_is():
    rng = np.random.default_rng(0)
    accuracies = rng.uniform(0.2, 0.7, size=100)
    disagreements = np.clip((1 - accuracies) * (1 - accuracies + rng.normal(0, 0.1, size=100)), 0, 1)

    def rmse(exponent):
        curve = metrics.flip_family_diversity(accuracies, exponent, 0.7, 10)
        return metrics.diversity_rmse(accuracies, disagreements, curve)

    fitted = metrics.fit_flip_exponent(accuracies, disagreements, 0.7, 10)
    assert rmse(fitted) > 0.01
    assert rmse(fitted) <= min(map(rmse, np.geomspace(0.01, 10, 300))) + 1e-9


def test_fit_flip_exponent_leaves_out_points_without_errors():
    accuracies, disagreements = metrics.flip_family(np.linspace(0.1, 0.9, 20), 0.5, 0.9, 10)
    with_one = np.append(accuracies, 1.0), np.append(disagreements, 0.1)
    assert metrics.fit_flip_exponent(*with_one, 0.9, 10) == pytest.approx(0.5, rel=1e-3)
    assert np.isnan(metrics.fit_flip_exponent([1.0], [0.1], 0.9, 10))


@pytest.mark.parametrize("exponent", [0.003, 40])
def test_fit_flip_exponent_at_an_end_of_its_range_is_undefined(exponent):
    points = metrics.flip_family(np.linspace(0.1, 0.9, 20), exponent, 0.7, 10)
    assert np.isnan(metrics.fit_flip_exponent(*points, 0.7, 10))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_rmse_known_and_without_errors():
    assert metrics.diversity_rmse([0.5, 0.75, 1.0], [0.5, 0.25, 0], [0.9, 0.3, 5]) == pytest.approx(0.5)
    assert np.isnan(metrics.diversity_rmse([1.0], [0.0], [0.5]))


def test_diversity_at_accuracy_of_falling_samples_is_straight_between_them():
    accuracies, diversities = [0.7, 0.3, 0.5], [0.1, 0.9, 0.6]
    at = metrics.diversity_at_accuracy(accuracies, diversities, [0.3, 0.4, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(at, [0.9, 0.75, 0.6, 0.35, 0.1])
    assert metrics.diversity_at_accuracy(accuracies, diversities, 0.6) == pytest.approx(0.35)


def test_diversity_at_accuracy_pools_what_rises():
    # 0.4 and 0.6 rise, so they are pooled to 0.5; two samples with the same accuracy are averaged.
    at = metrics.diversity_at_accuracy([0.2, 0.4, 0.5, 0.7, 0.7], [0.9, 0.4, 0.6, 0.1, 0.3], [0.2, 0.4, 0.45, 0.5, 0.7])
    np.testing.assert_allclose(at, [0.9, 0.5, 0.5, 0.5, 0.2])


def test_diversity_at_accuracy_outside_the_samples_is_nan():
    at = metrics.diversity_at_accuracy([0.3, 0.5], [0.9, 0.5], [0.29, 0.3, 0.5, 0.51])
    np.testing.assert_array_equal(np.isnan(at), [True, False, False, True])
    assert np.isnan(metrics.diversity_at_accuracy([0.5], [0.4], 0.6))
    assert metrics.diversity_at_accuracy([0.5], [0.4], 0.5) == 0.4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.normalized_diversity([[0, 1]], [0], [0, 1]), r"reference: expected shape \(n\) with n = 2"),
        (lambda: metrics.uncorrelated_limit(70.0, 0.7, 10), "accuracy: expected fractions from 0 to 1, received 70"),
        (lambda: metrics.flip_family(1.5, 1, 0.7, 10), "flip: "),
        (lambda: metrics.diversity_at_accuracy([0.5], [0.1, 0.2], 0.5), r"sample_diversities: .* with n = 1"),
        (lambda: metrics.diversity_at_accuracy([50.0], [0.1], 0.5), "sample_accuracies: expected fractions"),
    ],
)
def test_bad_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_curves_of_a_reference_that_guesses_are_undefined():
    assert np.isnan(metrics.perturbed_limit([0.1, 0.3], 0.1, 10)).all()
    assert np.isnan(metrics.flip_family_diversity([0.1, 0.3], 0.22, 0.05, 10)).all()
    assert np.isnan(metrics.fit_flip_exponent([0.4], [0.5], 0.5, 2))
