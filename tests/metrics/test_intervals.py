"""Bootstrap intervals: they cover what they should, repeat, and are not given where nothing varies."""

import math

import numpy as np
import pytest

from lib.metrics.intervals import Estimate, bootstrap, distinct_pairs, mean_over


def test_bootstrap_covers_a_gaussian_mean():
    """Percentile intervals of 30 draws hold the true mean about 93 times in a hundred."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        sample = rng.normal(size=30)
        estimate = bootstrap(lambda images, x=sample: x[images].mean(), images=30, resamples=300, seed=trial)
        assert estimate.low < estimate.value < estimate.high
        hits += estimate.low <= 0 <= estimate.high
    assert 86 <= hits <= 99


def test_bootstrap_width_is_that_of_the_normal_interval():
    sample = np.random.default_rng(0).normal(size=400)
    estimate = bootstrap(lambda images: sample[images].mean(), images=400)
    assert estimate.value == pytest.approx(sample.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.1)
    assert (estimate.resamples, estimate.unit) == (2000, "images")


def test_bootstrap_same_seed_repeats_and_other_differs():
    sample = np.random.default_rng(0).normal(size=20)
    first, again, other = (
        bootstrap(lambda members: sample[members].mean(), members=20, resamples=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.value == other.value
    assert (first.low, first.high) != (other.low, other.high)


def test_bootstrap_value_first_with_everything_in_order():
    calls = []

    def statistic(members, images):
        calls.append((members, images))
        return members.sum() + images.sum()

    estimate = bootstrap(statistic, members=3, images=7, resamples=20)
    assert estimate.unit == "members and images"
    assert len(calls) == 21
    np.testing.assert_array_equal(calls[0][0], range(3))
    np.testing.assert_array_equal(calls[0][1], range(7))
    for members, images in calls[1:]:
        assert members.shape == (3,)
        assert images.shape == (7,)
        assert set(members) <= set(range(3))
        assert set(images) <= set(range(7))


def test_bootstrap_deterministic_count_has_no_interval():
    assert bootstrap(lambda: 0) == Estimate(0, 0, 0, 0, "none")


def test_bootstrap_redraws_undefined_resamples():
    matrix = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    seen = []

    def mean_over_pairs(members):
        seen.append(matrix[distinct_pairs(members)].mean())  # of nothing when all three are the same
        return seen[-1]

    estimate = bootstrap(mean_over_pairs, members=3, resamples=500)
    assert np.isnan(seen).any()
    assert np.isfinite(seen).sum() == 501
    assert (estimate.value, estimate.low, estimate.high) == (2, 1, 3)


@pytest.mark.parametrize(("members", "value"), [(1, math.nan), (2, 0.5)])
def test_bootstrap_too_few_members_for_pairs_has_no_interval(members, value):
    """One member makes no pair; two make the same pair in every resample, an interval of width zero."""
    matrix = np.array([[0.0, 0.5], [0.5, 0.0]])
    estimate = bootstrap(lambda members: matrix[distinct_pairs(members)].mean(), members=members, resamples=50)
    assert estimate.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_bootstrap_hardly_ever_defined_gives_up():
    calls = iter(range(10**6))
    estimate = bootstrap(lambda images: 1.0 if next(calls) % 20 == 0 else math.nan, images=4, resamples=50)
    assert estimate.value == 1
    assert math.isnan(estimate.low)
    assert next(calls) == 501


def test_distinct_pairs_leaves_the_same_member_out():
    a, b = distinct_pairs(np.array([4, 2, 4]))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(4, 2), (2, 4)]


def test_mean_over_counts_each_image_as_often_as_it_was_drawn():
    values = np.array([[True, False, True], [False, False, True]])
    np.testing.assert_allclose(mean_over(values, np.array([0, 0, 1, 2])), [0.75, 0.25])
