"""Ensembles and their scores: answers worked out by hand."""

from math import comb

import numpy as np
import pandas as pd
import pytest

from lib import metrics
from lib.metrics.ensembles import METRICS, scores_by_example, scores_by_size, subsets


def probabilities(*shape):
    raw = np.random.default_rng(shape).random(shape)
    return (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)


def test_subsets_are_all_where_there_are_few():
    np.testing.assert_array_equal(subsets(4, 2, limit=6), [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    np.testing.assert_array_equal(subsets(3, 1, limit=3, seed=5), [[0], [1], [2]])
    np.testing.assert_array_equal(subsets(3, 3, limit=1), [[0, 1, 2]])


@pytest.mark.parametrize(("members", "size", "limit"), [(4, 2, 5), (10, 5, 30), (10, 1, 9), (12, 11, 11)])
def test_subsets_are_drawn_where_there_are_many(members, size, limit):
    drawn = subsets(members, size, limit)
    assert drawn.shape == (limit, size)
    assert len({tuple(row) for row in drawn}) == limit < comb(members, size)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < members
    np.testing.assert_array_equal(drawn, subsets(members, size, limit))


def test_scores_by_size_by_hand():
    # One network is right on both images, one on the first only; their mean is undecided on the second, and 0 wins.
    probs = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]], np.float32)
    table = scores_by_size(probs, np.array([0, 1]), limit=10)
    assert list(table.columns) == ["size", *METRICS]
    assert list(table["size"]) == [1, 1, 2]
    np.testing.assert_allclose(table["accuracy"], [1, 0.5, 0.5])
    np.testing.assert_allclose(table["Brier score"], [0, 1, 0.25])
    np.testing.assert_allclose(table["negative log-likelihood"].iloc[[0, 2]], [0, np.log(2) / 2])
    np.testing.assert_allclose(table["calibration error"], [0, 0.5, 0.25])


def test_scores_by_size_average_probabilities_of_the_subsets():
    probs, labels = probabilities(5, 20, 3), np.arange(20) % 3
    table = scores_by_size(probs, labels, limit=4, seed=2)
    assert dict(table["size"].value_counts()) == {1: 4, 2: 4, 3: 4, 4: 4, 5: 1}
    for size in range(1, 6):
        ensembles = np.stack([probs[members].mean(axis=0) for members in subsets(5, size, 4, seed=2)])
        rows = table[table["size"] == size]
        for name, score in METRICS.items():
            np.testing.assert_allclose(rows[name], score(ensembles, labels))
    pd.testing.assert_frame_equal(table, scores_by_size(probs, labels, limit=4, seed=2))
    assert not table.equals(scores_by_size(probs, labels, limit=4, seed=3))


def test_scores_by_example_by_hand():
    probs = np.array([[0.7, 0.2, 0.1], [0.4, 0.6, 0.0]])
    np.testing.assert_allclose(scores_by_example(probs, np.array([0, 0])), [[1, 0], [0.14, 0.72]], rtol=1e-6)


def test_scores_by_example_have_the_metrics_as_means():
    probs, labels = probabilities(4, 50, 3), np.arange(50) % 3
    found = scores_by_example(probs, labels)
    assert found.shape == (2, 4, 50)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0].mean(axis=-1), metrics.accuracy(probs, labels), rtol=1e-6)
    np.testing.assert_allclose(found[1].mean(axis=-1), metrics.brier_score(probs, labels), rtol=1e-5)
    np.testing.assert_array_equal(scores_by_example(probs[2], labels), found[:, 2])
