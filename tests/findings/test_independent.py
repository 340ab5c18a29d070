"""The statistics of figure 3 against answers worked out by hand, for two or three runs and so without intervals."""

import numpy as np
import pytest

from lib.findings import independent
from lib.metrics.intervals import count

WEIGHTS = np.array([[1, 0, 0], [0, 1, 0], [1, -1, 0]], float)
#: The three pairs differ in one, two and one of the four labels.
LABELS = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
TARGETS = np.zeros(4, int)


def test_orthogonal_is_the_largest_or_the_mean_cosine_without_its_sign():
    largest = independent.orthogonal(WEIGHTS)
    assert largest == count(largest.value)
    assert largest.value == pytest.approx(np.sqrt(0.5))
    assert independent.orthogonal_mean(WEIGHTS).value == pytest.approx(2 * np.sqrt(0.5) / 3)


def test_orthogonal_kernels_leave_batch_norm_out():
    shared = np.concatenate([WEIGHTS, np.full((3, 1), 10.0)], axis=1)
    batch_norm = np.array([False, False, False, True])
    for statistic, of_kernels in (
        (independent.orthogonal, independent.orthogonal_kernels),
        (independent.orthogonal_mean, independent.orthogonal_kernels_mean),
    ):
        assert statistic(shared).value > 0.9
        assert of_kernels(shared, batch_norm).value == statistic(WEIGHTS).value


def test_disagree_is_disagreement_over_error():
    found = independent.disagree(LABELS, TARGETS)
    assert (found.members, found.images) == (3, 4)
    assert found.value == pytest.approx((1 / 3) / (1 / 4))


def test_tables_are_by_network():
    table = independent.accuracies({"a": np.zeros((3, 7))}, {"a": LABELS}, TARGETS)
    assert table.to_dict("records") == [
        {"network": "a", "parameters": 7, "mean test accuracy": "0.750", "lowest to highest": "0.500 to 1.000"}
    ]
    values = independent.disagreement_per_error({"a": LABELS}, TARGETS)
    np.testing.assert_allclose(values["a"], [1, 2, 1])
