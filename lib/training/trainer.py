"""The trainer: trains one member, or several in lockstep, with one checkpoint per epoch."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.config import MemberConfig
from lib.data.datasets import Dataset, pixel_statistics
from lib.data.streaming import StreamedImages
from lib.errors import ConfigError
from lib.metrics import accuracy, negative_log_likelihood
from lib.models.layers import Dropout
from lib.models.lockstep import CannotStack, Lockstep, part
from lib.models.networks import Network, build_model
from lib.models.predict import as_pixels, predict
from lib.models.weights import flatten, flatten_statistics, load
from lib.run.engines import default_device
from lib.run.provenance import commit
from lib.run.runs import ResumePoint, Run
from lib.training.batches import drawn, shift_and_flip
from lib.training.schedules import SCHEDULES
from lib.training.sgmcmc import Chain


@dataclass(frozen=True)
class Trajectory:
    """One member's path through weight space.

    Attributes:
        member: its configuration.
        weights: float32 `(T, P)`: the weights at initialisation and after each epoch, so T = epochs + 1.
        statistics: float32 `(T, S)`: BatchNorm running statistics at the same times; S is 0 without BatchNorm.
        history: one row per epoch (from 1): learning rate (of its last step), mean training loss and accuracy (in
            training mode, while the network learns), validation loss (nats) and accuracy, seconds.
    """

    member: MemberConfig
    weights: np.ndarray
    statistics: np.ndarray
    history: pd.DataFrame

    @property
    def final(self) -> np.ndarray:
        """The last weights, `(P,)`."""
        return self.weights[-1]


def load_trajectory(run: Run) -> Trajectory:
    """Read a complete run; raises `DamagedRun` if a file is not what was written."""
    run.open()
    checkpoints = [run.read_epoch(epoch) for epoch in range(run.config.epochs + 1)]
    weights, statistics = (np.stack([point[name] for point in checkpoints]) for name in ("weights", "statistics"))
    return Trajectory(run.config, weights, statistics, run.read_history())


def build_member_model(config: MemberConfig, dataset: Dataset) -> Network:
    """Build the member's network with its initial weights and the pixel normalisation of its training images."""
    generator = torch.Generator().manual_seed(config.random_seed("initialization"))
    model = build_model(config.architecture, dataset.image_shape, dataset.num_classes, config.dropout, generator)
    return model.set_pixel_statistics(*pixel_statistics(dataset, config.pixel_scaling))


def build_optimizer(config: MemberConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Adam with PyTorch's defaults, or SGD with momentum 0.9 or none; weight decay on convolution kernels only."""
    kernels = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    chosen = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
    momentum = 0.9 if config.optimizer == "momentum" else 0.0
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=momentum, fused=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one intra-op thread, so that sums have the same order on any machine; members use the other cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_epoch(
    configs: Sequence[MemberConfig],
    model: Network | Lockstep,
    optimizer: torch.optim.Optimizer,
    pixels: Tensor | StreamedImages,
    labels: Tensor,
    epoch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Train M members that differ only in their seeds, each on its own batches, for one epoch (from 0).

    The model is the network of one member, or of M in `Lockstep`; pixels `(n, C, H, W)`, 0..255, and labels `(n,)` are
    on its device. For streamed images the augmentation `shift-flip` is a random crop before resizing, flipped half the
    time. Returns the mean loss (nats) and accuracy over the batches of the epoch, `(M,)` each.
    """
    first, members, device = configs[0], len(configs), labels.device
    shift_here = first.augmentation == "shift-flip" and isinstance(pixels, Tensor)
    dropouts = [module for module in model.modules() if isinstance(module, Dropout)]
    augmentations = []
    for number, config in enumerate(configs):
        augmentations.append(torch.Generator().manual_seed(config.random_seed("augmentation", epoch)))
        dropout = torch.Generator(device).manual_seed(config.random_seed("dropout", epoch))
        for layer in dropouts[number::members]:
            layer.generator = dropout
    for group in optimizer.param_groups:
        group["lr"] = first.learning_rate * SCHEDULES[first.schedule](epoch, first.epochs)
    chain = Chain(first, optimizer, len(labels), epoch) if first.cycles else None
    model.train()
    losses, correct, seen = torch.zeros(members, device=device), torch.zeros(members, device=device), 0
    for inputs, targets in drawn(configs, pixels, labels, epoch):
        inputs = [model.normalize(batch) for batch in inputs]
        if shift_here:
            inputs = [shift_and_flip(batch, draws) for batch, draws in zip(inputs, augmentations, strict=True)]
        with torch.autocast(device.type, torch.bfloat16, enabled=first.precision == "bf16"):
            logits = model.layers(inputs[0] if members == 1 else torch.cat(inputs, dim=1))
        logits = logits.float().unflatten(1, (members, -1))  # (batch, M, classes)
        loss = F.cross_entropy(logits.movedim(1, 2), targets, reduction="none").mean(dim=0)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        if chain:
            chain.step()
        else:
            optimizer.step()
        losses += loss.detach() * len(targets)
        correct += (logits.detach().argmax(dim=2) == targets).sum(dim=0)
        seen += len(targets)
    return losses.cpu().numpy().astype(float) / seen, correct.cpu().numpy().astype(float) / seen


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[dict[str, np.ndarray]]:
    """Each member's optimiser state by parameter name, so that it can be stored without pickle."""
    members = getattr(model, "members", 1)
    states = [{} for _ in range(members)]
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            for number, state in enumerate(states):
                state[f"{name}/{key}"] = part(value.detach(), number, members).cpu().numpy()
    return states


def _load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, states: Sequence[dict[str, np.ndarray]]
) -> None:
    parameters = dict(model.named_parameters())
    for entry in states[0]:
        name, _, key = entry.rpartition("/")
        parameter = parameters[name]
        tensors = [torch.tensor(state[entry], device=parameter.device) for state in states]
        tensor = torch.cat(tensors) if tensors[0].ndim else tensors[0]
        # Adam's moments have the memory order of their parameter; another order would round differently.
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][key] = tensor


