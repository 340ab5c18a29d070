"""Intervals over few members and many images: right if the answer is known, and undefined if nothing varies."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from benchmarks import intervals as study
from lib.findings.claim import Criterion
from lib.findings.judging import decided
from lib.metrics.comparison import equidistant
from lib.metrics.intervals import (
    UNDEFINED,
    Estimate,
    count,
    difference,
    equal_sizes,
    extreme,
    interval,
    mean_over,
    pairs,
    share,
)

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(1, 1, size=8)
TABLE = RNG.normal(1, 1, size=(6, 1)) + RNG.normal(size=(6, 50))


def mean(members=slice(None), images=slice(None)):
    return TABLE[members][:, images].mean()


# Coverage


@pytest.mark.parametrize(
    "make", [study.equal_distances, study.within_between, study.accuracy_gain, study.gains_less, study.jsd_margin]
)
def test_interval_covers_the_truth(make, monkeypatch):
    """Intervals cover the truth in at least 90 of 100 data sets, each of five new runs and new images."""
    monkeypatch.setattr(study, "RESAMPLES", 40)
    row, rng, members = make(), np.random.default_rng(0), 5
    _, truth = row.truth(rng, members, 200)
    made = [row.now(row.simulate(rng, members), members) for _ in range(100)]
    assert sum(one.low <= truth <= one.high for one in made) >= 90


def test_share_covers_the_truth():
    row, rng = study.share_of_runs(), np.random.default_rng(0)
    made = [row.now(row.simulate(rng, 5), 5) for _ in range(200)]
    assert np.mean([one.low <= 0.9 <= one.high for one in made]) >= 0.95


# One interval


def test_interval_of_a_mean_over_members_is_students():
    estimate = interval(lambda members: NUMBERS[members].mean(), members=8)
    expected = ttest_1samp(NUMBERS, 0).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.value, estimate.df, estimate.from_images) == (pytest.approx(NUMBERS.mean()), 7, 0)
    assert (estimate.method, estimate.members, estimate.images, estimate.level) == ("jackknife", 8, None, 0.95)
    assert estimate.half_width == pytest.approx((expected.high - expected.low) / 2)


def test_interval_calls_with_different_members_in_order():
    calls = []

    def function(members, images):
        calls.append((tuple(members), len(images)))
        return mean(members, images)

    interval(function, members=5, images=50, resamples=7)
    everything = (0, 1, 2, 3, 4)
    deletions = [everything[:i] + everything[i + 1 :] for i in range(5)]
    assert [members for members, _ in calls] == [everything, *deletions, *[everything] * 7]
    assert {count for _, count in calls} == {50}


def test_interval_adds_both_variances():
    estimate = interval(mean, members=6, images=50)
    variance, from_images = TABLE.mean(axis=1).var(ddof=1) / 6, TABLE.mean(axis=0).var() / 50
    assert estimate.from_images == pytest.approx(from_images / (variance + from_images), rel=0.2)
    assert estimate.df == pytest.approx(5 / (1 - estimate.from_images) ** 2)


def test_interval_repeats():
    assert interval(mean, members=6, images=50) == interval(mean, members=6, images=50)


def test_interval_over_images_alone_is_about_that_of_a_normal_mean():
    numbers = np.random.default_rng(0).normal(size=400)
    estimate = interval(lambda images: numbers[images].mean(), images=400)
    assert estimate.half_width == pytest.approx(1.96 * numbers.std() / 20, rel=0.1)
    assert (estimate.method, estimate.images, estimate.from_images, estimate.df) == ("bootstrap", 400, 1, None)


def test_interval_on_the_log_scale():
    estimate = interval(lambda members: np.exp(NUMBERS[members].mean()), members=8, log=True)
    assert estimate.low * estimate.high == pytest.approx(estimate.value**2)
    assert estimate.high == pytest.approx(np.exp(ttest_1samp(NUMBERS, 0).confidence_interval().high))


def test_count_is_its_value():
    assert count(np.float32(0.5)) == Estimate(0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "estimate",
    [
        pytest.param(interval(mean, members=3), id="three members"),
        pytest.param(interval(mean, members=1), id="one member"),
        pytest.param(interval(mean, members=3, images=50), id="three members and images"),
        pytest.param(interval(mean, members=6, images=1), id="one image"),
        pytest.param(interval(mean, images=1), id="one image alone"),
        pytest.param(interval(lambda members: 0.1 * members.sum() / members.sum(), members=6), id="constant"),
        pytest.param(interval(lambda images: 1.0, images=50), id="constant over images"),
        pytest.param(interval(lambda members, images: TABLE[0, images].mean(), members=6, images=50), id="copies"),
        pytest.param(interval(lambda members, images: NUMBERS[members].mean(), members=6, images=50), id="no images"),
        pytest.param(interval(lambda members: np.nan, members=6), id="nan"),
        pytest.param(interval(lambda members: np.array([])[members[:0]].mean(), members=6), id="empty mean"),
        pytest.param(interval(lambda members: -1.0 - members[0], members=6, log=True), id="log of a negative number"),
        pytest.param(extreme(lambda members: [NUMBERS[members].mean(), 1], "smallest", members=6), id="one constant"),
        pytest.param(share([1, 1, 1]), id="three runs"),
        pytest.param(share([np.nan] * 6), id="no samples"),
        pytest.param(equidistant(RNG.integers(3, size=(3, 50))), id="three sets of labels"),
        pytest.param(equidistant(RNG.integers(3, size=(6, 1))), id="one image of labels"),
        pytest.param(equidistant(np.zeros((6, 50), int)), id="equal labels"),
        pytest.param(equidistant(np.repeat(np.arange(6)[:, None], 50, axis=1)), id="labels that never agree"),
        pytest.param(difference(interval(mean, members=6), UNDEFINED), id="difference from nothing"),
    ],
)
@pytest.mark.parametrize("criterion", [Criterion(">", -9), Criterion("<", -9), Criterion("<=", 9), Criterion(">=", 9)])
def test_no_interval_no_verdict(estimate, criterion):
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert decided(estimate, criterion) is None


def test_difference_of_two_means_is_welchs():
    first, second = (
        interval(lambda members, own=own: own[members].mean(), members=8) for own in (NUMBERS, 3 * NUMBERS)
    )
    found = difference(first, second)
    variances = np.array([1, 9]) * NUMBERS.var(ddof=1) / 8
    assert found.value == pytest.approx(-2 * NUMBERS.mean())
    assert found.df == pytest.approx(variances.sum() ** 2 / (variances**2 / 7).sum())
    assert found.low < found.value - 1.96 * math.sqrt(variances.sum())


# Extremes


def test_extreme_is_made_of_the_ends_of_each():
    each = [interval(lambda members, i=i: TABLE[members, i].mean(), members=6) for i in range(4)]
    estimate = extreme(lambda members: TABLE[members, :4].mean(axis=0), "smallest", members=6)
    assert estimate.value == pytest.approx(min(one.value for one in each))
    assert estimate.low == pytest.approx(min(one.low for one in each))
    adjusted = [interval(lambda members, i=i: TABLE[members, i].mean(), members=6, level=0.9875) for i in range(4)]
    assert estimate.high == pytest.approx(min(one.high for one in adjusted))


def test_extreme_largest_mirrors_the_smallest():
    smallest = extreme(lambda members: -TABLE[members, :4].mean(axis=0), "smallest", members=6)
    largest = extreme(lambda members: TABLE[members, :4].mean(axis=0), "largest", members=6)
    assert (largest.value, largest.low, largest.high) == (-smallest.value, -smallest.high, -smallest.low)


def test_extreme_over_two_axes_is_adjusted_for_each_where_it_may_err():
    """The smallest of 2 maxima over 3: the error of `low` is divided by three, that of `high` by two."""
    numbers = TABLE[:, :6].reshape(6, 2, 3)

    def ends(level):
        own = [interval(lambda members, i=i: TABLE[members, i].mean(), members=6, level=level) for i in range(6)]
        return (np.array([getattr(one, end) for one in own]).reshape(2, 3).max(1).min() for end in ("low", "high"))

    estimate = extreme(lambda members: numbers[members].mean(axis=0), "smallest", "largest", members=6)
    assert estimate.value == pytest.approx(numbers.mean(axis=0).max(axis=1).min())
    assert estimate.low == pytest.approx(next(ends(1 - 0.05 / 3)))
    assert estimate.high == pytest.approx([*ends(1 - 0.05 / 2)][1])


def test_extreme_over_images_alone():
    table = RNG.normal([1, 2], 1, size=(400, 2))
    estimate = extreme(lambda images: table[images].mean(axis=0), "smallest", images=400)
    assert estimate.value - estimate.low == pytest.approx(1.96 * table[:, 0].std() / 20, rel=0.15)
    assert (estimate.images, estimate.df, estimate.from_images) == (400, None, 1)


@pytest.mark.parametrize(("shift", "expected"), [(0, True), (-2, None), (-4, False)])
def test_extreme_needs_every_margin_to_pass_and_one_to_fail(shift, expected):
    margins = RNG.normal(0, 0.1, size=(6, 3))
    margins += [2, 2, 2 + shift] - margins.mean(axis=0)
    estimate = extreme(lambda members: margins[members].mean(axis=0), "smallest", members=6)
    assert decided(estimate, Criterion(">", 0)) == expected


# Shares


@pytest.mark.parametrize("successes", [0, 3, 7])
def test_share_of_all_or_nothing_is_clopper_pearson(successes):
    estimate = share([1] * successes + [0] * (7 - successes))
    expected = binomtest(successes, 7).proportion_ci(method="exact")
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.value == pytest.approx(successes / 7)


def test_share_leaves_out_runs_without_samples():
    assert share([1, 0.5, 1, np.nan, 1]) == share([1, 0.5, 1, 1])


def test_share_refuses_counts():
    with pytest.raises(ValueError, match="shares: expected fractions from 0 to 1"):
        share([3, 4, 5, 5])


# Ensembles of one size, pairs, means


def test_equal_sizes_value_is_the_mean_over_ensembles_of_all_but_one():
    sizes = []

    def prepare(members):
        sizes.append(len(members))
        return TABLE[members].max(axis=0)

    function = equal_sizes(prepare, 6)
    of_rest = [TABLE[np.delete(np.arange(6), i)].max(axis=0) for i in range(6)]
    everything, images = np.arange(6), np.arange(50)
    assert function(members=everything, images=images) == pytest.approx(np.mean(of_rest))
    assert function(members=np.delete(everything, 2), images=images) == pytest.approx(of_rest[2].mean())
    assert sizes == [5] * 6
    drawn = np.array([3, 3, 7])
    assert function(members=everything, images=drawn) == pytest.approx(np.mean(of_rest, axis=0)[drawn].mean())


def test_equal_sizes_of_fewer_are_neighbours_in_a_ring():
    asked = []

    def prepare(members):
        asked.append(members.tolist())
        return TABLE[members].max(axis=0)

    function, images = equal_sizes(prepare, 6, size=2), np.arange(50)
    value = function(members=np.array([0, 1, 3, 5]), images=images)
    assert asked == [[0, 1], [1, 3], [3, 5], [0, 5]]
    assert value == pytest.approx(np.mean([TABLE[own].max(axis=0).mean() for own in asked]))
    assert function(members=np.array([2, 4]), images=images) == pytest.approx(TABLE[[2, 4]].max(axis=0).mean())


def test_equal_sizes_with_a_score_that_is_no_mean():
    function = equal_sizes(lambda members: TABLE[members], 6, lambda prepared, images: prepared[:, images].std())
    rest = np.arange(1, 6)
    assert function(members=rest, images=np.arange(50)) == pytest.approx(TABLE[1:].std())
    assert interval(function, members=6, images=50, resamples=50).low > 0


def test_pairs_are_of_the_members_that_are_left():
    assert list(zip(*map(np.ndarray.tolist, pairs(np.array([1, 3, 4]))), strict=True)) == [(1, 3), (1, 4), (3, 4)]


def test_mean_over_counts_each_image_as_often_as_it_was_drawn():
    values = np.array([[True, False, True], [False, False, True]])
    np.testing.assert_allclose(mean_over(values, np.array([0, 0, 1, 2])), [0.75, 0.25])


@pytest.mark.parametrize("name", ["members", "images"])
def test_interval_of_no_members_or_images(name):
    with pytest.raises(ValueError, match=rf"{name}: expected at least 1, received 0"):
        interval(mean, **{"members": 6, "images": 50} | {name: 0})
