"""The trainer: one member, from its first weights to its last, a checkpoint an epoch."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.config import ConfigError, MemberConfig
from lib.data import Dataset, pixel_statistics
from lib.metrics import accuracy, negative_log_likelihood
from lib.models import Dropout, Network, build_model
from lib.store import Run
from lib.weights import as_pixels, default_device, flatten, flatten_statistics, load, predict

#: Learning rate of an epoch (from 0) of `epochs`, as a factor of the base rate. The paper's epoch numbers became
#: fractions of the run, so that a shorter run sees the whole schedule.
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda epoch, epochs: 1.0,
    # Halved every 10 of 40 epochs.
    "halving": lambda epoch, epochs: 0.5 ** (4 * epoch // epochs),
    # After epochs 80, 120, 160 and 180 of 200.
    "keras-resnet": lambda epoch, epochs: (1.0, 0.1, 0.01, 1e-3, 5e-4)[
        sum(epoch > fraction * epochs for fraction in (0.4, 0.6, 0.8, 0.9))
    ],
    # At epochs 80 and 120 of 160.
    "step": lambda epoch, epochs: 0.1 ** sum(epoch >= fraction * epochs for fraction in (0.5, 0.75)),
    "cosine": lambda epoch, epochs: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),
}


@dataclass(frozen=True)
class Trajectory:
    """One member's way through weight space.

    Attributes:
        member: what decided it.
        weights: float32 `(T, P)`: the weights at initialisation and after each epoch, so T = epochs + 1.
        statistics: float32 `(T, S)`: BatchNorm running statistics at the same moments; S is 0 without BatchNorm.
        history: one row an epoch (from 1): learning rate, mean training loss and accuracy (of the noisy network while
            it learns), validation loss (nats) and accuracy, seconds.
    """

    member: MemberConfig
    weights: np.ndarray
    statistics: np.ndarray
    history: pd.DataFrame

    @property
    def final(self) -> np.ndarray:
        """The last weights, `(P,)`."""
        return self.weights[-1]

    @property
    def final_statistics(self) -> np.ndarray:
        """The last BatchNorm statistics, `(S,)`."""
        return self.statistics[-1]


def load_trajectory(run: Run) -> Trajectory:
    """Read a complete run; raises `DamagedRun` where a file is not what was written."""
    checkpoints = [run.read_epoch(epoch) for epoch in range(run.config.epochs + 1)]
    weights, statistics = (np.stack([point[name] for point in checkpoints]) for name in ("weights", "statistics"))
    return Trajectory(run.config, weights, statistics, run.read_history())


def build_member_model(config: MemberConfig, dataset: Dataset) -> Network:
    """The member's network at its first weights, with the pixel normalisation of its training images."""
    generator = torch.Generator().manual_seed(config.random_seed("initialization"))
    model = build_model(config.architecture, dataset.image_shape, dataset.num_classes, config.dropout, generator)
    return model.set_pixel_statistics(*pixel_statistics(dataset, config.pixel_scaling))


