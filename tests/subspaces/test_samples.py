from dataclasses import replace

import numpy as np
import pytest
from helpers import subset, train

from lib import metrics
from lib.errors import ConfigError
from lib.models.predict import fresh_statistics, predict
from lib.run.store import RunStore
from lib.subspaces.methods import METHODS, PCA_SAMPLES, SUBSPACES, late_iterates, weight_average
from lib.subspaces.samples import ATTEMPTS, Sampler, given_scales
from lib.training.trainer import build_member_model

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


def test_spread_goes_to_the_largest_scale_by_squares(runs, sampler):
    np.testing.assert_allclose(sampler.spread(runs[0], "random", 4, 16.0).scales, [1, 4, 9, 16])


def test_spread_of_given_scales_is_that_of_the_authors(runs, sampler):
    given = replace(sampler, scales={"random": 16.0, "low-rank-gaussian": 6.0})
    scales = [given.spread(run, "random", 40, 16.0).scales for run in runs]
    np.testing.assert_array_equal(*scales)
    np.testing.assert_allclose(np.quantile(scales[0], [0, 0.5, 1]), [0, 8, 16], atol=3)
    np.testing.assert_array_equal(given.spread(runs[0], "low-rank-gaussian", 3, 6.0).scales, [6, 6, 6])


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
    # It also gives nothing if no scale keeps the floor.
    strict = replace(sampler, margin=sampler.base_accuracy(runs[0]) - 1)
    # Without random samples there are no principal components either.
    for method in ("random", "random-pca"):
        assert len(strict.near(runs[0], method, 3)) == 0
    with pytest.raises(ConfigError, match=r"^random-pca needs two random samples"):
        strict.spread(runs[0], "random-pca", 3, 1.0)


def test_near_takes_gaussians_as_they_are(runs, sampler):
    samples = replace(sampler, margin=-1.0).near(runs[0], "diagonal-gaussian", 4)
    np.testing.assert_array_equal(samples.scales, np.ones(4))
    assert samples.rejected == 0


@pytest.fixture(scope="module")
def with_batch_norm(tmp_path_factory):
    """A run of a network with BatchNorm, and a sampler around it."""
    dataset = subset(100)
    (run,) = train(tmp_path_factory.mktemp("runs"), architecture="resnet8_v1", num_members=1, epochs=2)
    return run, Sampler(build_member_model(run.member, dataset), dataset, rank=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_at_scale_zero_predicts_what_its_base_does(method, with_batch_norm):
    run, sampler = with_batch_norm
    base = sampler.average(run) if SUBSPACES[method].fitted else sampler.checkpoints(run, 1)
    if method == "random-pca":
        base = sampler.samples(run, method, np.zeros(1))
        accepted = sampler.near(run, "random", PCA_SAMPLES).weights
        np.testing.assert_array_equal(base.weights, [weight_average(accepted)])
    samples = sampler.samples(run, method, np.array([0.0, 0.1, 0.0]))
    probs = samples.predict(sampler.model, sampler.dataset.test.images)
    (expected,) = base.predict(sampler.model, sampler.dataset.test.images)
    np.testing.assert_array_equal(probs[[0, 2]], [expected, expected])
    assert np.abs(probs[1] - expected).max() > 0


@pytest.mark.parametrize("count", [1, 2])
def test_checkpoints_are_the_last_ones_with_fresh_statistics(count, with_batch_norm):
    run, sampler = with_batch_norm
    found = sampler.checkpoints(run, count)
    np.testing.assert_array_equal(found.weights, run.weights[-count:])
    fresh = fresh_statistics(sampler.model, run.weights[-count:], sampler.dataset.train.images)
    np.testing.assert_array_equal(found.statistics, fresh)
    assert np.abs(fresh - run.statistics[-count:]).max() > 0.1
    assert sampler.base_accuracy(run) == found.val_accuracies[-1]


def test_checkpoints_of_more_epochs_than_there_are(with_batch_norm):
    run, sampler = with_batch_norm
    for count in (0, 3, -1):
        with pytest.raises(ValueError, match=rf"^count: expected from 1 to the 2 epochs of the run, received {count}$"):
            sampler.checkpoints(run, count)


def test_random_pca_is_around_accepted_random_samples(runs, sampler):
    """Samples stay in the first directions of the ten accepted random samples, and are around their mean."""
    accepted = sampler.near(runs[0], "random", PCA_SAMPLES, largest=2.0)
    samples = sampler.near(runs[0], "random-pca", 4, largest=2.0)
    center = weight_average(accepted.weights)
    np.testing.assert_array_equal(samples.scales, np.ones(4))
    span = np.linalg.svd(accepted.weights - center, full_matrices=False)[2][:RANK]
    steps = samples.weights - center
    np.testing.assert_allclose(steps @ span.T @ span, steps, atol=1e-4)


# Given scales

#: No scales for the methods added to the paper's four.
REST = [None] * (len(METHODS) - 4)


def test_given_scales_are_in_the_order_of_the_methods():
    assert METHODS[:4] == ("random", "dropout", "diagonal-gaussian", "low-rank-gaussian")
    given = given_scales([70, 0.99, None, 6.5, *REST])
    assert given == {"random": 70, "dropout": 0.99, "low-rank-gaussian": 6.5}
    assert all(type(scale) is float for scale in given.values())


@pytest.mark.parametrize("scales", [[], [1.0] * (len(METHODS) - 1), [1.0] * (len(METHODS) + 1)])
def test_given_scales_of_another_length_are_one_line(scales):
    message = rf"^scales must be {len(METHODS)}, a number or null for each of random, dropout, .*, got \["
    with pytest.raises(ConfigError, match=message) as caught:
        given_scales(scales)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("number", "method", "bounds"),
    [(0, "random", "above 0"), (1, "dropout", "above 0 and at most 0.99"), (3, "low-rank-gaussian", "above 0")],
)
@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "3", True])
def test_given_scales_that_no_method_has_are_one_line(number, method, bounds, scale):
    scales = [0.5] * len(METHODS)
    assert len(given_scales(scales)) == len(METHODS)
    scales[number] = scale
    with pytest.raises(ConfigError, match=rf"^the scale of {method} must be a number {bounds}, got {scale!r}$"):
        given_scales(scales)


