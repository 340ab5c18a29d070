"""Schedules at the paper's epochs, batches, augmentation, and one member from its first weights to its last."""

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from helpers import assert_same, member, subset
from torch import nn

from lib.errors import ConfigError
from lib.models import weights
from lib.models.predict import as_pixels, predict
from lib.run.store import RunStore
from lib.training import trainer as training
from lib.training.schedules import SCHEDULES
from lib.training.trainer import (
    batches,
    build_member_model,
    build_optimizer,
    load_trajectory,
    shift_and_flip,
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


# Schedules


@pytest.mark.parametrize(
    ("schedule", "base", "epochs", "rates"),
    [
        ("halving", 1.6e-3, 40, {0: 1.6e-3, 9: 1.6e-3, 10: 8e-4, 19: 8e-4, 20: 4e-4, 29: 4e-4, 30: 2e-4, 39: 2e-4}),
        ("halving", 1.6e-3, 12, {0: 1.6e-3, 2: 1.6e-3, 3: 8e-4, 6: 4e-4, 9: 2e-4, 11: 2e-4}),
        (
            "keras-resnet",
            1e-3,
            200,
            {0: 1e-3, 80: 1e-3, 81: 1e-4, 120: 1e-4, 121: 1e-5, 160: 1e-5, 161: 1e-6, 180: 1e-6, 181: 5e-7, 199: 5e-7},
        ),
        ("step", 0.15, 160, {0: 0.15, 79: 0.15, 80: 0.015, 119: 0.015, 120: 0.0015, 159: 0.0015}),
        ("cosine", 0.05, 50, {0: 0.05, 25: 0.025, 49: 0.05 * 0.5 * (1 + np.cos(np.pi * 49 / 50))}),
        ("constant", 0.1, 7, {0: 0.1, 6: 0.1}),
    ],
)
def test_schedule_at_the_papers_epochs(schedule, base, epochs, rates):
    for epoch, rate in rates.items():
        assert base * SCHEDULES[schedule](epoch, epochs) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_schedule_of_a_short_run_starts_at_the_base_and_stays_positive(schedule, epochs):
    rates = [SCHEDULES[schedule](epoch, epochs) for epoch in range(epochs)]
    assert rates[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] > 0


# Batches


def test_batches_permutation_visits_each_image_once():
    parts = list(batches(config(), 300, 0))
    assert [len(part) for part in parts] == [128, 128, 44]
    assert sorted(torch.cat(parts).tolist()) == list(range(300))


def test_batches_replacement_draws_full_batches():
    parts = list(batches(config(sampling="replacement"), 300, 0))
    assert [len(part) for part in parts] == [128, 128]
    drawn = torch.cat(parts)
    assert drawn.min() >= 0
    assert drawn.max() < 300
    assert len(drawn.unique()) < len(drawn)
    assert len(list(batches(config(sampling="replacement"), 49_500, 0))) == 386


def test_batches_replacement_of_few_images_is_one_batch():
    assert [len(part) for part in batches(config(sampling="replacement"), 10, 0)] == [128]


@pytest.mark.parametrize("sampling", ["permutation", "replacement"])
def test_batches_repeat_but_differ_between_epochs_members_and_seeds(sampling):
    def order(epoch=0, number=0, **overrides):
        chosen = member(number, dataset=DATA, sampling=sampling, **overrides)
        return torch.cat(list(batches(chosen, 300, epoch))).tolist()

    assert order() == order()
    others = [order(epoch=1), order(number=1), order(seed=1)]
    assert all(other != order() for other in others)
    assert order(learning_rate=0.5) == order()


# Augmentation


def augmented(monkeypatch, inputs, flip, x, y):
    """`shift_and_flip` with draws that say: mirrored or not, moved by that share of the size, from -0.1 to 0.1."""
    draws = torch.tensor([0.0 if flip else 0.9, 0.5 + 5 * x, 0.5 + 5 * y])[:, None].repeat(1, len(inputs))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, generator: draws)
        return shift_and_flip(inputs, torch.Generator())


