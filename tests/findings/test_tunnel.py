"""Paths between solutions, worked out by hand: accuracy lost on the way, and how the function changes."""

import numpy as np
import pytest

from lib.findings.tunnel import along_paths, connector, functions_change, linear_barrier

TARGETS = np.zeros(10, int)


def wrong(*counts):
    """Labels `(points, 10)`, wrong on as many of the first images as `counts` has for the point."""
    return (np.arange(10) < np.array(counts)[:, None]).astype(int)


def test_lost_on_the_way_is_of_the_pair_that_speaks_most_against_the_claim():
    labels = np.stack([wrong(1, 6, 3), wrong(0, 2, 1)])  # two pairs: 4 and 1.5 of ten images are lost
    barrier, path = linear_barrier(labels, TARGETS), connector(labels, TARGETS)
    assert barrier.images == path.images == 10
    assert barrier.value == pytest.approx(15)
    assert path.value == pytest.approx(40)
    assert path.low < 15 < 40 < path.high


def test_lost_on_the_way_is_nothing_where_the_ends_are_lowest():
    assert connector(wrong(4, 2, 4)[None], TARGETS).value == 0


def test_functions_change_is_the_middle_beside_its_nearer_end():
    first, second = wrong(4, 1, 0), wrong(8, 9, 0)  # the middle differs on 3 and 1, and on 1 and 9 images
    assert functions_change(first[None]).value == pytest.approx(1 / 4)
    assert functions_change(np.stack([first, second])).value == pytest.approx(1 / 8)


def test_along_paths_has_a_row_a_pair():
    losses = np.array([[[1, 5, 2], [1, 3, 2]], [[4, 9, 3], [4, 2, 3]]])
    accuracies = losses / 10
    table = along_paths([(0, 1), (2, 3)], losses, accuracies)
    assert table.to_numpy().tolist() == [
        ["1 and 2", "2", "5", "3", "0.15", "0.1", "0.1"],
        ["3 and 4", "4", "9", "4", "0.35", "0.3", "0.2"],
    ]
