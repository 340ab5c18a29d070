"""Intervals over few members hold the truth where it is known, and are not given where nothing varies."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from benchmarks import intervals as coverage
from lib.findings.claim import Criterion
from lib.findings.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, verdict
from lib.metrics.intervals import bootstrap
from lib.metrics.jackknife import Estimate, equal_sizes, equidistant, extreme, interval, share

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(1, 1, size=8)
TABLE = RNG.normal(1, 1, size=(6, 1)) + RNG.normal(size=(6, 50))


def mean(members=slice(None), images=slice(None)):
    return TABLE[members][:, images].mean()


# Coverage


@pytest.mark.parametrize(
    "make",
    [
        coverage.equal_distances,
        coverage.within_between,
        coverage.accuracy_gain,
        coverage.gains_less,
        coverage.jsd_margin,
    ],
)
def test_interval_covers_the_truth(make, monkeypatch):
    """At least 90 of 100 data sets of five runs, each with new runs and images."""
    monkeypatch.setattr(coverage, "RESAMPLES", 40)
    row, rng, members = make(), np.random.default_rng(0), 5
    _, truth = row.truth(rng, members, 200)
    made = [row.now(row.simulate(rng, members), members) for _ in range(100)]
    assert sum(one.low <= truth <= one.high for one in made) >= 90


def test_share_covers_the_truth():
    row, rng = coverage.share_of_runs(), np.random.default_rng(0)
    made = [row.now(row.simulate(rng, 5), 5) for _ in range(200)]
    assert np.mean([one.low <= 0.9 <= one.high for one in made]) >= 0.95


# One interval


def test_interval_of_a_mean_over_members_is_students():
    estimate = interval(lambda members: NUMBERS[members].mean(), members=8)
    expected = ttest_1samp(NUMBERS, 0).confidence_interval()
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert (estimate.value, estimate.df, estimate.from_images) == (pytest.approx(NUMBERS.mean()), 7, 0)
    assert (estimate.unit, estimate.method) == ("members", "jackknife")


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
    both, members = interval(mean, members=6, images=50), interval(mean, members=6)
    assert both.high - both.low > 0
    variance = TABLE.mean(axis=1).var(ddof=1) / 6
    from_images = TABLE.mean(axis=0).var() / 50
    assert both.from_images == pytest.approx(from_images / (variance + from_images), rel=0.2)
    assert both.df == pytest.approx(5 / (1 - both.from_images) ** 2)
    assert (both.unit, both.resamples, members.resamples) == ("members and images", 400, 0)


def test_interval_same_seed_repeats_and_other_differs():
    first, again, other = (interval(mean, members=6, images=50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.value == other.value
    assert first.low != other.low


def test_interval_over_images_alone_is_the_bootstrap():
    plain = bootstrap(mean, images=50)
    estimate = interval(mean, images=50)
    assert (estimate.value, estimate.low, estimate.high) == (plain.value, plain.low, plain.high)
    assert (estimate.method, estimate.resamples) == ("bootstrap", 2000)


def test_interval_of_nothing_is_a_count():
    assert interval(lambda: 3) == Estimate(3, 3, 3, 0, "none")


def test_interval_on_the_log_scale():
    numbers = np.exp(NUMBERS)
    estimate = interval(lambda members: np.exp(np.log(numbers[members]).mean()), members=8, log=True)
    assert estimate.low * estimate.high == pytest.approx(estimate.value**2)
    expected = ttest_1samp(NUMBERS, 0).confidence_interval()
    assert estimate.high == pytest.approx(np.exp(expected.high))


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
    ],
)
@pytest.mark.parametrize("criterion", [Criterion(">", -9), Criterion("<", -9), Criterion("<=", 9), Criterion(">=", 9)])
def test_no_interval_no_verdict(estimate, criterion):
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert verdict(estimate, criterion) == INCONCLUSIVE


@pytest.mark.parametrize("name", ["members", "images"])
def test_interval_of_no_members_or_images(name):
    with pytest.raises(ValueError, match=rf"{name}: expected at least 1, received 0"):
        interval(mean, **{"members": 6, "images": 50} | {name: 0})


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


def test_extreme_over_images_alone():
    table = RNG.normal([1, 2], 1, size=(400, 2))
    estimate = extreme(lambda images: table[images].mean(axis=0), "smallest", images=400)
    assert estimate.value - estimate.low == pytest.approx(1.96 * table[:, 0].std() / 20, rel=0.15)
    assert (estimate.unit, estimate.df, estimate.from_images) == ("images", math.inf, 1)


@pytest.mark.parametrize(("shift", "expected"), [(0, REPRODUCED), (-4, NOT_REPRODUCED)])
def test_extreme_needs_every_margin_to_pass_and_one_to_fail(shift, expected):
    margins = RNG.normal([2, 2, 2 + shift], 0.1, size=(6, 3))
    estimate = extreme(lambda members: margins[members].mean(axis=0), "smallest", members=6)
    assert verdict(estimate, Criterion(">", 0)) == expected


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


# Equal distances


def test_equidistant_of_nothing_but_noise_reaches_zero():
    labels = np.random.default_rng(0).integers(10, size=(8, 300))
    estimate = equidistant(labels)
    assert estimate.low == 0
    assert verdict(estimate, Criterion("<=", 0.15)) == REPRODUCED


def test_equidistant_value_without_noise():
    """Members that err on so many images of their own, out of very many: distances are sums, known on paper."""
    errors = np.array([100, 200, 300, 400, 500, 600])
    labels = np.zeros((6, 50_000), int)
    for member, (count, end) in enumerate(zip(errors, np.cumsum(errors), strict=True)):
        labels[member, end - count : end] = 1
    # Variance between pairs of sums of two: twice that of one; what is not additive adds nothing.
    expected = math.sqrt(2 * errors.var(ddof=1)) / (2 * errors.mean())
    assert equidistant(labels).value == pytest.approx(expected, rel=0.02)


# Ensembles of one size


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


def test_equal_sizes_with_a_score_that_is_no_mean():
    function = equal_sizes(lambda members: TABLE[members], 6, lambda prepared, images: prepared[:, images].std())
    rest = np.arange(1, 6)
    assert function(members=rest, images=np.arange(50)) == pytest.approx(TABLE[1:].std())
    assert interval(function, members=6, images=50, resamples=50).low > 0
