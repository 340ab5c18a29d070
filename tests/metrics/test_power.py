"""What an interval decides: p-values that agree with it, their adjustment, and how much data would be enough."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from lib.metrics.comparison import equidistant
from lib.metrics.intervals import Estimate, interval, share
from lib.metrics.power import expected_false, holm, p_above, p_below, power

NUMBERS = np.random.default_rng(0).normal(1, 1, size=8)
OF_NUMBERS = interval(lambda members: NUMBERS[members].mean(), members=8)


@pytest.mark.parametrize("threshold", [0, 0.5, 2])
def test_p_of_a_mean_is_students(threshold):
    expected = ttest_1samp(NUMBERS, threshold, alternative="greater").pvalue
    assert p_above(OF_NUMBERS, threshold) == pytest.approx(expected)
    assert p_below(OF_NUMBERS, threshold) == pytest.approx(1 - expected)


@pytest.mark.parametrize(
    "estimate",
    [
        OF_NUMBERS,
        interval(lambda members: np.exp(NUMBERS[members].mean()), members=8, log=True),
        share([1, 1, 0, 1, 1, 0.5, 1]),
        equidistant(
            np.random.default_rng(0).integers(3, size=(6, 200)) * (np.arange(200) < 30 * np.arange(1, 7)[:, None])
        ),
    ],
)
def test_p_is_a_fortieth_at_the_ends(estimate):
    assert p_above(estimate, estimate.low) == pytest.approx(0.025)
    assert p_below(estimate, estimate.high) == pytest.approx(0.025)


def test_p_of_shares():
    assert p_above(share([1] * 7), 0.9) == pytest.approx(0.9**7)
    assert p_above(share([0] * 7), 0.9) == p_below(share([1] * 7), 0.9) == 1
    assert p_below(share([0] * 7), 0.1) == pytest.approx(0.9**7)


def test_p_of_an_interval_beside_its_value():
    beside = Estimate(0.5, 0.3, 0.4, "bootstrap", images=100)
    assert (p_above(beside, 0.6), p_below(beside, 0.6)) == (1, 0)


def test_p_without_an_interval():
    for estimate in (interval(lambda members: 1.0, members=8), share([1, 1, 1]), share([math.nan] * 5)):
        assert math.isnan(p_above(estimate, 0))
        assert math.isnan(p_below(estimate, 0.5))


def test_holm_on_paper():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, math.nan, 0.03]), [0.02, math.nan, 0.03])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)


def test_expected_false():
    assert expected_false(40) == pytest.approx(1)


def estimate(value, half, **facts):
    return Estimate(value, value - half, value + half, "jackknife", **facts)


def test_power_of_members():
    """Twice too wide takes four times as many runs, or fewer as t's quantile shrinks (32 would reach 0.0202)."""
    words = power(estimate(0.02, 0.04, df=9, members=10), 0)
    assert words == "half-width 0.04; about 33 runs would decide"


def test_power_of_images_where_members_do_not_help():
    made = estimate(0.02, 0.04, df=1e6, members=10, images=500, from_images=0.99)
    assert power(made, 0) == "half-width 0.04; about 2,100 images would decide"


def test_power_of_both():
    made = estimate(0.02, 0.06, df=36, members=10, images=500, from_images=0.5)
    words = power(made, 0)
    assert words.startswith("half-width 0.06; about ")
    assert "runs and" in words


def test_power_of_a_share_follows_clopper_pearson():
    assert power(share([1] * 7), 0.99) == "half-width 0.2; about 368 runs would decide"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (estimate(1, 0.5, df=9, members=10), "half-width 0.5"),
        (estimate(0.0001, 0.5, df=9, members=10), "half-width 0.5; 100 times as many would not decide"),
        (estimate(0, 0.5, df=9, members=10), "half-width 0.5; 100 times as many would not decide"),
        (interval(lambda members: members.mean(), members=3), "no interval: at least 4 runs are needed"),
        (interval(lambda members: 1.0, members=8), "no interval"),
    ],
)
def test_power_in_other_words(made, words):
    assert power(made, 0) == words
