"""The statistics of figure 2 against answers known on paper."""

import numpy as np
import pytest

from lib.findings import trajectories


@pytest.mark.parametrize(("checkpoints", "first"), [(2, 1), (3, 2), (5, 3), (41, 21)])
def test_late_is_the_second_half_of_the_epochs(checkpoints, first):
    assert trajectories.late(checkpoints) == slice(first, checkpoints)


def test_weights_align_takes_the_worst_late_checkpoint_of_the_worst_run():
    early = [[-1, 0]] * 3  # as far as can be, but early
    weights = np.array([[*early, [1, 0], [1, 1]], [*early, [2, 2], [1, 1]]], float)
    statistic = trajectories.weights_align(weights)
    assert statistic.members == 2
    assert statistic.function(np.array([0, 1])) == pytest.approx(np.sqrt(0.5))
    assert statistic.function(np.array([1])) == pytest.approx(1)


def test_functions_stay_compares_late_checkpoints_with_final_ones_of_other_runs():
    early = [[9, 9, 9, 9]] * 3
    one = [*early, [0, 0, 0, 0], [0, 0, 0, 1]]  # 1 of 4 changes
    other = [*early, [1, 1, 1, 1], [1, 1, 0, 0]]  # 2 of 4 change; 3 of 4 are not those of the first run
    statistic = trajectories.functions_stay(np.array([one, other]))
    assert (statistic.members, statistic.images) == (2, 4)
    both, everything = np.arange(2), np.arange(4)
    assert statistic.function(both, everything) == pytest.approx((3 / 8) / (3 / 4))
    assert statistic.function(both, np.array([3, 3])) == pytest.approx(1)


def test_modes_counts_checkpoints_nearest_to_their_own_run():
    def probs(*runs):
        late = np.array(runs)[..., None, None]  # (M, late, one image, 1)
        both = np.concatenate([late, 1 - late], axis=-1)
        return np.concatenate([np.full((len(runs), 3, 1, 2), 0.5), both], axis=1)

    apart = trajectories.modes(probs([0.9, 0.8], [0.1, 0.2]))
    mixed = trajectories.modes(probs([0.9, 0.1], [0.85, 0.05]))
    assert apart.function(np.arange(2)) == 1
    assert mixed.function(np.arange(2)) == 0
