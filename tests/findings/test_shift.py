"""The statistics of figure 9 against answers worked out by hand."""

import math

import numpy as np
import pytest

from lib.findings import shift

#: Three runs on three images: all right; each sure of one image and wrong about another, with any two right about all;
#: one run certain of the other class.
AGREED = np.array([[[1, 0]] * 3] * 3, np.float32)
RIGHT = np.array([[0.8, 0.4, 0.6], [0.6, 0.8, 0.4], [0.4, 0.6, 0.8]], np.float32)
MIXED = np.stack([RIGHT, 1 - RIGHT], axis=-1)
OPPOSED = np.array([[[1, 0]] * 3, [[1, 0]] * 3, [[0, 1]] * 3], np.float32)
TARGETS = np.zeros(3, int)
#: The test images behind these three, each under one corruption.
PICTURES = np.arange(3)
LOG2 = math.log(2)


def test_images_count_as_often_as_drawn_wherever_they_stand():
    np.testing.assert_allclose(shift.weights(np.array([0, 1, 0]), np.array([0, 0, 1])), [0.4, 0.2, 0.4])


def test_ensemble_stays_ahead_where_it_is_least_so_clean_images_left_out():
    found = shift.stays_ahead(np.stack([AGREED, MIXED, MIXED]), TARGETS, PICTURES)
    assert (found.members, found.images) == (3, 3)
    assert found.value == pytest.approx(1 / 3)
    assert shift.stays_ahead(np.stack([MIXED, MIXED, AGREED]), TARGETS, PICTURES).value == 0


def test_advantage_in_brier_score_grows_by_its_slope():
    # Brier scores of one run: 0.08, 0.32 or 0.72; of two: 0.18, 0.32 or 0.5.
    grown = (0.08 + 0.32 + 0.72) / 3 - (0.18 + 0.32 + 0.5) / 3
    assert shift.grows(np.stack([AGREED, MIXED]), TARGETS, PICTURES).value == pytest.approx(grown)


def test_diverse_is_the_smallest_margin_over_the_best_method():
    within = {"trajectory": np.full((2, 3, 3), 0.1, np.float32), "random": np.full((2, 3, 3), 0.3, np.float32)}
    apart, once = np.stack([OPPOSED, OPPOSED]), np.stack([OPPOSED, AGREED])
    assert shift.diverse(apart, within, 2, PICTURES).value == pytest.approx(2 * LOG2 / 3 - 0.3)
    assert shift.diverse(once, within, 2, PICTURES).value == pytest.approx(-0.3)


def test_diversity_grows_by_its_slope():
    probs = np.stack([AGREED, OPPOSED])
    assert shift.diversity_grows(probs, 2, PICTURES).value == pytest.approx(2 * LOG2 / 3)


def test_out_of_distribution_is_the_margin_over_the_best_method():
    within = {"trajectory": np.full((3, 3), 0.1), "random": np.array([[0.0, 0.4, 0.2]] * 3)}
    found = shift.out_of_distribution(OPPOSED, within, 2)
    assert (found.members, found.images) == (3, 3)
    assert found.value == pytest.approx(2 * LOG2 / 3 - 0.2)


def test_corruptions_of_an_image_are_drawn_with_it():
    """The same images under two corruptions give as wide an interval as under one."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1], size=(3, 5, 40))
    once = shift.diversity_grows(probs, 2, np.arange(40))
    twice = shift.diversity_grows(np.concatenate([probs, probs], axis=2), 2, np.tile(np.arange(40), 2))
    assert (twice.images, twice.value, twice.low) == (40, pytest.approx(once.value), pytest.approx(once.low))


def test_scores_are_of_one_run_and_of_all_under_each_corruption():
    own = shift.scores(MIXED[:2, :2], TARGETS[:2].reshape(2, 1))  # two corruptions with one image each
    np.testing.assert_allclose(own, [[[1, 0.5], [0.2, 0.4]], [[1, 1], [0.18, 0.32]]], rtol=1e-5)


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
