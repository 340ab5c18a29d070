"""The statistics of figure 2 against answers worked out by hand, for two or three runs and so without intervals."""

import math

import numpy as np
import pytest

from lib.findings import trajectories


@pytest.mark.parametrize(("checkpoints", "first"), [(2, 1), (3, 2), (5, 3), (41, 21)])
def test_late_is_the_second_half_of_the_epochs(checkpoints, first):
    assert trajectories.late(checkpoints) == slice(first, checkpoints)


def test_weights_align_takes_the_worst_late_checkpoint_of_the_worst_run_or_of_each():
    early = [[-1, 0]] * 3  # as different as possible, but early
    weights = np.array([[*early, [1, 0], [1, 1]], [*early, [2, 2], [1, 1]]], float)
    assert trajectories.weights_align(weights).value == pytest.approx(np.sqrt(0.5))
    assert trajectories.weights_align_mean(weights).value == pytest.approx((np.sqrt(0.5) + 1) / 2)


def test_functions_stay_compares_late_checkpoints_with_final_ones_of_other_runs():
    early = [[9, 9, 9, 9]] * 3
    one = [*early, [0, 0, 0, 0], [0, 0, 0, 1]]  # 1 of 4 changes
    other = [*early, [1, 1, 1, 1], [1, 1, 0, 0]]  # 2 of 4 change; 3 of 4 differ from the first run
    found = trajectories.functions_stay(np.array([one, other]))
    assert (found.members, found.images) == (2, 4)
    assert found.value == pytest.approx((3 / 8) / (3 / 4))


def probs(*runs):
    """Predictions for one image and two classes: identical early checkpoints, then the late ones of each run."""
    late = np.array(runs)[..., None, None]  # (M, late, one image, 1)
    both = np.concatenate([late, 1 - late], axis=-1)
    return np.concatenate([np.full((len(runs), 3, 1, 2), 0.5), both], axis=1)


def test_modes_are_apart_where_late_checkpoints_are_nearest_to_their_own_run():
    apart, mixed = probs([0.9, 0.8], [0.1, 0.2]), probs([0.9, 0.1], [0.85, 0.05])
    assert trajectories.modes(apart).value == 1
    assert trajectories.modes(mixed).value == 0
    assert trajectories.modes_apart(apart).value == pytest.approx((math.log(7) + math.log(6)) / 2)
    nearest = np.array([0.05, 0.05, 0.05, 0.05]) / [0.8, 0.8, 0.8, 0.8]
    assert trajectories.modes_apart(mixed).value == pytest.approx(np.log(nearest).mean())


@pytest.mark.parametrize("checkpoints", [2, 3])
def test_one_late_epoch_has_no_value(checkpoints):
    rng = np.random.default_rng(0)
    made = [
        trajectories.weights_align(rng.normal(size=(5, checkpoints, 3))),
        trajectories.weights_align_mean(rng.normal(size=(5, checkpoints, 3))),
        trajectories.functions_stay(rng.integers(3, size=(5, checkpoints, 20))),
        trajectories.modes(rng.random((5, checkpoints, 4, 3))),
        trajectories.modes_apart(rng.random((5, checkpoints, 4, 3))),
    ]
    assert all(math.isnan(one.value) for one in made)
