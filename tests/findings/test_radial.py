"""The plane of two solutions, worked out by hand: the valley, norms, and which solution a place resembles."""

import numpy as np
import pytest

from lib.errors import ConfigError
from lib.findings.radial import (
    FACTORS,
    chosen_pair,
    natural_scale,
    nearer_optimum,
    norm_grows,
    norm_grows_mean,
    own_mode,
    solutions,
    valley,
)
from lib.metrics import intervals


def test_valley_is_the_largest_loss_of_both_solutions_in_points():
    assert FACTORS[2] == 1
    targets = np.zeros(10, int)
    wrong = np.array([[2, 0], [1, 0], [0, 1], [0, 2], [0, 3]])  # errors on ten images, by factor and ray
    labels = (np.arange(10) < wrong[..., None]).astype(int)
    found = valley(labels, targets)
    assert (found.images, found.value) == (10, pytest.approx(20))


def test_norm_grows_by_the_smallest_factor_of_the_runs_or_the_mean_of_logarithms():
    weights = np.zeros((2, 3, 5), np.float32)
    weights[:, 0, 0], weights[:, -1, 3] = [2, 4], [6, 6]
    assert norm_grows(weights).value == 1.5
    assert norm_grows_mean(weights).value == pytest.approx(np.log(3 * 1.5) / 2)


def test_nearer_optimum_of_every_place():
    expected = [[-1, -1, -1, -1, -1], [0, -1, -1, -1, 1], [0, 0, -1, 1, 1]]
    angles = np.radians([-45, 0, 45, 90, 135])
    np.testing.assert_array_equal(nearer_optimum(np.array([0.0, 1, 2]), angles), expected)
    # Without the halfway ray and without radius 1, every place but the origin has a nearer optimum.
    angles = np.radians([-30, 0, 30, 60, 90, 120])
    np.testing.assert_array_equal(nearer_optimum(np.array([0.5, 2]), angles), [[0, 0, 0, 1, 1, 1]] * 2)


#: True labels of 100 images, and the labels of two solutions with 3 and 10 errors.
TARGETS = np.zeros(100, int)
SOLUTIONS = FIRST, SECOND = np.stack([np.where(np.arange(100) < 3, 1, 0), np.where(np.arange(100) >= 90, 2, 0)])


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "RESAMPLES_ALONE", 20)


def share(first, second, radius=2.0):
    """`own_mode` of two places, with labels `first` on the first solution's ray and `second` on the second's."""
    labels, angles = np.stack([first, second])[None], np.array([0, np.pi / 2])
    return own_mode(labels, SOLUTIONS, TARGETS, np.array([radius]), angles).value


def wrong(labels, *images):
    """The labels, replaced on some images by one that neither solution has."""
    changed = labels.copy()
    changed[list(images)] = 9
    return changed


def test_own_mode_by_hand():
    assert share(FIRST, SECOND) == 1
    assert share(FIRST, FIRST) == 0.5
    assert share(SECOND, SECOND) == 1  # the first place is too inaccurate for its side, and does not count
    assert np.isnan(share(FIRST, SECOND, radius=1.0))  # the solutions themselves do not count


def test_own_mode_counts_to_the_very_margin():
    # A place on the second side that is like the first solution, and 5 or 6 points less accurate than the second.
    assert share(FIRST, wrong(FIRST, *range(3, 15))) == 0.5
    assert share(FIRST, wrong(FIRST, *range(3, 16))) == 1
    assert np.isnan(share(wrong(FIRST, *range(50)), wrong(SECOND, *range(50))))


def test_own_mode_that_ties_is_not_more_alike():
    assert share(wrong(TARGETS, *range(90, 97)), SECOND) == 0.5
    assert share(wrong(TARGETS, *range(90, 96)), SECOND) == 1


def test_chosen_pair_counts_from_one():
    assert chosen_pair(None, 2) == (0, 1)
    assert chosen_pair([3, 1], 3) == (2, 0)


@pytest.mark.parametrize("runs", [[1, 1], [0, 1], [1, 4], [1], [1, 2, 3], ["1", "2"], []])
def test_chosen_pair_of_other_than_two_runs_is_one_line(runs):
    with pytest.raises(ConfigError, match=r"^runs must be two different numbers from 1 to 3, as in \[1, 2\], got \["):
        chosen_pair(runs, 3)


def test_natural_scale_is_of_gaussians_alone():
    assert natural_scale("low-rank-gaussian") == natural_scale("diagonal-gaussian") == 1
    with pytest.raises(ConfigError, match=r"^unknown gaussian 'random'"):
        natural_scale("random")


def test_solutions_are_a_row_each():
    weights = [np.diag([3.0, 1, 4]), np.diag([5.0, 1, 6])]
    samples = np.stack([[FIRST, SECOND], [SECOND, SECOND]])
    table = solutions((2, 0), weights, SOLUTIONS, samples, TARGETS)
    assert table.to_numpy().tolist() == [
        ["3", "0.97", "3.0", "4.0", "0.935", "0.935"],
        ["1", "0.9", "5.0", "6.0", "1.0", "0.87"],
    ]
