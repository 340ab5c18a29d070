"""Members side by side in one network give the same results as alone, up to rounding."""

import numpy as np
import pytest
import torch
from helpers import member, subset
from torch import nn

from lib.models.layers import Dropout
from lib.models.lockstep import CannotStack, Lockstep, part
from lib.models.networks import Network
from lib.run.store import RunStore
from lib.training import trainer as training
from lib.training.trainer import build_member_model, load_trajectory, train_members

DATA = subset(200)
PIXELS = torch.tensor(DATA.val.images[:16]).permute(0, 3, 1, 2)


def config(number=0, architecture="small_cnn", **overrides):
    return member(number, dataset=DATA, architecture=architecture, **overrides)


def networks(architecture, count=3):
    return [build_member_model(config(number, architecture), DATA) for number in range(count)]


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
@pytest.mark.parametrize("training_mode", [False, True])
def test_lockstep_outputs_are_those_of_each_member(architecture, training_mode):
    alone = [network.train(training_mode) for network in networks(architecture)]
    for network in alone:
        for layer in network.modules():
            if isinstance(layer, Dropout):
                layer.threshold = 0
    model = Lockstep(alone).train(training_mode)
    inputs = [network.normalize(PIXELS) + number for number, network in enumerate(alone)]
    together = model.layers(torch.cat(inputs, dim=1)).unflatten(1, (3, -1))
    for number, network in enumerate(alone):
        torch.testing.assert_close(together[:, number], network.layers(inputs[number]), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(together[:, 0], together[:, 1], atol=1e-2)


def test_lockstep_copies_back_what_it_took():
    alone, target = networks("resnet8_v1"), networks("resnet8_v1")
    for network in alone:
        network.train()
        network(PIXELS)
    Lockstep(alone).copy_to(target)
    for one, other in zip(alone, target, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name])


def test_part_of_a_joined_tensor():
    joined = torch.arange(6)
    assert part(joined, 1, 3).tolist() == [2, 3]
    assert part(joined, 0, 1) is joined
    assert part(torch.tensor(5.0), 1, 3).item() == 5


def test_lockstep_refuses_a_layer_it_does_not_know():
    odd = [Network(nn.Sequential(nn.Flatten(), nn.Bilinear(2, 2, 2)), (8, 8, 1), 10) for _ in range(2)]
    with pytest.raises(CannotStack, match="Bilinear"):
        Lockstep(odd)


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("small_cnn", {"sampling": "replacement", "optimizer": "momentum", "learning_rate": 0.01}),
        # Not Adam: biases before BatchNorm have zero gradients up to rounding errors, which Adam would amplify.
        ("resnet8_v1", {"batch_size": 64, "optimizer": "momentum", "learning_rate": 0.01}),
    ],
)
def test_training_in_lockstep_is_training_alone(tmp_path, architecture, settings):
    members = [config(number, architecture, **settings) for number in range(3)]
    alone, together = RunStore(tmp_path / "alone"), RunStore(tmp_path / "together")
    for settings in members:
        train_members([settings], DATA, [alone.run(settings)])
    train_members(members, DATA, [together.run(settings) for settings in members])
    for settings in members:
        one, other = (trajectory(store, settings) for store in (alone, together))
        assert apart(one.final, other.final) < 1e-3 * apart(one.final, one.weights[0])
        np.testing.assert_allclose(one.history["train_loss"], other.history["train_loss"], rtol=1e-4)
        np.testing.assert_allclose(one.statistics, other.statistics, rtol=1e-3, atol=1e-4)


def apart(one, other):
    return np.linalg.norm(one - other)


def trajectory(store, settings):
    run = store.run(settings)
    return load_trajectory(run)


def test_lockstep_goes_on_where_members_stopped(tmp_path, monkeypatch):
    """One member is at epoch 1, two are at 0: the first is trained alone, the others together, all to the end."""
    members = [config(number, epochs=2) for number in range(3)]
    store, whole = RunStore(tmp_path / "parts"), RunStore(tmp_path / "whole")
    train_members(members, DATA, [whole.run(settings) for settings in members])
    original, sizes = training.train_epoch, []

    def stop_after_one(configs, *rest):
        sizes.append((len(configs), rest[-1]))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return original(configs, *rest)

    monkeypatch.setattr(training, "train_epoch", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        train_members(members[:1], DATA, [store.run(members[0])])
    train_members(members, DATA, [store.run(settings) for settings in members])
    assert sizes == [(1, 0), (1, 1), (2, 0), (2, 1), (1, 1)]
    for settings in members:
        one, other = trajectory(store, settings), trajectory(whole, settings)
        assert apart(one.final, other.final) < 1e-3 * apart(one.final, one.weights[0])
