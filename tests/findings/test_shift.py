"""The statistics of figure 9 against answers known on paper."""

import math

import numpy as np
import pytest

from lib.findings import shift

#: Two runs on two images: both right; each wrong about one, the mean right; one certain of each class.
AGREED = np.array([[[1, 0], [1, 0]]] * 2, np.float32)
MIXED = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.4, 0.6], [0.8, 0.2]]], np.float32)
OPPOSED = np.array([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], np.float32)
TARGETS, BOTH = np.array([0, 0]), np.arange(2)
#: Two images of the test data, each under one corruption.
PICTURES = np.arange(2)
LOG2 = math.log(2)


def test_images_count_as_often_as_drawn_wherever_they_stand():
    np.testing.assert_allclose(shift.weights(np.array([0, 1, 0]), np.array([0, 0, 1])), [0.4, 0.2, 0.4])


def test_ensemble_stays_ahead_where_it_is_least_so_clean_images_left_out():
    statistic = shift.stays_ahead(np.stack([AGREED, MIXED, MIXED]), TARGETS, PICTURES)
    assert (statistic.members, statistic.images) == (2, 2)
    assert statistic.function(BOTH, BOTH) == pytest.approx(0.5)
    assert shift.stays_ahead(np.stack([MIXED, MIXED, AGREED]), TARGETS, PICTURES).function(BOTH, BOTH) == 0
    assert math.isnan(statistic.function(np.array([0, 0]), BOTH))


def test_advantage_in_brier_score_grows_by_its_slope():
    statistic = shift.grows(np.stack([AGREED, MIXED]), TARGETS, PICTURES)
    assert statistic.function(BOTH, BOTH) == pytest.approx(0.4 - 0.32)


def test_diverse_is_the_smallest_margin_over_the_best_method():
    within = {"trajectory": np.full((2, 2, 2), 0.1, np.float32), "random": np.full((2, 2, 2), 0.3, np.float32)}
    apart, once = np.stack([OPPOSED, OPPOSED]), np.stack([OPPOSED, AGREED])
    assert shift.diverse(apart, within, 2, PICTURES).function(BOTH, BOTH) == pytest.approx(LOG2 - 0.3)
    assert shift.diverse(once, within, 2, PICTURES).function(BOTH, BOTH) == pytest.approx(-0.3)


def test_diverse_compares_as_many_runs_as_there_are_samples():
    three = np.concatenate([AGREED, OPPOSED[1:]])[None]  # the third one differs
    statistic = shift.diverse(three, {"random": np.zeros((1, 3, 2))}, 2, PICTURES)
    assert statistic.function(np.arange(3), BOTH) == pytest.approx(0)
    assert statistic.function(np.array([0, 2, 1]), BOTH) == pytest.approx(LOG2)


def test_diversity_grows_by_its_slope():
    probs = np.stack([AGREED, OPPOSED])
    assert shift.diversity_grows(probs, 2, PICTURES).function(BOTH, BOTH) == pytest.approx(LOG2)


def test_out_of_distribution_is_the_margin_over_the_best_method():
    within = {"trajectory": np.full((2, 2), 0.1), "random": np.array([[0.0, 0.4], [0.2, 0.2]])}
    statistic = shift.out_of_distribution(OPPOSED, within, 2)
    assert (statistic.members, statistic.images) == (2, 2)
    assert statistic.function(BOTH, BOTH) == pytest.approx(LOG2 - 0.2)
    assert statistic.function(BOTH, np.array([1])) == pytest.approx(LOG2 - 0.3)


def test_scores_are_of_one_run_and_of_all_under_each_corruption():
    own = shift.scores(MIXED, TARGETS.reshape(2, 1))  # two corruptions with an image each
    np.testing.assert_allclose(own, [[[0.5, 0.5], [0.4, 0.4]], [[1, 1], [0.32, 0.32]]], rtol=1e-6)


def test_gains_are_over_a_single_network_and_better_is_positive():
    values = {"single": np.ones((2, 2, 1, 1)), "random": np.full((2, 2, 1, 1), 1.5)}
    values["single"][1] = 3
    gains = shift.gains(values)
    np.testing.assert_allclose(gains["random"].squeeze(), [[0.5, -0.5], [0.5, -0.5]])
    np.testing.assert_allclose(gains["single"].squeeze(), [[0, 0], [2, -2]])


def test_table_of_scores_by_severity():
    values = np.arange(6.0)[:, None] + np.array([0, 0.5]) + np.zeros((2, 2, 1, 1))  # (2, 2, severities, corruptions)
    table = shift.shifted({"single": values}, ["one run", "all"], {"single": "plain"})
    assert table["networks"].tolist() == ["one run", "all"]
    assert table.iloc[0, 2:].tolist() == ["0.250", "3.250", "5.250"] * 2


def test_table_of_foreign_images_finds_those_that_networks_differ_on():
    certain, unsure = np.array([[[1.0, 0.0]] * 2]), np.array([[[0.5, 0.5]] * 3])  # two images, three foreign ones
    clean = {"single": (certain, np.zeros((1, 2))), "random": (certain, np.full((1, 2), 0.1))}
    foreign = {"single": (unsure, np.zeros((1, 3))), "random": (certain[:, [0, 0, 0]], np.full((1, 3), 0.2))}
    names = {"single": "one", "random": "samples"}
    rows = shift.told_apart(["single", "random"], clean, foreign, 4, names).to_numpy().tolist()
    assert rows == [["one", 1, "–", "–", "–", "1.000"], ["samples", 4, "0.100", "0.200", "1.000", "0.500"]]
