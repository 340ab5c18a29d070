"""Surveys of places of weight space: what is kept, and the statistics of the plane, by hand."""

import numpy as np
import pytest
from helpers import subset

from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.landscape import maps as surveys
from lib.landscape.maps import (
    ACCURATE,
    Survey,
    fan,
    mean_over,
    nearer_optimum,
    own_mode_share,
    predict_anywhere,
    stitched,
    survey,
)
from lib.landscape.paths import Plane, polar_grid
from lib.metrics import accuracy, negative_log_likelihood, top_labels
from lib.models.networks import build_model
from lib.models.weights import flatten, fresh_statistics, predict

DATASET = subset(40)


def model(architecture="small_cnn"):
    network = build_model(architecture, DATASET.image_shape, DATASET.num_classes)
    return network.set_pixel_statistics(np.full((1, 1, 1), 8.0), np.full((1, 1, 1), 4.0))


def networks(architecture="small_cnn", count=5):
    start = flatten(model(architecture))
    return start + np.random.default_rng(0).normal(scale=0.1, size=(count, start.size)).astype(np.float32)


# Surveys


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_survey_is_what_predict_says_with_fresh_statistics(architecture):
    network, weights = model(architecture), networks(architecture)
    splits = [DATASET.test, DATASET.val]
    outcomes = survey(network, [weights[:2], weights[2:]], DATASET, splits)
    statistics = fresh_statistics(network, weights, DATASET.train.images)
    for outcome, split in zip(outcomes, splits, strict=True):
        probs = predict(network, weights, split.images, statistics)
        np.testing.assert_array_equal(outcome.labels, top_labels(probs))
        np.testing.assert_array_equal(outcome.accuracies, accuracy(probs, split.labels))
        np.testing.assert_allclose(outcome.losses, negative_log_likelihood(probs, split.labels), rtol=1e-6)
        np.testing.assert_array_equal(predict_anywhere(network, weights, DATASET, split.images), probs)
    assert outcomes[0].labels.shape == (5, 40)
    assert not np.array_equal(outcomes[0].labels, outcomes[1].labels)


def test_survey_evaluates_a_block_before_the_next_is_made(monkeypatch):
    evaluated = []
    monkeypatch.setattr(surveys, "predict", lambda *given: evaluated.append(len(given[1])) or predict(*given))

    def blocks():
        yield networks(count=2)
        assert evaluated == [2]
        yield networks(count=3)
        assert evaluated == [2, 3]

    (outcome,) = survey(model(), blocks(), DATASET, [DATASET.test])
    assert len(outcome.labels) == len(outcome.losses) == 5


