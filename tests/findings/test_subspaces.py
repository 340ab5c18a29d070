"""Whether samples stay in their mode: distances and shares worked out by hand."""

import numpy as np
import pytest

from lib.findings.subspaces import (
    as_accurate,
    closer,
    nearer,
    relative_disagreement,
    samples_table,
    squared_distances,
    stayed,
    staying_table,
    stays,
)
from lib.metrics import euclidean_distances

# Squared distances from both solutions, for two samples of each of two runs, on two images.
DISTANCES = np.array(
    [
        [[[0, 0], [2, 2]], [[2, 0], [0, 1]]],
        [[[1, 1], [0, 0]], [[0, 2], [2, 0]]],
    ],
    np.float32,
)
EVERY = np.ones((2, 2), bool)

# Labels of three solutions, which differ on 2, 4 and 3 of four images, and of one sample of each run.
SOLUTIONS = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [2, 1, 1, 1]])
LABELS = np.array([[[9, 0, 0, 0]], [[1, 9, 9, 0]], [[2, 1, 1, 1]]])
ALONE = np.ones((3, 1), bool)


def probabilities(*shape):
    raw = np.random.default_rng(shape).random(shape)
    return (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)


# Which samples count


def test_as_accurate_counts_to_the_very_margin():
    near = as_accurate(np.array([[0.88, 0.8799, 0.95, 0.5], [0.88, 0.8799, 0.78, 0.5]]), np.array([0.9, 0.8]))
    np.testing.assert_array_equal(near, [[True, False, True, False], [True, True, True, False]])


def test_as_accurate_forgives_rounding_alone():
    right, bases = np.arange(101), np.arange(2, 101)
    near = as_accurate(np.tile(right / 100, (99, 1)), bases / 100)
    np.testing.assert_array_equal(near, right >= bases[:, None] - 2)


# Distances


def test_squared_distances_by_hand():
    first, second, even = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
    samples = np.array([[[first, even]], [[second, even]]])
    distances = squared_distances(samples, np.array([[first, even], [even, second]]))
    np.testing.assert_array_equal(distances, [[[[0, 0], [0.5, 0.5]]], [[[2, 0], [0.5, 0.5]]]])
    assert distances.dtype == np.float32


def test_squared_distances_sum_to_those_of_whole_predictions():
    probs, solutions = probabilities(2, 4, 6, 3), probabilities(2, 6, 3)
    whole = euclidean_distances(np.concatenate([*probs, solutions]))[:8, 8:] ** 2
    np.testing.assert_allclose(squared_distances(probs, solutions).sum(axis=-1).reshape(8, 2), whole, rtol=1e-5)


# Nearest to their own run


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([0, 1], 0.5),  # run 1's second sample is nearer to run 2; run 2's is equally near to both
        ([1], 1),
        ([0, 1, 1], 1),  # run 1's second sample ties, and the first run, its own, wins
    ],
)
def test_stays_by_hand(images, expected):
    assert stayed(DISTANCES[..., images]).mean() == expected
    assert stays(DISTANCES[..., images], EVERY).value == expected


def test_stays_is_a_share_of_each_run_of_the_samples_that_count():
    near = np.array([[True, False], [True, True]])
    assert stays(DISTANCES, near).value == 3 / 4
    assert stays(DISTANCES, np.array([[False, False], [True, True]])).value == 1 / 2
    assert np.isnan(stays(DISTANCES, ~EVERY).value)


def test_nearer_is_the_mean_logarithm_of_how_much_farther_the_other_run_is():
    """Sums of squares over both images, for own and other run: 0 and 4, 2 and 1; 0 and 2, 2 and 2."""
    found = nearer(DISTANCES, EVERY)
    assert (found.members, found.images) == (2, 2)
    # Samples that predict the same as their base are left out.
    assert found.value == pytest.approx((np.log(1 / 2) + np.log(2 / 2)) / 2 / 2)
    assert nearer(DISTANCES, np.array([[True, True], [True, False]])).value == pytest.approx(np.log(1 / 2) / 2)
    assert np.isnan(nearer(DISTANCES, ~EVERY).value)


def test_nearer_takes_the_nearest_of_other_runs_and_has_an_interval_from_four_on():
    probs, solutions = probabilities(4, 3, 50, 3), probabilities(4, 50, 3)
    samples = 0.9 * solutions[:, None] + 0.1 * probs
    distances = squared_distances(samples, solutions)
    whole = np.sqrt(distances.sum(axis=-1))  # (4, 3, 4)
    own = whole.diagonal(axis1=0, axis2=2).T
    foreign = np.where(np.eye(4, dtype=bool)[:, None], np.inf, whole).min(axis=-1)
    found = nearer(distances, np.ones((4, 3), bool))
    assert found.value == pytest.approx(np.log(foreign / own).mean(), rel=1e-5)
    assert 0 < found.low < found.value < found.high


# Relative to the distance between runs


def test_relative_disagreement_by_hand():
    # 1/4, 1/2 and 0, divided by the mean of 1/2, 1 and 3/4.
    np.testing.assert_allclose(relative_disagreement(LABELS, SOLUTIONS), [[1 / 3], [2 / 3], [0]])
    assert closer(LABELS, SOLUTIONS, ALONE).value == pytest.approx(1 / 3)


def test_closer_of_samples_that_count():
    near = np.array([[False], [True], [True]])
    assert closer(LABELS, SOLUTIONS, near).value == pytest.approx(0.25 / 0.75)
    near[2] = False
    assert closer(LABELS, SOLUTIONS, near).value == pytest.approx(0.5 / 0.75)


def test_closer_undefined():
    cases = {
        "no sample counts": (LABELS, SOLUTIONS, ~ALONE),
        "one run alone": (LABELS[:1], SOLUTIONS[:1], ALONE[:1]),
        "no difference": (LABELS, np.zeros_like(SOLUTIONS), ALONE),
        "none at all": (np.zeros_like(LABELS), np.zeros_like(SOLUTIONS), ALONE),
    }
    assert not any(np.isfinite(closer(*case).value) for case in cases.values())


# Tables


def test_tables_by_hand():
    near = {"random": np.array([[True, True], [True, False]]), "dropout": np.zeros((2, 2), bool)}
    table = samples_table({"random": np.array([0.5, 1.2345]), "dropout": np.array([0.1, 0.2])}, near)
    assert table.to_numpy().tolist() == [["random directions", "1.23", 4, 3], ["dropout of weights", "0.2", 4, 0]]
    staying = {"random": np.array([[True, False], [True, True]]), "dropout": np.zeros((2, 2), bool)}
    lost = {method: np.array([[0.5, 9.0], [1.25, 3.04]]) for method in near}
    assert staying_table(staying, near, lost).to_numpy().tolist() == [
        ["random directions", "3 of 4", "2 of 3", "3.0 points"],
        ["dropout of weights", "0 of 4", "0 of 0", "0.0 points"],
    ]