def train_members(configs: Sequence[MemberConfig], dataset: Dataset, runs: Sequence[Run]) -> None:
    """Train members that differ only in their seeds and store their runs, resuming where an earlier call stopped.

    Members at the same epoch are trained in lockstep, as one network, which is for a GPU. A single member on a CPU is
    bit-identical wherever it was trained and however often it was interrupted. The caller holds the runs' locks.

    Raises:
        StoreError: a run cannot be written; finished epochs are kept.
        ConfigError: training diverged: predictions are not finite.
        CannotStack: several members whose network cannot be stacked, or several chains; nothing was written.
    """
    if len(configs) > 1 and configs[0].cycles:
        raise CannotStack("chains are trained one at a time, as each has its own noise")
    points = [run.resume() for run in runs]
    epochs = [point.epoch if point else 0 for point in points]
    with one_thread():
        for epoch in sorted(set(epochs)):
            group = [number for number, done in enumerate(epochs) if done == epoch]
            chosen = [[values[number] for number in group] for values in (configs, runs, points)]
            _train_from(epoch, *chosen, dataset)


def _train_from(
    first: int,
    configs: Sequence[MemberConfig],
    runs: Sequence[Run],
    points: Sequence[ResumePoint | None],
    dataset: Dataset,
) -> None:
    """Train members that have all finished `first` epochs until their last epoch."""
    device = default_device()
    environment = {"device": str(device), "torch": torch.__version__, "commit": commit()}
    networks = [build_member_model(config, dataset).to(device) for config in configs]
    for network, point in zip(networks, points, strict=True):
        if point is not None:
            load(network, point.checkpoint["weights"], point.checkpoint["statistics"])
    model = networks[0] if len(networks) == 1 else Lockstep(networks).to(device)
    optimizer = build_optimizer(configs[0], model)
    if all(points):
        _load_optimizer(model, optimizer, [point.optimizer for point in points])
    for run, network, point in zip(runs, networks, points, strict=True):
        if point is None:
            run.write_epoch(0, _checkpoint(network), {}, None)
    images, val = dataset.train.images, dataset.val
    pixels = images if dataset.is_streamed else as_pixels(images, device)
    labels = torch.tensor(dataset.train.labels, device=device)
    for epoch in range(first, configs[0].epochs):
        start = time.perf_counter()
        losses, accuracies = train_epoch(configs, model, optimizer, pixels, labels, epoch)
        if isinstance(model, Lockstep):
            model.copy_to(networks)
        checkpoints = [_checkpoint(network) for network in networks]
        probs = [predict(network, images=val.images, **own) for network, own in zip(networks, checkpoints, strict=True)]
        if not np.isfinite(probs).all():
            rate = configs[0].learning_rate
            raise ConfigError(f"training diverged in epoch {epoch + 1}; learning_rate {rate} is too high")
        seconds = (time.perf_counter() - start) / len(configs)
        states = _optimizer_tensors(model, optimizer)
        for number, run in enumerate(runs):
            row = {
                "epoch": epoch + 1,
                "learning_rate": optimizer.param_groups[0]["lr"],
                "train_loss": losses[number],
                "train_accuracy": accuracies[number],
                "val_loss": negative_log_likelihood(probs[number], val.labels),
                "val_accuracy": accuracy(probs[number], val.labels),
                "seconds": seconds,
            }
            run.write_epoch(epoch + 1, checkpoints[number], states[number], row)
    for run in runs:
        run.finish(environment)


def _checkpoint(model: Network) -> dict[str, np.ndarray]:
    return {"weights": flatten(model), "statistics": flatten_statistics(model)}
