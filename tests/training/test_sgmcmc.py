"""The sampler: its schedule, its noise, a known posterior, and chains in the store."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers import assert_same, member, subset

from lib.errors import ConfigError
from lib.models.lockstep import CannotStack
from lib.run.store import RunStore
from lib.training import ensemble
from lib.training import trainer as training
from lib.training.sgmcmc import Chain, cycle_ends, is_noisy, noise_deviation, rate_factor
from lib.training.trainer import load_trajectory, train_epoch, train_members

DATA = subset(300)  # three batches of 128
CHAIN = {"optimizer": "sgd", "schedule": "cosine", "learning_rate": 0.1, "epochs": 6, "cycles": 3, "noise_epochs": 1}


def chain(number=0, **overrides):
    return member(number, dataset=DATA, **CHAIN | {"temperature": 1.0} | overrides)


def trained(folder, config):
    run = RunStore(folder).run(config)
    train_members([config], DATA, [run])
    return load_trajectory(run)


# The schedule


def test_rate_is_a_half_cosine_in_each_cycle():
    assert [rate_factor(step, 4) for step in range(4)] == pytest.approx(
        [1, 0.5 + 0.25 * 2**0.5, 0.5, 0.5 - 0.25 * 2**0.5]
    )
    assert [rate_factor(step, 4) for step in range(4, 12)] == [rate_factor(step, 4) for step in (0, 1, 2, 3) * 2]


def test_rate_of_the_paper_restarts_every_50_of_150_epochs():
    """The recipe's 50,000 images are 782 batches of 64; the rate starts at 0.5."""
    for epoch, rate in {0: 0.5, 25: 0.25, 50: 0.5, 75: 0.25, 100: 0.5, 125: 0.25}.items():
        assert 0.5 * rate_factor(epoch * 782, 50 * 782) == pytest.approx(rate)
    assert 0.5 * rate_factor(50 * 782 - 1, 50 * 782) == pytest.approx(0, abs=1e-8)


def test_noise_is_in_the_last_epochs_of_each_cycle():
    paper = chain(epochs=150, noise_epochs=5)
    noisy = [epoch for epoch in range(150) if is_noisy(paper, epoch)]
    assert noisy == [*range(45, 50), *range(95, 100), *range(145, 150)]
    assert not any(is_noisy(chain(noise_epochs=0), epoch) for epoch in range(6))
    assert all(is_noisy(chain(noise_epochs=2), epoch) for epoch in range(6))


@pytest.mark.parametrize(("epochs", "cycles", "ends"), [(150, 3, [50, 100, 150]), (2, 2, [1, 2])])
def test_cycle_ends_are_the_last_checkpoints(epochs, cycles, ends):
    np.testing.assert_array_equal(cycle_ends(epochs, cycles), ends)


@pytest.mark.parametrize("cycles", [0, 1])
def test_cycle_ends_of_nothing_to_compare_are_one_line(cycles):
    with pytest.raises(ConfigError, match=f"^cycles must be at least 2, as cycles are compared, got {cycles}$"):
        cycle_ends(4, cycles)


# The noise


def test_noise_deviation_is_that_of_the_recipe():
    assert noise_deviation(0.5, 1 / 50_000, 50_000) == pytest.approx(2e-5)
    assert noise_deviation(0.02, 1.0, 400) == pytest.approx(0.01)
    assert noise_deviation(0.1, 0.0, 400) == 0


def test_chain_samples_a_gaussian_posterior():
    """Mean loss (x - m)² / 2 over n images at temperature T: the posterior has mean m and variance T / n.

    With a finite step size h the variance is T / n / (1 - h / 2). The test runs 4,000 chains at once.
    """
    count, temperature, mean = 25, 4.0, 3.0
    settings = {"epochs": 1, "cycles": 1, "batch_size": 1, "temperature": temperature, "learning_rate": 0.1}
    config = chain(**settings)
    positions = torch.nn.Parameter(torch.zeros(4000))
    steps = Chain(config, torch.optim.SGD([positions], lr=0.1), count, 0)
    steps.cycle_steps = 10**9  # the rate stays at its first value
    for _ in range(200):
        positions.grad = positions.detach() - mean
        steps.step()
    assert positions.mean().item() == pytest.approx(mean, abs=0.03)
    assert positions.var().item() == pytest.approx(temperature / count / (1 - 0.1 / 2), rel=0.08)


