"""Surveys of places in weight space: what they record."""

import numpy as np
import pytest
from helpers import subset

from lib.landscape import maps
from lib.landscape.maps import Survey, survey
from lib.metrics import accuracy, negative_log_likelihood, top_labels
from lib.models.networks import build_model
from lib.models.predict import fresh_statistics, predict
from lib.models.weights import flatten

DATASET = subset(40)


def model(architecture="small_cnn"):
    network = build_model(architecture, DATASET.image_shape, DATASET.num_classes)
    return network.set_pixel_statistics(np.full((1, 1, 1), 8.0), np.full((1, 1, 1), 4.0))


def networks(architecture="small_cnn", count=4):
    start = flatten(model(architecture))
    return start + np.random.default_rng(0).normal(scale=0.1, size=(count, start.size)).astype(np.float32)


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_survey_is_what_predict_says_with_fresh_statistics(architecture):
    network, weights = model(architecture), networks(architecture)
    splits = [DATASET.test, DATASET.val]
    outcomes = survey(network, [weights[:2], weights[2:]], 2, DATASET.train.images, splits)
    statistics = fresh_statistics(network, weights, DATASET.train.images)
    for outcome, split in zip(outcomes, splits, strict=True):
        probs = predict(network, weights, split.images, statistics)
        assert outcome.labels.shape == (2, 2, 40)
        np.testing.assert_array_equal(outcome.labels.reshape(4, 40), top_labels(probs))
        np.testing.assert_array_equal(outcome.accuracies.ravel(), accuracy(probs, split.labels))
        np.testing.assert_allclose(outcome.losses.ravel(), negative_log_likelihood(probs, split.labels), rtol=1e-6)
    assert not np.array_equal(outcomes[0].labels, outcomes[1].labels)


def test_survey_evaluates_a_block_before_the_next_is_made(monkeypatch):
    evaluated = []
    monkeypatch.setattr(maps, "predict", lambda *given: evaluated.append(len(given[1])) or predict(*given))

    def blocks():
        yield networks(count=3)
        assert evaluated == [3]
        yield networks(count=3)
        assert evaluated == [3, 3]

    (outcome,) = survey(model(), blocks(), 2, DATASET.train.images, [DATASET.test])
    assert outcome.labels.shape[:2] == outcome.losses.shape == (2, 3)


def test_survey_agreements_by_hand():
    labels = np.array([[[0, 1, 2, 3], [0, 1, 2, 0]], [[3, 2, 1, 0], [0, 0, 0, 0]]])
    outcome = Survey(labels, np.zeros((2, 2)), np.zeros((2, 2)))
    np.testing.assert_array_equal(outcome.agreements(labels[0, 0]), [[1, 0.75], [0, 0.25]])
    np.testing.assert_array_equal(outcome.agreements(labels[1, 0]), [[0, 0.25], [1, 0.25]])
