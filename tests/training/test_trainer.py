"""Optimisers, and one member from its first weights to its last."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import assert_same, member, subset
from torch import nn

from lib.models import weights
from lib.models.predict import as_pixels, predict
from lib.run.store import RunStore
from lib.training import trainer as training
from lib.training.schedules import SCHEDULES
from lib.training.trainer import (
    build_member_model,
    build_optimizer,
    load_trajectory,
    train_epoch,
    train_members,
)

DATA = subset(300)


def config(architecture="small_cnn", **overrides):
    return member(dataset=DATA, architecture=architecture, **overrides)


def trained(folder, config, dataset=DATA):
    run = RunStore(folder).run(config)
    train_members([config], dataset, [run])
    return load_trajectory(run)


# Optimisers


def test_weight_decay_is_on_kernels_only():
    settings = config("resnet8_v1", weight_decay=0.25)
    model = build_member_model(settings, DATA)
    for optimizer in (settings, dataclasses.replace(settings, optimizer="momentum")):
        groups = build_optimizer(optimizer, model).param_groups
        decayed = {id(p) for group in groups if group["weight_decay"] == 0.25 for p in group["params"]}
        plain = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
        kernels = {id(module.weight) for module in model.modules() if isinstance(module, nn.Conv2d)}
        assert decayed == kernels
        assert decayed | plain == {id(p) for p in model.parameters()}
        assert not decayed & plain


def test_optimizer_is_what_the_config_says():
    model = build_member_model(config(), DATA)
    adam = build_optimizer(config(optimizer="adam", learning_rate=0.25), model)
    assert isinstance(adam, torch.optim.Adam)
    assert adam.param_groups[0]["lr"] == 0.25
    assert (adam.param_groups[0]["betas"], adam.param_groups[0]["eps"]) == ((0.9, 0.999), 1e-8)
    for name, momentum in (("momentum", 0.9), ("sgd", 0)):
        descent = build_optimizer(config(optimizer=name), model)
        assert isinstance(descent, torch.optim.SGD)
        assert descent.param_groups[0]["momentum"] == momentum


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_optimizer_state_is_stored_and_loaded(optimizer):
    settings = config("resnet8_v1", optimizer=optimizer)
    pixels, labels = as_pixels(DATA.train.images), torch.tensor(DATA.train.labels)
    model = build_member_model(settings, DATA)
    first = build_optimizer(settings, model)
    train_epoch([settings], model, first, pixels, labels, 0)
    (stored,) = training._optimizer_tensors(model, first)
    per_parameter = 3 if optimizer == "adam" else 1
    assert len(stored) == per_parameter * len(list(model.parameters()))
    second = build_optimizer(settings, model)
    assert training._optimizer_tensors(model, second) == [{}]
    training._load_optimizer(model, second, [stored])
    (again,) = training._optimizer_tensors(model, second)
    assert set(again) == set(stored)
    for name, value in stored.items():
        np.testing.assert_array_equal(again[name], value)


# One member


def test_trajectory_shapes_and_history(tmp_path):
    trajectory = trained(tmp_path, config(epochs=3))
    size = len(weights.flatten(build_member_model(config(), DATA)))
    assert trajectory.weights.shape == (4, size)
    assert trajectory.weights.dtype == np.float32
    assert trajectory.statistics.shape == (4, 0)
    np.testing.assert_array_equal(trajectory.final, trajectory.weights[3])
    columns = ["epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"]
    assert list(trajectory.history) == columns
    assert trajectory.history["epoch"].tolist() == [1, 2, 3]
    rates = [1.6e-3 * SCHEDULES["halving"](epoch, 3) for epoch in range(3)]
    assert trajectory.history["learning_rate"].tolist() == rates
    assert trajectory.history["train_accuracy"].between(0, 1).all()
    assert (trajectory.history["seconds"] > 0).all()
    statistics = trained(tmp_path, config("resnet8_v1")).statistics
    assert statistics.shape == (3, 480)
    assert len({row.tobytes() for row in statistics}) == 3


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_trajectory_starts_at_the_initialization(tmp_path, architecture):
    trajectory = trained(tmp_path, config(architecture, epochs=1))
    model = build_member_model(config(architecture), DATA)
    np.testing.assert_array_equal(trajectory.weights[0], weights.flatten(model))
    np.testing.assert_array_equal(trajectory.statistics[0], weights.flatten_statistics(model))
    assert not np.array_equal(trajectory.weights[1], trajectory.weights[0])


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_training_lowers_the_loss(tmp_path, architecture):
    history = trained(tmp_path, config(architecture, epochs=8)).history
    assert history["train_loss"].iloc[-1] < 0.95 * history["train_loss"].iloc[0]
    assert history["train_accuracy"].iloc[-1] > history["train_accuracy"].iloc[0]


def test_history_is_what_predict_gives_at_the_checkpoints(tmp_path):
    trajectory = trained(tmp_path, config("resnet8_v1"))
    model = build_member_model(trajectory.member, DATA)
    probs = predict(model, trajectory.weights[1:], DATA.val.images, trajectory.statistics[1:])
    accuracies = (probs.argmax(axis=-1) == DATA.val.labels).mean(axis=-1)
    np.testing.assert_allclose(trajectory.history["val_accuracy"], accuracies)


def test_training_is_repeatable_and_members_differ(tmp_path):
    one, again = (trained(tmp_path / name, config()) for name in ("one", "again"))
    assert_same([one], [again])
    for other in (member(1, dataset=DATA), config(seed=1)):
        assert not np.array_equal(trained(tmp_path / "other", other).final, one.final)


def test_training_seeds_of_initialization_and_order_act_separately(tmp_path):
    base = trained(tmp_path, config(epochs=1))
    order = trained(tmp_path, dataclasses.replace(config(epochs=1), order=1))
    np.testing.assert_array_equal(order.weights[0], base.weights[0])
    assert not np.array_equal(order.weights[1], base.weights[1])
    start = trained(tmp_path, dataclasses.replace(config(epochs=1), initialization=1))
    assert not np.array_equal(start.weights[0], base.weights[0])
    second = trained(tmp_path, member(1, dataset=DATA, epochs=1))
    np.testing.assert_array_equal(start.weights[0], second.weights[0])


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_training_does_not_use_or_change_global_state(tmp_path, architecture):
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        one = trained(tmp_path / "one", config(architecture, epochs=1))
        assert torch.equal(torch.get_rng_state(), states[0])
        np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
        torch.manual_seed(2)
        other = trained(tmp_path / "other", config(architecture, epochs=1))
    assert_same([one], [other])
    assert torch.get_num_threads() == threads


def test_settings_of_the_protocol_change_the_weights(tmp_path):
    base = trained(tmp_path, config(epochs=1)).final
    for change in ({"dropout": 0.0}, {"augmentation": "shift-flip"}, {"weight_decay": 0.1}, {"pixel_scaling": "raw"}):
        assert not np.array_equal(trained(tmp_path, config(epochs=1, **change)).final, base), change


@pytest.mark.parametrize(
    ("architecture", "optimizer", "stop"),
    [("small_cnn", "sgd", 0), ("resnet8_v1", "adam", 2), ("resnet8_v1", "momentum", 1)],
)
def test_training_interrupted_goes_on_to_the_same_bits(tmp_path, monkeypatch, architecture, optimizer, stop):
    settings = config(architecture, optimizer=optimizer, epochs=3, augmentation="shift-flip")
    expected = trained(tmp_path / "whole", settings)
    visited = []

    def stopping(configs, model, optimizer, pixels, labels, epoch):
        if epoch == stop and not visited.count(stop):
            visited.append(epoch)
            raise KeyboardInterrupt
        visited.append(epoch)
        return train_epoch(configs, model, optimizer, pixels, labels, epoch)

    monkeypatch.setattr(training, "train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", settings)
    assert_same([trained(tmp_path / "parts", settings)], [expected])
    assert visited == [*range(stop), stop, *range(stop, 3)]


def test_bf16_trains_another_network_as_well(tmp_path):
    single, half = (trained(tmp_path, config(precision=precision, epochs=3)) for precision in ("float32", "bf16"))
    np.testing.assert_array_equal(single.weights[0], half.weights[0])
    assert half.weights.dtype == np.float32
    assert not np.array_equal(single.final, half.final)
    losses = half.history["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert abs(single.history["train_loss"].iloc[-1] - losses.iloc[-1]) < 0.1
