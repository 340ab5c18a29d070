"""Cyclical stochastic-gradient MCMC: one long run that anneals its step size in cycles and samples at their ends.

    cycle = large steps (explore) → small steps (settle) → small steps with Langevin noise (sample)

The sampler is cSGLD: plain SGD whose learning rate follows a half cosine in each cycle, updated every step, with
Gaussian noise on the weights in the last epochs of a cycle. A cycle is represented by its last checkpoint. Source:
Zhang et al., "Cyclical stochastic gradient MCMC for Bayesian deep learning", and their code.
"""

import math

import numpy as np
import torch

from lib.config import MemberConfig
from lib.errors import ConfigError


def rate_factor(step: int, cycle_steps: int) -> float:
    """Learning rate of a step (from 0) relative to the first step of a cycle of `cycle_steps`.

    1 at a cycle's first step, 0.5 in its middle, just above 0 at its last.
    """
    return 0.5 * (1 + math.cos(math.pi * (step % cycle_steps) / cycle_steps))


def is_noisy(config: MemberConfig, epoch: int) -> bool:
    """Whether an epoch (from 0) of a chain is one of the last `noise_epochs` of its cycle."""
    length = config.epochs // config.cycles
    return epoch % length >= length - config.noise_epochs


def noise_deviation(rate: float, temperature: float, count: int) -> float:
    """Standard deviation of the noise on each weight in one step: sqrt(2 rate T / n).

    With gradients of the *mean* loss over n = `count` training images, small steps with this noise sample from
    exp(-n loss / T): the posterior at temperature T = 1, a sharper distribution below that.
    """
    return math.sqrt(2 * rate * temperature / count)


class Chain:
    """The steps of one epoch of one chain: each with its own learning rate, and with noise late in a cycle.

    The noise comes from a separate generator, seeded by the member and the epoch, so that a chain interrupted between
    epochs resumes bit-identically. The optimiser's learning rate is set before every step; `count` is the number of
    training images, and `epoch` counts from 0.
    """

    def __init__(self, config: MemberConfig, optimizer: torch.optim.Optimizer, count: int, epoch: int):
        self.config, self.optimizer, self.count = config, optimizer, count
        size = config.batch_size
        steps = -(-count // size) if config.sampling == "permutation" else max(1, count // size)
        self.next_step, self.cycle_steps = epoch * steps, config.epochs // config.cycles * steps
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.generator = None
        if is_noisy(config, epoch):
            seed = config.random_seed("noise", epoch)
            self.generator = torch.Generator(self.parameters[0].device).manual_seed(seed)

    def step(self) -> None:
        """Take one optimiser step with the current gradients, and add noise if the epoch is noisy."""
        rate = self.config.learning_rate * rate_factor(self.next_step, self.cycle_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.generator is not None:
            deviation = noise_deviation(rate, self.config.temperature, self.count)
            with torch.no_grad():
                for parameter in self.parameters:
                    noise = torch.randn(parameter.shape, generator=self.generator, device=parameter.device)
                    parameter.add_(noise, alpha=deviation)
        self.next_step += 1


def cycle_ends(epochs: int, cycles: int) -> np.ndarray:
    """Indices `(cycles,)` of a chain's checkpoints at the ends of cycles; checkpoint 0 is its initial weights.

    `epochs` is a multiple of `cycles`. Raises `ConfigError` for a single cycle, which cannot be compared with others.
    """
    if cycles < 2:
        raise ConfigError(f"cycles must be at least 2, as cycles are compared, got {cycles}")
    return np.arange(1, cycles + 1) * (epochs // cycles)
