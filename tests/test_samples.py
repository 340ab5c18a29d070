import numpy as np
import pytest
from helpers import subset, train

from lib import metrics
from lib.samples import ATTEMPTS, Sampler
from lib.subspaces import METHODS, late_iterates
from lib.training import build_member_model

RANK = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs"), epochs=4)


@pytest.fixture(scope="module")
def sampler(runs):
    dataset = subset(200)
    return Sampler(build_member_model(runs[0].member, dataset), dataset, rank=RANK)


@pytest.mark.parametrize("method", METHODS)
def test_samples_are_evaluated_on_the_validation_images(method, runs, sampler):
    samples = sampler.samples(runs[0], method, np.array([0.01, 0.1]))
    assert samples.weights.shape == (2, runs[0].final.size)
    val = sampler.dataset.val
    right = metrics.accuracy(samples.predict(sampler.model, val.images), val.labels)
    np.testing.assert_array_equal(samples.val_accuracies, right)


def test_samples_of_runs_methods_and_draws_differ_and_repeat(runs, sampler):
    scales = np.ones(2)
    first = sampler.samples(runs[0], "random", scales)
    np.testing.assert_array_equal(first.weights, sampler.samples(runs[0], "random", scales).weights)
    steps = [first.weights - runs[0].final]
    steps.append(sampler.samples(runs[0], "random", scales, draw=1).weights - runs[0].final)
    steps.append(sampler.samples(runs[1], "random", scales).weights - runs[1].final)
    cosine = metrics.cosine_similarity(np.concatenate(steps))
    assert np.abs(cosine - np.eye(6)).max() < 0.1


def test_average_is_that_of_the_late_iterates(runs, sampler):
    average = sampler.near(runs[0], "weight-average", count=5)
    assert len(average) == 1
    np.testing.assert_allclose(average.weights[0], late_iterates(runs[0].weights, RANK).mean(axis=0), atol=1e-6)


def test_scale_at_keeps_the_floor_and_a_larger_one_does_not(runs, sampler):
    floor = sampler.base_accuracy(runs[0]) / 2
    scale = sampler.scale_at(runs[0], "random", floor)
    mean = [sampler.samples(runs[0], "random", np.full(3, factor * scale)).val_accuracies.mean() for factor in (1, 1.5)]
    assert mean[0] >= floor > mean[1]


def test_scale_at_of_a_floor_that_nothing_holds_is_zero(runs, sampler):
    assert sampler.scale_at(runs[0], "random", floor=1.0) == 0


def test_spread_goes_evenly_to_the_largest_scale(runs, sampler):
    np.testing.assert_allclose(sampler.spread(runs[0], "random", 4, 2.0).scales, [0.5, 1, 1.5, 2])


def test_near_rejects_by_validation_accuracy_and_counts(runs, sampler):
    floor = sampler.base_accuracy(runs[0]) - 0.06
    wide = 3 * sampler.scale_at(runs[0], "random", floor)
    samples = sampler.near(runs[0], "random", 5, largest=wide)
    assert 0 < len(samples) <= 5
    assert samples.rejected > 0
    assert (samples.val_accuracies >= floor).all()
    assert (samples.scales <= wide).all()
    narrow = sampler.near(runs[0], "random", 5, largest=1e-3)
    assert (len(narrow), narrow.rejected) == (5, 0)


def test_near_gives_nothing_where_all_are_rejected(runs, sampler):
    samples = sampler.near(runs[0], "random", 3, largest=1000.0)
    assert (len(samples), samples.rejected) == (0, 3 * ATTEMPTS)
    assert samples.predict(sampler.model, sampler.dataset.val.images).shape == (
        0,
        *sampler.dataset.val.labels.shape,
        10,
    )
    # Nor where no scale holds the floor.
    assert len(sampler.near(runs[0], "random", 3, margin=sampler.base_accuracy(runs[0]) - 1)) == 0


def test_near_takes_gaussians_as_they_are(runs, sampler):
    samples = sampler.near(runs[0], "diagonal-gaussian", 4, margin=-1.0)
    np.testing.assert_array_equal(samples.scales, np.ones(4))
    assert samples.rejected == 0


def test_samples_of_a_network_with_batch_norm_have_fresh_statistics(tmp_path):
    dataset = subset(100)
    (run,) = train(tmp_path, architecture="resnet8_v1", num_members=1, epochs=1)
    sampler = Sampler(build_member_model(run.member, dataset), dataset)
    samples = sampler.samples(run, "random", np.array([0.1, 0.2]))
    assert samples.statistics.shape == (2, run.final_statistics.size)
    assert np.abs(samples.statistics[0] - samples.statistics[1]).max() > 0