def build_optimizer(config: MemberConfig, model: Network) -> torch.optim.Optimizer:
    """Adam with PyTorch's defaults, or SGD with momentum 0.9; weight decay on convolution kernels only."""
    kernels = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    chosen = {id(kernel) for kernel in kernels}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [{"params": kernels, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, fused=True)


def batches(config: MemberConfig, count: int, epoch: int) -> Iterator[Tensor]:
    """The training indices of one epoch, a batch at a time; the same for the same (seed, order, epoch).

    `permutation` visits every image once, the last batch being smaller; `replacement` draws floor(n / batch size) full
    batches with replacement, as the authors' notebook does.
    """
    generator = torch.Generator().manual_seed(config.random_seed("order", epoch))
    if config.sampling == "permutation":
        yield from torch.randperm(count, generator=generator).split(config.batch_size)
    else:
        steps = max(1, count // config.batch_size)
        yield from torch.randint(count, (steps, config.batch_size), generator=generator)


def shift_and_flip(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to a tenth of its size each way (border repeated, bilinear) and mirrored half the time.

    The augmentation of the Keras CIFAR-10 example, drawn for every image, done on the whole batch `(n, C, H, W)`.
    """
    draws = torch.rand(3, len(inputs), generator=generator)
    theta = torch.zeros(len(inputs), 2, 3)
    theta[:, 0, 0] = torch.where(draws[0] < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = 1
    # The grid spans -1 to 1, two units for the whole image.
    theta[:, :, 2] = 2 * 0.1 * (2 * draws[1:].T - 1)
    grid = F.affine_grid(theta.to(inputs.device), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """One intra-op thread, so that sums are made in the same order whatever the machine; members use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_epoch(
    config: MemberConfig, model: Network, optimizer: torch.optim.Optimizer, pixels: Tensor, labels: Tensor, epoch: int
) -> tuple[float, float]:
    """Train one epoch (from 0); returns the mean loss (nats) and accuracy over its batches."""
    device = pixels.device
    augmentation = torch.Generator().manual_seed(config.random_seed("augmentation", epoch))
    dropout = torch.Generator(device).manual_seed(config.random_seed("dropout", epoch))
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = dropout
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * SCHEDULES[config.schedule](epoch, config.epochs)
    model.train()
    total_loss, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    seen = 0
    for chosen in batches(config, len(labels), epoch):
        chosen = chosen.to(device)
        inputs, targets = model.normalize(pixels[chosen]), labels[chosen]
        if config.augmentation == "shift-flip":
            inputs = shift_and_flip(inputs, augmentation)
        logits = model.layers(inputs)
        loss = F.cross_entropy(logits, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total_loss += loss.detach() * len(targets)
        correct += (logits.detach().argmax(dim=1) == targets).sum()
        seen += len(targets)
    return total_loss.item() / seen, correct.item() / seen


def _optimizer_tensors(model: Network, optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """The optimiser's state by parameter name, so that it can be stored without pickle."""
    return {
        f"{name}/{key}": value.detach().cpu().numpy()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
        if isinstance(value, Tensor)
    }


def _load_optimizer(model: Network, optimizer: torch.optim.Optimizer, tensors: dict[str, np.ndarray]) -> None:
    for name, parameter in model.named_parameters():
        for key, value in tensors.items():
            if key.rpartition("/")[0] == name:
                tensor = torch.tensor(value, device=parameter.device)
                # Adam's moments have the memory order of their parameter; another order would round otherwise.
                if tensor.shape == parameter.shape:
                    tensor = torch.empty_like(parameter).copy_(tensor)
                optimizer.state[parameter][key.rpartition("/")[2]] = tensor


def train_member(config: MemberConfig, dataset: Dataset, run: Run, device: torch.device | None = None) -> None:
    """Train one member into its run, from where an earlier call stopped; a complete run is left as it is.

    The caller holds the run's lock. On a CPU the result is the same to the bit wherever and in however many pieces
    it was trained.

    Raises:
        StoreError: the run cannot be written; finished epochs stay.
        ConfigError: the weights left the finite numbers.
    """
    with one_thread():
        device = device or default_device()
        model = build_member_model(config, dataset).to(device)
        optimizer = build_optimizer(config, model)
        done = run.resume()
        if done is None:
            run.write_epoch(0, _checkpoint(model), {}, None)
            first = 0
        else:
            first = done.epoch
            load(model, done.checkpoint["weights"], done.checkpoint["statistics"])
            _load_optimizer(model, optimizer, done.optimizer)
        pixels = as_pixels(dataset.train.images, device)
        labels = torch.tensor(dataset.train.labels, device=device)
        for epoch in range(first, config.epochs):
            start = time.perf_counter()
            loss, train_accuracy = train_epoch(config, model, optimizer, pixels, labels, epoch)
            point = _checkpoint(model)
            probs = predict(model, point["weights"], dataset.val.images, point["statistics"])
            if not np.isfinite(probs).all():
                raise ConfigError(
                    f"training diverged in epoch {epoch + 1}; learning_rate {config.learning_rate} is too high"
                )
            row = {
                "epoch": epoch + 1,
                "learning_rate": optimizer.param_groups[0]["lr"],
                "train_loss": loss,
                "train_accuracy": train_accuracy,
                "val_loss": negative_log_likelihood(probs, dataset.val.labels),
                "val_accuracy": accuracy(probs, dataset.val.labels),
                "seconds": time.perf_counter() - start,
            }
            run.write_epoch(epoch + 1, point, _optimizer_tensors(model, optimizer), row)
        run.finish({"device": str(device), "torch": torch.__version__})


def _checkpoint(model: Network) -> dict[str, np.ndarray]:
    return {"weights": flatten(model), "statistics": flatten_statistics(model)}
