"""Whether samples stay in their mode: distances and shares that are known on paper."""

import numpy as np
import pytest

from lib.findings.modes import as_accurate, relative_disagreement, share_staying, squared_distances
from lib.metrics import euclidean_distances
from lib.subspaces.samples import Samples

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

# One sample of each of three runs, on four images; the solutions differ on 2, 4 and 3 of them.
FROM_BASE = np.array([[[1, 0, 0, 0]], [[0, 1, 1, 0]], [[0, 0, 0, 0]]], np.float32)
BETWEEN = np.zeros((3, 3, 4), np.float32)
for one, other, count in ((0, 1, 2), (0, 2, 4), (1, 2, 3)):
    BETWEEN[one, other, :count] = BETWEEN[other, one, :count] = 1
ALONE = np.ones((3, 1), bool)


def samples(val_accuracies):
    nothing = np.zeros((len(val_accuracies), 0), np.float32)
    return Samples("random", np.zeros(len(nothing)), nothing, nothing, np.asarray(val_accuracies))


def probabilities(*shape):
    raw = np.random.default_rng(shape).random(shape)
    return (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)


# Which samples count


def test_as_accurate_counts_to_the_very_margin():
    np.testing.assert_array_equal(as_accurate(samples([0.88, 0.8799, 0.95, 0.5]), 0.9), [True, False, True, False])


def test_as_accurate_forgives_rounding_alone():
    right = np.arange(101)
    for base in range(2, 101):
        np.testing.assert_array_equal(as_accurate(samples(right / 100), base / 100), right >= base - 2)


# Distances


def test_squared_distances_by_hand():
    first, second, even = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
    distances = squared_distances([[first, even]], [[first, even], [second, even], [even, second]])
    np.testing.assert_array_equal(distances, [[[0, 0], [2, 0], [0.5, 0.5]]])
    assert distances.dtype == np.float32


def test_squared_distances_sum_to_those_of_whole_predictions():
    probs, solutions = probabilities(4, 6, 3), probabilities(2, 6, 3)
    whole = euclidean_distances(np.concatenate([probs, solutions]))[:4, 4:] ** 2
    np.testing.assert_allclose(squared_distances(probs, solutions).sum(axis=-1), whole, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "other"), [((2, 4, 3), (2, 5, 3)), ((2, 4, 3), (2, 4, 2)), ((4, 3), (2, 4, 3)), ((2, 4, 3), (4, 3))]
)
def test_squared_distances_of_other_shapes_are_refused(shape, other):
    with pytest.raises(ValueError, match=r"^probs and solutions: expected \(S, n, K\) and \(M, n, K\), received \("):
        squared_distances(np.zeros(shape), np.zeros(other))


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
def test_share_staying_by_hand(images, expected):
    assert share_staying(DISTANCES, EVERY, BOTH, np.array(images)) == expected


def test_share_staying_takes_samples_that_count_of_runs_that_were_drawn():
    counted = np.array([[True, False], [True, True]])
    for members, expected in (([0, 1], 2 / 3), ([0, 0, 1], 3 / 4), ([1, 1], 1 / 2), ([0], 1)):
        assert share_staying(DISTANCES, counted, np.array(members), BOTH) == pytest.approx(expected)


def test_share_staying_has_all_solutions_to_leave_for():
    # Its second sample leaves for a run that was not drawn.
    assert share_staying(DISTANCES, EVERY, np.zeros(2, int), BOTH) == 0.5


def test_share_staying_without_samples_is_undefined():
    assert np.isnan(share_staying(DISTANCES, ~EVERY, BOTH, BOTH))
    assert np.isnan(share_staying(DISTANCES, np.array([[True, True], [False, False]]), np.array([1, 1]), BOTH))


def test_share_staying_of_a_resample_is_that_of_repeated_images():
    rng = np.random.default_rng(0)
    distances, counted = rng.random((3, 20, 3, 30)).astype(np.float32), rng.random((3, 20)) < 0.7
    members, images = np.array([2, 0, 2]), rng.integers(30, size=30)
    repeated = distances[..., images]
    share = share_staying(distances, counted, members, images)
    assert share == share_staying(repeated, counted, members, np.arange(30))
    assert share != share_staying(distances, counted, members, np.arange(30))


# Beside the distance between runs


def test_relative_disagreement_by_hand():
    # 1/4, 1/2 and 0 beside 1/2, 1 and 3/4.
    assert relative_disagreement(FROM_BASE, BETWEEN, ALONE, np.arange(3), np.arange(4)) == pytest.approx(1 / 3)


@pytest.mark.parametrize(("members", "expected"), [([0, 0, 1], 2 / 3), ([1, 2], 1 / 3), ([2, 0], 1 / 8)])
def test_relative_disagreement_leaves_out_pairs_of_one_run(members, expected):
    assert relative_disagreement(FROM_BASE, BETWEEN, ALONE, np.array(members), np.arange(4)) == pytest.approx(expected)


def test_relative_disagreement_of_samples_that_count():
    counted = np.array([[False], [True], [True]])
    value = relative_disagreement(FROM_BASE, BETWEEN, counted, np.arange(3), np.arange(4))
    assert value == pytest.approx(0.25 / 0.75)
    counted[2] = False
    assert relative_disagreement(FROM_BASE, BETWEEN, counted, np.arange(3), np.arange(4)) == pytest.approx(0.5 / 0.75)


def test_relative_disagreement_of_some_images():
    # On the second image one sample of three differs, and every two solutions do.
    assert relative_disagreement(FROM_BASE, BETWEEN, ALONE, np.arange(3), np.array([1])) == pytest.approx(1 / 3)
    # With the third counted twice: 0, 1 and 0 beside 1/3, 1 and 1.
    value = relative_disagreement(FROM_BASE, BETWEEN, ALONE, np.arange(3), np.array([1, 2, 2]))
    assert value == pytest.approx(1 / 3 / ((1 / 3 + 1 + 1) / 3))


def test_relative_disagreement_of_runs_as_samples_is_one():
    # Each run's samples are the two other solutions.
    from_base = np.stack([np.delete(BETWEEN[run], run, axis=0) for run in range(3)])
    every = np.ones((3, 2), bool)
    assert relative_disagreement(from_base, BETWEEN, every, np.arange(3), np.arange(4)) == pytest.approx(1)


def test_relative_disagreement_undefined():
    images = np.arange(4)
    cases = {
        "no sample counts": (FROM_BASE, BETWEEN, ~ALONE, np.arange(3), images),
        "one run alone": (FROM_BASE, BETWEEN, ALONE, np.zeros(3, int), images),
        "no difference": (FROM_BASE, np.zeros_like(BETWEEN), ALONE, np.arange(3), images),
        "none on these images": (FROM_BASE, BETWEEN, ALONE, np.array([0, 1]), np.array([3, 3])),
    }
    assert all(np.isnan(relative_disagreement(*case)) for case in cases.values())


def test_relative_disagreement_of_a_resample_is_that_of_repeated_images():
    rng = np.random.default_rng(0)
    from_base, between = ((rng.random(shape) < 0.4).astype(np.float32) for shape in ((4, 5, 30), (4, 4, 30)))
    counted, members, images = rng.random((4, 5)) < 0.7, np.array([3, 0, 0, 1]), rng.integers(30, size=30)
    repeated = from_base[..., images], between[..., images]
    value = relative_disagreement(from_base, between, counted, members, images)
    assert value == pytest.approx(relative_disagreement(*repeated, counted, members, np.arange(30)))
    assert value != pytest.approx(relative_disagreement(from_base, between, counted, members, np.arange(30)))
