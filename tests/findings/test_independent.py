"""The statistics of figure 3 against answers known on paper."""

import numpy as np
import pytest

from lib.findings import independent

WEIGHTS = np.array([[1, 0, 0], [0, 1, 0], [1, -1, 0]], float)
#: Of every four labels one, two and one differ.
LABELS = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
TARGETS = np.zeros(4, int)
ALL = np.arange(3)


def test_orthogonal_is_the_largest_cosine_without_its_sign():
    statistic = independent.orthogonal(WEIGHTS)
    assert statistic.members == 3
    assert statistic.function(ALL) == pytest.approx(np.sqrt(0.5))
    assert statistic.function(np.array([0, 1])) == 0
    assert statistic.function(np.array([1, 1])) == -np.inf  # no pair


def test_orthogonal_kernels_leave_batch_norm_out():
    shared = np.concatenate([WEIGHTS[:2], np.full((2, 1), 10.0)], axis=1)
    batch_norm = np.array([False, False, False, True])
    assert independent.orthogonal(shared).function(np.arange(2)) > 0.9
    assert independent.orthogonal_kernels(shared, batch_norm).function(np.arange(2)) == 0


def test_equidistant_is_the_spread_of_distances_over_their_mean():
    distances = np.array([1, 2, 1]) / 4
    expected = distances.std(ddof=1) / distances.mean()
    assert independent.equidistant(LABELS).function(ALL) == pytest.approx(expected)


def test_disagree_is_disagreement_over_error():
    statistic = independent.disagree(LABELS, TARGETS)
    assert (statistic.members, statistic.images) == (3, 4)
    assert statistic.function(ALL, np.arange(4)) == pytest.approx((1 / 3) / (1 / 4))
    assert statistic.function(np.array([1, 2]), np.array([1, 1])) == pytest.approx(1 / 0.5)


def test_tables_are_by_network():
    table = independent.accuracies({"a": np.zeros((3, 7))}, {"a": LABELS}, TARGETS)
    assert table.to_dict("records") == [
        {"network": "a", "parameters": 7, "mean test accuracy": "0.750", "lowest to highest": "0.500 to 1.000"}
    ]
    values = independent.disagreement_per_error({"a": LABELS}, TARGETS)
    np.testing.assert_allclose(values["a"], [1, 2, 1])
