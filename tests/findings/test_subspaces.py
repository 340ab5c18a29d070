"""Whether samples stay in their mode: distances and shares that are known on paper."""

import numpy as np
import pytest

from lib.findings.subspaces import (
    as_accurate,
    closer,
    relative_disagreement,
    samples_table,
    squared_distances,
    stayed,
    staying_table,
    stays,
)
from lib.metrics import euclidean_distances

BOTH = np.arange(2)

# Squared distances of two samples of each of two runs from both solutions, on two images.
DISTANCES = np.array(
    [
        [[[0, 0], [2, 2]], [[2, 0], [0, 1]]],
        [[[1, 1], [0, 0]], [[0, 2], [2, 0]]],
    ],
    np.float32,
)
EVERY = np.ones((2, 2), bool)

# Labels of one sample of each of three runs, on four images; the solutions differ on 2, 4 and 3 of them.
SOLUTIONS = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [2, 1, 1, 1]])
LABELS = np.array([[[9, 0, 0, 0]], [[1, 9, 9, 0]], [[2, 1, 1, 1]]])
ALONE = np.ones((3, 1), bool)


def share_staying(distances, near, members, images):
    return stays(distances, near).function(np.array(members), np.array(images))


def ratio(labels, solutions, near, members, images):
    return closer(labels, solutions, near).function(np.array(members), np.array(images))


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


# Nearest to their own


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([0, 1], 0.5),  # each run's second sample is nearer to the other, or as near to the first
        ([0], 0.5),
        ([1], 1),
        ([1, 1], 1),
        ([0, 1, 1], 1),  # the first run's second sample ties, and the first run is its own
        ([0, 0, 1], 0.5),
    ],
)
def test_stays_by_hand(images, expected):
    assert share_staying(DISTANCES, EVERY, BOTH, images) == expected
    assert stayed(DISTANCES, np.array(images)).mean() == expected


def test_stays_takes_samples_that_count_of_runs_that_were_drawn():
    near = np.array([[True, False], [True, True]])
    for members, expected in (([0, 1], 2 / 3), ([0, 0, 1], 3 / 4), ([1, 1], 1 / 2), ([0], 1)):
        assert share_staying(DISTANCES, near, members, BOTH) == pytest.approx(expected)


def test_stays_has_all_solutions_to_leave_for():
    # Its second sample leaves for a run that was not drawn.
    assert share_staying(DISTANCES, EVERY, [0, 0], BOTH) == 0.5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_stays_without_samples_is_undefined():
    assert np.isnan(share_staying(DISTANCES, ~EVERY, BOTH, BOTH))
    assert np.isnan(share_staying(DISTANCES, np.array([[True, True], [False, False]]), [1, 1], BOTH))


def test_stays_on_a_resample_is_that_on_repeated_images():
    rng = np.random.default_rng(0)
    distances, near = rng.random((3, 20, 3, 30)).astype(np.float32), rng.random((3, 20)) < 0.7
    members, images = [2, 0, 2], rng.integers(30, size=30)
    share = share_staying(distances, near, members, images)
    assert share == share_staying(distances[..., images], near, members, np.arange(30))
    assert share != share_staying(distances, near, members, np.arange(30))
    statistic = stays(distances, near)
    assert (statistic.members, statistic.images) == (3, 30)


# Beside the distance between runs


def test_relative_disagreement_by_hand():
    # 1/4, 1/2 and 0 beside the mean of 1/2, 1 and 3/4.
    np.testing.assert_allclose(relative_disagreement(LABELS, SOLUTIONS), [[1 / 3], [2 / 3], [0]])
    assert ratio(LABELS, SOLUTIONS, ALONE, range(3), range(4)) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("members", "expected"), [([0, 0, 1], 2 / 3), ([1, 2], 1 / 3), ([2, 0], 1 / 8)])
def test_closer_leaves_out_pairs_of_one_run(members, expected):
    assert ratio(LABELS, SOLUTIONS, ALONE, members, range(4)) == pytest.approx(expected)


def test_closer_of_samples_that_count():
    near = np.array([[False], [True], [True]])
    assert ratio(LABELS, SOLUTIONS, near, range(3), range(4)) == pytest.approx(0.25 / 0.75)
    near[2] = False
    assert ratio(LABELS, SOLUTIONS, near, range(3), range(4)) == pytest.approx(0.5 / 0.75)


def test_closer_on_some_images():
    # On the second image one sample of three differs, and two pairs of solutions of three do.
    assert ratio(LABELS, SOLUTIONS, ALONE, range(3), [1]) == pytest.approx(1 / 2)
    # With the third counted twice: 0, 1 and 0 beside 1/3, 1 and 2/3.
    assert ratio(LABELS, SOLUTIONS, ALONE, range(3), [1, 2, 2]) == pytest.approx(1 / 2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_closer_undefined():
    cases = {
        "no sample counts": (LABELS, SOLUTIONS, ~ALONE, range(3), range(4)),
        "one run alone": (LABELS, SOLUTIONS, ALONE, [0, 0, 0], range(4)),
        "no difference": (LABELS, np.zeros_like(SOLUTIONS), ALONE, range(3), range(4)),
        "none on these images": (LABELS, SOLUTIONS, ALONE, [0, 1], [3, 3]),
    }
    assert not any(np.isfinite(ratio(*case)) for case in cases.values())


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