def photographs(count=4, height=12, width=20):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_shift_and_flip_of_nothing_is_the_identity(monkeypatch):
    inputs = photographs()
    np.testing.assert_allclose(augmented(monkeypatch, inputs, False, 0, 0), inputs, atol=1e-5)


def test_shift_and_flip_mirrors_left_and_right_only(monkeypatch):
    inputs = photographs()
    np.testing.assert_allclose(augmented(monkeypatch, inputs, True, 0, 0), inputs.flip(3), atol=1e-5)


@pytest.mark.parametrize(("x", "y"), [(0.1, 0), (0, 0.1), (-0.1, 0.05), (0.033, -0.071)])
def test_shift_and_flip_equals_scipys_shift_with_repeated_border(monkeypatch, x, y):
    inputs = photographs()
    moved = augmented(monkeypatch, inputs, False, x, y)
    expected = scipy.ndimage.shift(inputs.numpy(), (0, 0, -12 * y, -20 * x), order=1, mode="nearest")
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    assert (moved - inputs).abs().max() > 0.1


def test_shift_and_flip_repeats_the_border_at_full_shift(monkeypatch):
    inputs = photographs(width=20)
    moved = augmented(monkeypatch, inputs, False, 0.1, 0)
    np.testing.assert_allclose(moved[..., :-2], inputs[..., 2:], atol=1e-5)
    for column in (-2, -1):
        np.testing.assert_allclose(moved[..., column], inputs[..., -1], atol=1e-5)


def test_shift_and_flip_draws_for_every_image_and_repeats_with_the_generator():
    inputs = photographs(1).repeat(64, 1, 1, 1)
    one, again, other = (shift_and_flip(inputs, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert len({image.numpy().tobytes() for image in one}) == 64
    # What is drawn stays within the images' range: nothing but their own pixels is mixed in.
    assert one.min() >= inputs.min()
    assert one.max() <= inputs.max()


def test_shift_and_flip_mirrors_half_of_the_images():
    ramp = torch.linspace(0, 1, 20).expand(2000, 1, 4, 20)
    moved = shift_and_flip(ramp, torch.Generator().manual_seed(0))
    mirrored = (moved[..., 0] > moved[..., -1]).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.05)


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
    assert trajectory.final_statistics.shape == (0,)
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


def test_training_does_not_use_or_change_global_state(tmp_path):
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        one = trained(tmp_path / "one", config("resnet8_v1", epochs=1))
        assert torch.equal(torch.get_rng_state(), states[0])
        np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
        torch.manual_seed(2)
        other = trained(tmp_path / "other", config("resnet8_v1", epochs=1))
    assert_same([one], [other])
    assert torch.get_num_threads() == threads


def test_training_uses_one_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with training.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_settings_of_the_protocol_change_the_weights(tmp_path):
    base = trained(tmp_path, config(epochs=1)).final
    for change in ({"dropout": 0.0}, {"augmentation": "shift-flip"}, {"weight_decay": 0.1}, {"pixel_scaling": "raw"}):
        assert not np.array_equal(trained(tmp_path, config(epochs=1, **change)).final, base), change


@pytest.mark.parametrize(
    ("architecture", "optimizer", "stop"),
    [("small_cnn", "sgd", 0), ("small_cnn", "adam", 1), ("resnet8_v1", "adam", 2), ("resnet8_v1", "momentum", 1)],
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


def test_training_that_diverges_is_one_line(tmp_path):
    settings = config(learning_rate=1e30)
    with pytest.raises(ConfigError, match=r"^training diverged in epoch 1; learning_rate 1e\+30 is too high$"):
        trained(tmp_path, settings)


def test_bf16_trains_another_network_as_well(tmp_path):
    single, half = (trained(tmp_path, config(precision=precision, epochs=3)) for precision in ("float32", "bf16"))
    np.testing.assert_array_equal(single.weights[0], half.weights[0])
    assert half.weights.dtype == np.float32
    assert not np.array_equal(single.final, half.final)
    losses = half.history["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert abs(single.history["train_loss"].iloc[-1] - losses.iloc[-1]) < 0.1
