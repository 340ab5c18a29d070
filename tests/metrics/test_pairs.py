"""Pairs of networks, and how different they are on paper."""

import numpy as np
import pytest

from lib import metrics
from lib.metrics.pairs import Pairs, mean_of

TARGETS = np.array([0, 1, 2, 3])
# Right on 4, 3, 2 and 3 of the four images.
LABELS = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 3, 0], [1, 1, 2, 3]])
ALL = np.arange(4)


def test_disagreements_are_those_of_metrics():
    compared = Pairs(LABELS, TARGETS)
    for images in (ALL, np.array([3, 3, 0])):
        np.testing.assert_allclose(compared.disagreements(images), metrics.disagreement(LABELS[:, images]))


def test_diversities_are_the_mean_of_both_directions():
    compared = Pairs(LABELS, TARGETS).diversities(ALL)
    assert compared[1, 2] == pytest.approx(0.25 * (1 / 0.25 + 1 / 0.5) / 2)
    assert compared[1, 3] == pytest.approx(0.5 / 0.25)
    assert compared[1, 1] == 0
    assert np.isnan(compared[0]).all()  # without errors
    both = [metrics.normalized_diversity(LABELS[a], LABELS[b], TARGETS) for a, b in ((2, 3), (3, 2))]
    assert compared[2, 3] == pytest.approx(np.mean(both))


def test_pairs_of_the_wrong_shape_raise():
    with pytest.raises(ValueError, match=r"^labels: expected shape \(N, n\), received \(4,\)$"):
        Pairs(LABELS[0], TARGETS)
    with pytest.raises(ValueError, match=r"^targets: expected shape \(n = 4\), received \(3,\)$"):
        Pairs(LABELS, TARGETS[:3])


def test_mean_of_pairs_and_of_none():
    assert mean_of(np.arange(4).reshape(2, 2), (np.array([0, 1]), np.array([1, 1]))) == 2
    nothing = np.array([], int)
    assert np.isnan(mean_of(np.eye(2), (nothing, nothing)))
