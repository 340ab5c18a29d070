"""The statistics of figure 8 against answers worked out by hand, for two or three runs and so without intervals."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.findings import ensemble
from lib.metrics.intervals import UNDEFINED

#: Each of three runs is sure of one image and wrong about another; the mean of any two is right about all.
RIGHT = np.array([[0.8, 0.4, 0.6], [0.6, 0.8, 0.4], [0.4, 0.6, 0.8]], np.float32)
PROBS = np.stack([RIGHT, 1 - RIGHT], axis=-1)  # (M, n, K)
TARGETS = np.zeros(3, int)
SINGLE = (0.08 + 0.32 + 0.72) / 3
#: Pairs of runs give the right class 0.7, 0.6 and 0.5, and it wins ties.
PAIR = 2 * (0.3**2 + 0.4**2 + 0.5**2) / 3


def constant(right):
    """Three runs that give the right class of each image the probability `right`."""
    return np.broadcast_to(np.array([right, 1 - right], np.float32), (3, 3, 2))


def test_gains_are_of_ensembles_of_one_run_fewer():
    found = ensemble.accuracy(PROBS, TARGETS)
    assert (found.members, found.images) == (3, 3)
    assert found.value == pytest.approx(1 - 2 / 3)
    assert ensemble.brier_gain(PROBS, TARGETS).value == pytest.approx((SINGLE - PAIR) / SINGLE)


def test_brier_is_a_count_of_all_runs():
    found = ensemble.brier(PROBS, TARGETS)
    assert found.value == found.low == pytest.approx(2 * 0.4**2 - SINGLE)


def test_calibration_is_the_error_of_the_ensemble_less_that_of_one():
    # Two runs are sure of class 0, which is right on three of four images; one run is undecided.
    probs = np.array([[1.0, 1, 1, 1], [0.5, 0.5, 0.5, 0.5], [1, 1, 1, 1]])
    probs, targets = np.stack([probs, 1 - probs], axis=-1), np.array([0, 0, 0, 1])
    # Confidences of 1, 1/2 and 1 against 3/4 right: each run errs by 1/4. Pairs have 3/4, 3/4 and 1: 0, 0 and 1/4.
    assert ensemble.calibration(probs, targets).value == pytest.approx(1 / 12 - 1 / 4)


def test_a_subspace_gains_less_than_the_ensemble():
    within = np.stack([constant(0.8)[0], constant(0.4)[0], constant(0.4)[0]])  # all right, all wrong, all wrong
    assert ensemble.less(PROBS, within, TARGETS).value == pytest.approx(1 / 3 - 1)


def test_complements_is_the_brier_score_of_the_two_ensembles():
    found = ensemble.complements(PROBS, constant(0.9), TARGETS)
    assert (found.members, found.images) == (3, 3)
    assert found.value == pytest.approx(0.02 - PAIR)


def test_random_best_is_beside_the_best_other_subspace():
    within = {"random": constant(0.9), "dropout": constant(0.6), "diagonal-gaussian": constant(0.5)}
    beside = {"weight-average": constant(1), "random-pca": constant(1)}
    assert ensemble.random_best(within | beside, TARGETS).value == pytest.approx(0.02 - 0.32)


@pytest.mark.parametrize("within", [{}, {"dropout": constant(0.6)}, {"random": constant(0.6)}])
def test_methods_without_samples_have_no_value(within):
    assert ensemble.random_best(within, TARGETS) is UNDEFINED
    assert ensemble.less(PROBS, None, TARGETS) is ensemble.complements(PROBS, None, TARGETS) is UNDEFINED
    assert math.isnan(UNDEFINED.value)


def test_table_of_one_run_and_of_all():
    scores = pd.DataFrame({"size": [1, 1, 2]} | {name: [0.2, 0.4, 0.5] for name in ensemble.METRICS})
    table = ensemble.one_and_all({"a": scores, "b": scores}, {"a": "first", "b": "second"})
    assert table["method"].tolist() == ["first", "second"] * 2
    assert table["runs"].tolist() == [1, 1, 2, 2]
    assert table["accuracy"].tolist() == ["0.3000", "0.3000", "0.5000", "0.5000"]
