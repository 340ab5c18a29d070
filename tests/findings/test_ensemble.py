"""The statistics of figure 8 against answers known on paper."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.findings import ensemble

#: Each of two runs is sure of one image and wrong about the other; their mean is right about both.
PROBS = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.4, 0.6], [0.8, 0.2]]], np.float32)
TARGETS = np.array([0, 0])
BOTH = np.arange(2)


def constant(right):
    """Two runs that give the right class of each image so much."""
    return np.broadcast_to(np.array([right, 1 - right], np.float32), (2, 2, 2))


def test_gains_of_the_ensemble_over_its_members():
    assert ensemble.accuracy(PROBS, TARGETS).function(BOTH, BOTH) == pytest.approx(1 - 0.5)
    assert ensemble.brier(PROBS, TARGETS).function(BOTH, BOTH) == pytest.approx(0.32 - (0.08 + 0.72) / 2)
    # The first image alone, on which the first run gains nothing.
    assert ensemble.accuracy(PROBS, TARGETS).function(BOTH, np.array([0])) == pytest.approx(1 - 0.5)


def test_a_member_drawn_twice_is_no_ensemble():
    assert math.isnan(ensemble.accuracy(PROBS, TARGETS).function(np.array([1, 1]), BOTH))


def test_a_subspace_gains_less_than_the_ensemble():
    within = np.array([[[0.8, 0.2], [0.8, 0.2]], [[0.4, 0.6], [0.4, 0.6]]], np.float32)  # all right, all wrong
    statistic = ensemble.less(PROBS, within, TARGETS)
    assert (statistic.members, statistic.images) == (2, 2)
    assert statistic.function(BOTH, BOTH) == pytest.approx(0.5 - 1)


def test_complements_is_the_brier_score_of_the_two_ensembles():
    statistic = ensemble.complements(PROBS, constant(0.9), TARGETS)
    assert (statistic.members, statistic.images) == (None, 2)
    assert statistic.function(images=BOTH) == pytest.approx(0.02 - 0.32)


def test_random_best_is_beside_the_best_other_subspace():
    within = {"random": constant(0.9), "dropout": constant(0.6), "diagonal-gaussian": constant(0.5)}
    statistic = ensemble.random_best(PROBS, within | {"weight-average": constant(1)}, TARGETS)
    assert statistic.function(BOTH, BOTH) == pytest.approx(0.02 - 0.32)


@pytest.mark.parametrize("within", [{}, {"dropout": constant(0.6)}, {"random": constant(0.6)}])
def test_methods_without_samples_have_no_value(within):
    undefined = [
        ensemble.random_best(PROBS, within, TARGETS).function(BOTH, BOTH),
        ensemble.less(PROBS, None, TARGETS).function(BOTH, BOTH),
        ensemble.complements(PROBS, None, TARGETS).function(images=BOTH),
    ]
    assert all(map(math.isnan, undefined))


def test_table_of_one_run_and_of_all():
    scores = pd.DataFrame({"size": [1, 1, 2]} | {name: [0.2, 0.4, 0.5] for name in ensemble.METRICS})
    table = ensemble.one_and_all({"a": scores, "b": scores}, {"a": "first", "b": "second"})
    assert table["method"].tolist() == ["first", "second"] * 2
    assert table["runs"].tolist() == [1, 1, 2, 2]
    assert table["accuracy"].tolist() == ["0.3000", "0.3000", "0.5000", "0.5000"]
