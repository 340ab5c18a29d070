"""Samples around several runs, and what they predict together: means worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import subset, train

from lib import metrics
from lib.models.networks import build_model
from lib.models.predict import predict
from lib.models.weights import flatten, flatten_statistics
from lib.plots.style import METHOD_NAMES
from lib.subspaces.around import (
    across_runs,
    complete,
    samples_of_runs,
    samples_table,
    spread_of_runs,
    within_runs,
)
from lib.subspaces.samples import Sampler, Samples
from lib.training.trainer import build_member_model

DATASET = subset(30)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), epochs=2)


@pytest.fixture(scope="module")
def sampler(runs):
    dataset = subset(100)
    return Sampler(build_member_model(runs[0].member, dataset), dataset, rank=1)


class Recorder:
    """A sampler that records what it is asked for."""

    margin = 0.1

    def __init__(self):
        self.asked = []

    def base_accuracy(self, run):
        return {"first": 0.9, "second": 0.5}[run]

    def scale_at(self, run, method, floor):
        self.asked.append((run, method, floor))
        return 7.0

    def near(self, *given):
        return given

    spread = near


def samples(count, method="random", scale=0.0, accuracy=0.5, rejected=0):
    nothing = np.zeros((count, 0), np.float32)
    return Samples(method, np.full(count, scale), nothing, nothing, np.full(count, accuracy), rejected)


def model(architecture="small_cnn"):
    network = build_model(architecture, DATASET.image_shape, DATASET.num_classes)
    return network.set_pixel_statistics(np.full((1, 1, 1), 8.0), np.full((1, 1, 1), 4.0))


def around(network, count, seed):
    """Samples with random weights, and with random statistics if the network has any."""
    rng = np.random.default_rng(seed)
    start, statistics = flatten(network), flatten_statistics(network)
    weights = start + rng.normal(scale=0.2, size=(count, start.size)).astype(np.float32)
    moved = statistics + rng.uniform(0.1, 1, (count, statistics.size)).astype(np.float32)
    return Samples("random", np.ones(count), weights, moved, np.zeros(count))


def test_samples_of_runs_share_the_scale_of_the_first():
    recorder = Recorder()
    methods = ["random", "diagonal-gaussian", "random-pca"]
    found = samples_of_runs(recorder, ["first", "second"], methods, count=4)
    # The principal components are those of the random samples, so they share their scale.
    assert recorder.asked == 2 * [("first", "random", pytest.approx(0.8))]
    largest = dict(zip(methods, (7.0, None, 7.0), strict=True))
    assert found == {method: [(run, method, 4, largest[method]) for run in ("first", "second")] for method in methods}


def test_samples_of_runs_are_those_of_the_sampler(runs, sampler):
    sampler = replace(sampler, margin=0.1)
    found = samples_of_runs(sampler, runs, ["random", "weight-average"], count=2)
    largest = sampler.scale_at(runs[0], "random", sampler.base_accuracy(runs[0]) - 0.1)
    for run, near, average in zip(runs, found["random"], found["weight-average"], strict=True):
        np.testing.assert_array_equal(near.weights, sampler.near(run, "random", 2, largest).weights)
        assert (near.val_accuracies >= sampler.base_accuracy(run) - 0.1).all()
        np.testing.assert_array_equal(average.weights, sampler.average(run).weights)


def test_spread_of_runs_shares_the_scale_of_the_first():
    recorder = Recorder()
    found = spread_of_runs(recorder, ["first", "second"], ["random", "low-rank-gaussian"], count=4, share=0.5)
    assert recorder.asked == [
        ("first", "random", pytest.approx(0.45)),
        ("first", "low-rank-gaussian", pytest.approx(0.45)),
    ]
    assert found["random"] == [("first", "random", 4, 7.0), ("second", "random", 4, 7.0)]
    assert found["low-rank-gaussian"][1] == ("second", "low-rank-gaussian", 4, 7.0)


def test_spread_of_runs_rejects_nothing(runs, sampler):
    found = spread_of_runs(sampler, runs, ["random", "dropout"], count=3, share=0.5)
    assert list(found) == ["random", "dropout"]
    for own in found.values():
        assert [(len(one), one.rejected) for one in own] == [(3, 0), (3, 0)]
        np.testing.assert_allclose(own[0].scales, own[0].scales[-1] * np.array([1, 4, 9]) / 9)
        np.testing.assert_array_equal(own[0].scales, own[1].scales)
        assert own[0].scales[-1] > 0
        assert np.abs(own[0].weights - own[1].weights).max() > 0


def test_complete_leaves_out_methods_with_too_few_around_a_run():
    drawn = {
        "random": [samples(3), samples(2)],
        "dropout": [samples(3), samples(0)],
        "low-rank-gaussian": [samples(3), samples(3)],
        "weight-average": [samples(1), samples(1)],
    }
    assert list(complete(drawn)) == ["random", "low-rank-gaussian", "weight-average"]
    assert list(complete(drawn, 3)) == ["low-rank-gaussian", "weight-average"]
    assert list(complete(drawn, 4)) == ["weight-average"]
    assert list(complete(drawn, 0)) == list(drawn)
    assert complete(drawn)["random"] is drawn["random"]


def test_samples_table_counts_over_all_runs():
    drawn = {
        "random": [samples(2, scale=1.25, accuracy=0.5, rejected=3), samples(1, scale=0.5, accuracy=0.8), samples(0)],
        "dropout": [samples(0, rejected=5), samples(0, rejected=5), samples(0)],
        "weight-average": [samples(1, accuracy=1.0)] * 3,
    }
    table = samples_table(drawn, METHOD_NAMES)
    assert list(table["method"]) == [METHOD_NAMES[method] for method in drawn]
    assert list(table["kept"]) == [3, 0, 3]
    assert list(table["rejected"]) == [3, 10, 0]
    assert list(table["runs without any"]) == [1, 3, 0]
    # Methods without a scale or without samples have a dash.
    assert list(table["largest scale"]) == ["1.25", "–", "–"]
    assert list(table["mean validation accuracy"]) == ["0.600", "–", "1.000"]


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_within_runs_averages_what_each_sample_predicts(architecture):
    network, images = model(architecture), DATASET.test.images
    drawn = [around(network, count, seed) for seed, count in enumerate((3, 1, 2))]
    mean, divergence = within_runs(network, drawn, images)
    assert (mean.shape, divergence.shape) == ((3, 30, 10), (3, 30))
    assert mean.dtype == divergence.dtype == np.float32
    for run, own in enumerate(drawn):
        probs = predict(network, own.weights, images, own.statistics)
        np.testing.assert_allclose(mean[run], probs.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(divergence[run], metrics.jensen_shannon_by_example(probs), rtol=1e-4, atol=1e-7)
    # A single sample does not differ from itself; several do.
    np.testing.assert_array_equal(divergence[1], 0)
    assert (divergence[[0, 2]].mean(axis=1) > 0.01).all()


def test_across_runs_by_hand():
    certain, even = [[1, 0], [1, 0]], [[0, 1], [1, 0]]
    mean, divergence = across_runs(np.array([certain, even], np.float32))
    np.testing.assert_array_equal(mean, [[[0.5, 0.5], [1, 0]]])
    np.testing.assert_allclose(divergence, [[np.log(2), 0]], rtol=1e-6)
    assert mean.dtype == divergence.dtype == np.float32
