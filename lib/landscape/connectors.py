"""Paths of low loss between the final solutions of two runs: which pairs to connect, and how to train a path once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import nn
from torch.func import functional_call

from lib.config import Experiment
from lib.data.datasets import Dataset
from lib.errors import ConfigError, unknown
from lib.landscape.paths import CURVES
from lib.landscape.planes import combine, stack
from lib.models.networks import Network
from lib.models.predict import as_pixels
from lib.run.progress import progress
from lib.run.store import RunStore
from lib.training.trainer import Trajectory, one_thread

#: Part of every key: raise this whenever the same settings would give a different path.
VERSION = 1

#: Default learning rates. In a few epochs they bring the training loss of the path down to about that of its ends, and
#: they are less than half of the rates at which SmallCNN on Fashion-MNIST begins to diverge. Garipov et al. use 0.015
#: to 0.03 and hundreds of epochs.
LEARNING_RATES = {"bezier": 0.1, "chain": 0.02}

#: Factor on these rates for raw pixels, whose values up to 255 make gradients large.
RAW_PIXELS_SHARE = 0.1


def disjoint_pairs(count: int | None, num_members: int) -> list[tuple[int, int]]:
    """`count` pairs of runs, as indices from 0, with no run in two pairs: (0, 1), (2, 3) and so on.

    None means two pairs, or as many as there are. Raises `ConfigError` for more pairs than there are, and for none.
    """
    most = num_members // 2
    count = min(2, most) if count is None else count
    if not 1 <= count <= most:
        raise ConfigError(f"num_pairs must be from 1 to {most} for {num_members} runs, two per pair, got {count}")
    return [(2 * pair, 2 * pair + 1) for pair in range(count)]


@dataclass(frozen=True)
class Connector:
    """How a path between two final solutions is trained.

    Attributes:
        curve: one of `lib.landscape.paths.CURVES`.
        epochs: passes through the training images.
        learning_rate: before `learning_rate_factor`. Garipov et al. use 0.015 to 0.03.
        seed: of the order of the images and of all t. The same seed gives the same bits on one machine's CPU.
        batch_size: images per step.
        weight_decay: Garipov et al. use 3e-4 to 5e-4.

    Raises:
        ConfigError: a value is not allowed; the message is one line.
    """

    curve: str
    epochs: int
    learning_rate: float
    seed: int
    batch_size: int = 128
    weight_decay: float = 5e-4

    def __post_init__(self):
        if self.curve not in CURVES:
            raise ConfigError(unknown("curve", self.curve, CURVES))
        if self.epochs is None or self.epochs < 1:
            raise ConfigError(f"curve_epochs must be at least 1, got {self.epochs}")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"curve_learning_rate must be above 0, got {self.learning_rate}")

    @classmethod
    def of(cls, experiment: Experiment, curve: str, epochs: int, learning_rate: float | None) -> "Connector":
        """A connector with an experiment's seed and, if no learning rate is given, one of `LEARNING_RATES`."""
        if learning_rate is None:
            share = RAW_PIXELS_SHARE if experiment.pixel_scaling == "raw" else 1
            learning_rate = share * LEARNING_RATES.get(curve, 1)
        return cls(curve, epochs, float(learning_rate), experiment.seed)

    def middle(
        self, model: Network, first: Trajectory, second: Trajectory, dataset: Dataset, store: RunStore
    ) -> np.ndarray:
        """The trained middle of the path from one run's final solution to another's, `(P,)`.

        Read from the store if it is there; otherwise trained on the training images and stored.
        """
        recipe = {"version": VERSION, "members": [first.member.key, second.member.key]} | asdict(self)

        def train() -> dict[str, np.ndarray]:
            data = dataset.train.images, dataset.train.labels
            with progress(f"{dataset.name} / path of low loss", self.epochs) as tell:
                return {"middle": train_connector(model, first.final, second.final, *data, self, tell)}

        return store.cached("connector", recipe, train)["middle"]

    def points(self, first: Trajectory, second: Trajectory, middle: np.ndarray, t: ArrayLike) -> np.ndarray:
        """The weights `(n, P)` at positions `t (n,)` of the path with the given middle."""
        return combine(CURVES[self.curve](np.asarray(t, dtype=np.float64)), stack([first.final, middle, second.final]))


def learning_rate_factor(epoch: int, epochs: int) -> float:
    """The factor on the learning rate in an epoch (from 1) of `epochs`, in [0.01, 1].

    1 for the first half, then linear down to 0.01 at nine tenths of the epochs, then 0.01. Source: the code of Garipov
    et al. 2018.
    """
    return float(np.interp(epoch / epochs, [0.5, 0.9], [1, 0.01]))


def train_connector(
    model: Network,
    start: ArrayLike,
    end: ArrayLike,
    images: np.ndarray,
    labels: np.ndarray,
    settings: Connector,
    tell: Callable[[int], None] = lambda epoch: None,
) -> np.ndarray:
    """The middle point of a path of low training loss between two optima, `start (P,)` and `end (P,)`: float32 `(P,)`.

    The recipe of Garipov et al. 2018: the middle begins halfway between the ends, which are fixed; each batch is
    evaluated at one point θ(t) of the curve, t drawn uniformly from 0 to 1, with the loss cross-entropy +
    weight_decay/2 |θ(t)|², and SGD with momentum 0.9 moves the middle. Two things differ: images are not augmented,
    and dropout is off, so that the loss minimised along the path is the loss that is later measured on it.

    The weights of `model` do not change; BatchNorm normalises by the batch, as in training, and its statistics are
    overwritten. Training images are uint8 `(n, H, W, C)`, `labels (n,)`; `tell` is called after each epoch with its
    number, from 1. Raises `ConfigError` if weights become infinite or nan.
    """
    parameters = dict(model.named_parameters())
    sizes = [parameter.numel() for parameter in parameters.values()]
    device = next(model.parameters()).device
    pixels, targets = as_pixels(images, device), torch.tensor(labels, dtype=torch.int64, device=device)
    ends = stack([start, end])
    halfway = combine(np.array([[0.5, 0.5]]), ends)[0]
    start, end = torch.tensor(ends, dtype=torch.float32, device=device)
    middle = torch.tensor(halfway, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([middle], lr=settings.learning_rate, momentum=0.9)
    generator = torch.Generator().manual_seed(settings.seed)
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    with one_thread():
        for epoch in range(1, settings.epochs + 1):
            optimizer.param_groups[0]["lr"] = settings.learning_rate * learning_rate_factor(epoch, settings.epochs)
            for chosen in torch.randperm(len(targets), generator=generator).split(settings.batch_size):
                t = torch.rand(1, generator=generator, dtype=torch.float64).numpy()
                first, second, third = map(float, CURVES[settings.curve](t)[0])
                point = first * start + second * middle + third * end
                pieces = [
                    piece.view(parameter.shape)
                    for piece, parameter in zip(point.split(sizes), parameters.values(), strict=True)
                ]
                weights = dict(zip(parameters, pieces, strict=True))
                chosen = chosen.to(device)
                loss = F.cross_entropy(functional_call(model, weights, (pixels[chosen],)), targets[chosen])
                optimizer.zero_grad()
                (loss + 0.5 * settings.weight_decay * point.square().sum()).backward()
                optimizer.step()
            if not torch.isfinite(middle).all():
                raise ConfigError(
                    f"the path diverged in epoch {epoch}; curve_learning_rate {settings.learning_rate} is too high"
                )
            tell(epoch)
    model.eval()
    return middle.detach().cpu().numpy()