def test_scale_at_takes_a_given_scale_without_evaluating(runs, sampler, monkeypatch):
    given = replace(sampler, scales={"random": 3.5, "low-rank-gaussian": 6})
    searched = sampler.scale_at(runs[0], "dropout", 0.5)
    assert given.scale_at(runs[0], "dropout", 0.5) == searched
    monkeypatch.setattr("lib.subspaces.samples.predict", None)
    for floor in (0.0, 0.5, 1.0):
        assert given.scale_at(runs[0], "random", floor) == 3.5
        assert given.scale_at(runs[0], "low-rank-gaussian", floor) == 6
    with pytest.raises(TypeError):
        given.scale_at(runs[0], "dropout", 0.5)


def test_near_takes_the_given_scale_of_a_gaussian(runs, sampler):
    given = replace(sampler, scales={"diagonal-gaussian": 0.25})
    narrow, natural = (given.near(runs[0], method, 3) for method in ("diagonal-gaussian", "low-rank-gaussian"))
    np.testing.assert_array_equal(narrow.scales, np.full(3, 0.25))
    np.testing.assert_array_equal(
        narrow.weights, sampler.samples(runs[0], "diagonal-gaussian", np.full(3, 0.25)).weights
    )
    np.testing.assert_array_equal(natural.scales, np.ones(3))
    assert (narrow.rejected, natural.rejected) == (0, 0)


def test_samples_are_evaluated_once_for_all_who_share_a_store(runs, sampler, tmp_path, monkeypatch):
    store, scales = RunStore(tmp_path), np.array([0.01, 0.1])
    first = replace(sampler, store=store).samples(runs[0], "random", scales)
    np.testing.assert_array_equal(first.val_accuracies, sampler.samples(runs[0], "random", scales).val_accuracies)
    evaluated = []
    monkeypatch.setattr("lib.subspaces.samples.predict", lambda *given: evaluated.append(given) or predict(*given))
    again = replace(sampler, store=RunStore(tmp_path)).samples(runs[0], "random", scales)
    assert evaluated == []
    for one, other in zip(vars(first).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Everything that determines a sample is part of its cache key.
    kept = replace(sampler, store=store)
    kept.samples(runs[1], "random", scales)
    kept.samples(runs[0], "dropout", scales)
    kept.samples(runs[0], "random", 2 * scales)
    kept.samples(runs[0], "random", scales, draw=1)
    replace(kept, seed=1).samples(runs[0], "random", scales)
    assert len(evaluated) == 5