def test_chain_without_temperature_descends_to_the_optimum():
    position = torch.nn.Parameter(torch.zeros(3))
    steps = Chain(chain(temperature=0.0, epochs=3), torch.optim.SGD([position], lr=0.1), 300, 2)
    steps.cycle_steps = 10**9
    for _ in range(300):
        position.grad = position.detach() - 3
        steps.step()
    torch.testing.assert_close(position.detach(), torch.full((3,), 3.0))


# Chains in the store


def test_chain_history_has_the_rate_of_the_last_step(tmp_path):
    rates = trained(tmp_path, chain()).history["learning_rate"]
    halfway, end = (0.05 * (1 + math.cos(math.pi * step / 6)) for step in (2, 5))
    assert rates.tolist() == pytest.approx([halfway, end] * 3)


def test_chain_follows_its_rate_step_by_step(tmp_path, monkeypatch):
    rates, original = [], torch.optim.SGD.step

    def watched(optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        return original(optimizer, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    trained(tmp_path, chain())
    assert rates == pytest.approx([0.1 * rate_factor(step, 6) for step in range(18)])


def test_chain_noise_is_where_it_should_be(tmp_path):
    hot = trained(tmp_path, chain())
    cold = trained(tmp_path, chain(noise_epochs=0))
    np.testing.assert_array_equal(hot.weights[:2], cold.weights[:2])  # the first epoch of the first cycle
    assert not np.array_equal(hot.weights[2], cold.weights[2])


def test_chain_noise_of_an_epoch_has_the_summed_variance(tmp_path):
    """One noisy epoch with gradients that are negligible compared with the noise."""
    config = chain(temperature=1e4, learning_rate=1e-6, epochs=1, cycles=1, dropout=0.0)
    moved = np.diff(trained(tmp_path, config).weights, axis=0)
    variance = sum(noise_deviation(1e-6 * rate_factor(step, 3), 1e4, 300) ** 2 for step in range(3))
    assert moved.std() == pytest.approx(math.sqrt(variance), rel=0.02)


def test_chain_repeats_and_its_noise_is_the_members(tmp_path):
    with torch.random.fork_rng(devices=[]):  # the global state is neither used nor changed
        torch.manual_seed(1)
        state = torch.get_rng_state()
        one = trained(tmp_path / "one", chain())
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert_same([trained(tmp_path / "again", chain())], [one])
    other = trained(tmp_path, dataclasses.replace(chain(), order=1))
    np.testing.assert_array_equal(other.weights[0], one.weights[0])
    assert not np.array_equal(other.final, one.final)


@pytest.mark.parametrize("stop", [1, 4])
def test_chain_interrupted_goes_on_to_the_same_bits(tmp_path, monkeypatch, stop):
    """Interrupted before a noisy epoch, and after one."""
    expected = trained(tmp_path / "whole", chain())
    stopped = []

    def stopping(configs, model, optimizer, pixels, labels, epoch):
        if epoch == stop and not stopped:
            stopped.append(epoch)
            raise KeyboardInterrupt
        return train_epoch(configs, model, optimizer, pixels, labels, epoch)

    monkeypatch.setattr(training, "train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", chain())
    assert_same([trained(tmp_path / "parts", chain())], [expected])
    assert stopped == [stop]


def test_chains_are_not_trained_in_lockstep(tmp_path):
    configs, store = [chain(number) for number in range(2)], RunStore(tmp_path)
    with pytest.raises(CannotStack, match="chains are trained one at a time"):
        train_members(configs, DATA, [store.run(config) for config in configs])
    assert list(tmp_path.iterdir()) == []


def test_chains_of_an_ensemble_are_trained_one_after_the_other_where_members_would_be_together(tmp_path):
    configs, store = [chain(number) for number in range(2)], RunStore(tmp_path)
    ensemble._train_as_many_as_fit(configs, DATA, store)
    assert all(store.run(config).is_complete() for config in configs)
    alone = trained(tmp_path / "alone", configs[1])
    run = store.run(configs[1])
    assert_same([load_trajectory(run)], [alone])