def test_survey_agreements_by_hand():
    labels = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [3, 2, 1, 0]])
    outcome = Survey(labels, labels == 0, np.zeros(3))
    np.testing.assert_array_equal(outcome.agreements(labels[0]), [1, 0.75, 0])
    np.testing.assert_array_equal(outcome.agreements(labels[2]), [0, 0.25, 1])
    np.testing.assert_array_equal(outcome.agreements(np.array([0, 0, 0, 0])), [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(outcome.accuracies, [0.25, 0.5, 0.25])


def test_survey_of_the_plane_has_the_optima_where_they_are():
    weights = networks(count=2)
    radii, angles = fan(3, 2)
    (outcome,) = survey(model(), map(Plane(*weights).points, polar_grid(radii, angles)), DATASET, [DATASET.test])
    (optima,) = survey(model(), [weights], DATASET, [DATASET.test])
    places = outcome.labels.reshape(3, 4, -1)
    np.testing.assert_array_equal(places[1, [1, 2]], optima.labels)
    assert (places[0] == places[0, :1]).all()  # the origin, in every direction


# The plane of two optima


def test_fan_meets_both_rays_and_goes_one_step_beyond():
    radii, angles = fan(5, 10)
    np.testing.assert_allclose(radii, [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(np.degrees(angles), np.arange(-10, 101, 10), atol=1e-12)


@pytest.mark.parametrize("name", ["num_radii", "num_angles"])
def test_fan_of_one_is_refused(name):
    for count in (1, None):
        with pytest.raises(ConfigError, match=rf"^{name} must be at least 2, got {count}$"):
            fan(**{"num_radii": 3, "num_angles": 3} | {name: count})


def test_stitched_has_the_ends_and_middles_of_segments():
    positions, radii = stitched(2, 4)
    np.testing.assert_allclose(positions, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(radii, [0, 0.5, 1, 1.5])
    with pytest.raises(ConfigError, match=r"^num_segments must be at least 1, got 0$"):
        stitched(0, 4)
    with pytest.raises(ConfigError, match=r"^num_fan_radii must be at least 2, got 1$"):
        stitched(2, 1)


def test_nearer_optimum_of_every_place():
    expected = [[-1, -1, -1, -1, -1], [0, -1, -1, -1, 1], [0, 0, -1, 1, 1]]
    radii, angles = fan(3, 3)
    np.testing.assert_array_equal(nearer_optimum(radii, angles), expected)
    # Without the ray halfway and without radius 1, only the origin says nothing.
    np.testing.assert_array_equal(nearer_optimum(*fan(4, 4))[1:], [[0, 0, 0, 1, 1, 1]] * 3)


def test_mean_over_images_drawn_with_repetitions():
    values = np.random.default_rng(0).random((2, 3, 50)) < 0.3
    for images in (np.arange(50), np.random.default_rng(1).integers(50, size=50), np.array([7, 7, 49])):
        expected = values[..., images].mean(axis=-1)
        np.testing.assert_allclose(mean_over(values, images), expected, rtol=1e-6)
        np.testing.assert_allclose(mean_over(values.astype(np.float32), images), expected, rtol=1e-6)


def share(correct, agreements, nearer, images=None):
    """`own_mode_share` of places that are right about the first so many of 100 images, and agree likewise."""
    first = np.arange(100)
    optima = np.stack([first < 90, first < 80])
    correct, agreements = first < np.array(correct)[:, None], first < np.array(agreements)[..., None]
    return own_mode_share(correct, agreements, optima, nearer, np.arange(100) if images is None else images)


def test_own_mode_share_by_hand():
    # Two places on the first side, two on the second, all as accurate as their optimum; one resembles the other side.
    agreements = [[95, 80, 60, 60], [70, 85, 90, 90]]
    assert share([90, 90, 80, 80], agreements, [0, 0, 1, 1]) == 0.75
    assert share([90, 90, 80, 80], agreements, [1, 1, 0, 0]) == 1 / 2  # the second pair is too poor for the first side


def test_own_mode_share_counts_to_the_very_margin():
    assert ACCURATE == 0.05
    agreements = [[90, 10], [10, 90]]
    assert share([85, 85], agreements, [0, 0]) == 0.5
    assert share([85, 84], agreements, [0, 0]) == 1
    assert share([84, 85], agreements, [0, 0]) == 0


def test_own_mode_share_that_ties_is_not_more_alike():
    assert share([90], [[50], [50]], [0]) == 0
    assert share([90], [[51], [50]], [0]) == 1


def test_own_mode_share_without_accurate_places_is_undefined():
    assert np.isnan(share([10, 20], [[90, 90], [10, 10]], [0, 1]))


def test_own_mode_share_of_some_images():
    # About the first 70 images alone both places are always right, and the second agrees with both optima.
    agreements = [[90, 70], [10, 80]]
    assert share([90, 90], agreements, [0, 0]) == 0.5
    assert share([90, 90], agreements, [0, 1], np.arange(70)) == 0.5
    assert share([90, 90], agreements, [0, 1], np.array([75, 75, 75])) == 1


def test_survey_takes_statistics_from_training_images():
    # Statistics of other images would give other predictions.
    network, weights = model("resnet8_v1"), networks("resnet8_v1", 1)
    other = load_dataset("digits")
    (here,), (there,) = (survey(network, [weights], data, [DATASET.test]) for data in (DATASET, other))
    assert here.losses[0] != there.losses[0]
