"""Pairs of runs, and the path of low loss between their final solutions: trained once, kept in the run store."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from lib.config import Experiment
from lib.data.datasets import Dataset
from lib.errors import ConfigError, unknown
from lib.landscape.paths import CURVES, bezier, chain, train_connector
from lib.models.networks import Network
from lib.run.progress import progress
from lib.run.store import RunStore
from lib.training.trainer import Trajectory

#: Part of every key: raise it whenever the same settings would give another path.
VERSION = 1

#: As Garipov et al. have them, see `lib.landscape.paths.train_connector`.
BATCH_SIZE, WEIGHT_DECAY = 128, 5e-4

#: Where no learning rate is given: rates that in a few epochs bring the training loss of the path down to about that of
#: its ends, less than half of those at which SmallCNN on Fashion-MNIST begins to diverge. Garipov et al. take 0.015 to
#: 0.03 and hundreds of epochs.
LEARNING_RATES = {"bezier": 0.1, "chain": 0.02}

#: Of these rates for raw pixels, whose values up to 255 make gradients large.
RAW_PIXELS_SHARE = 0.1


def chosen_pair(runs: list[int] | None, num_members: int) -> tuple[int, int]:
    """Two runs as indices from 0, from their numbers as a reader counts them, from 1; None is the first two.

    Raises `ConfigError` where these are not two different runs of so many.
    """
    if runs is None:
        return 0, 1
    whole = all(isinstance(run, int) and not isinstance(run, bool) and 1 <= run <= num_members for run in runs)
    if len(runs) != 2 or not whole or runs[0] == runs[1]:
        raise ConfigError(f"runs must be two different numbers from 1 to {num_members}, as in [1, 2], got {runs}")
    return runs[0] - 1, runs[1] - 1


def disjoint_pairs(count: int | None, num_members: int) -> list[tuple[int, int]]:
    """`count` pairs of runs, as indices from 0, no run in two of them: (0, 1), (2, 3) and so on.

    None is two pairs, or as many as there are. Raises `ConfigError` for more, and for none.
    """
    most = num_members // 2
    count = min(2, most) if count is None else count
    if not 1 <= count <= most:
        raise ConfigError(f"num_pairs must be from 1 to {most} for {num_members} runs, two a pair, got {count}")
    return [(2 * pair, 2 * pair + 1) for pair in range(count)]


def positions(num_points: int) -> np.ndarray:
    """Where a path is evaluated: from 0 to 1, both ends and the middle included; `ConfigError` where they cannot be."""
    if num_points is None or num_points < 3 or num_points % 2 == 0:
        raise ConfigError(f"num_points must be an odd number, at least 3, so that the middle is one, got {num_points}")
    return np.linspace(0, 1, num_points)


@dataclass(frozen=True)
class Connector:
    """How a path between two final solutions is trained: the arguments of `lib.landscape.paths.train_connector`.

    Raises:
        ConfigError: a value that is not allowed, in one line.
    """

    curve: str
    epochs: int
    learning_rate: float
    seed: int
    batch_size: int = BATCH_SIZE
    weight_decay: float = WEIGHT_DECAY

    def __post_init__(self):
        if self.curve not in CURVES:
            raise ConfigError(unknown("curve", self.curve, CURVES))
        if self.epochs is None or self.epochs < 1:
            raise ConfigError(f"curve_epochs must be at least 1, got {self.epochs}")
        if not 0 < self.learning_rate < float("inf"):
            raise ConfigError(f"curve_learning_rate must be above 0, got {self.learning_rate}")

    @classmethod
    def of(cls, experiment: Experiment, curve: str, epochs: int, learning_rate: float | None) -> "Connector":
        """For runs of an experiment: its seed, and where no learning rate is given the one of `LEARNING_RATES`."""
        if learning_rate is None:
            share = RAW_PIXELS_SHARE if experiment.pixel_scaling == "raw" else 1
            learning_rate = share * LEARNING_RATES.get(curve, 1)
        return cls(curve, epochs, float(learning_rate), experiment.seed)

    def middle(
        self, model: Network, first: Trajectory, second: Trajectory, dataset: Dataset, store: RunStore
    ) -> np.ndarray:
        """The trained middle of the path from one run's final solution to another's, `(P,)`.

        It is read from the store, or trained on the training images and kept there.
        """
        recipe = {"version": VERSION, "members": [first.member.key, second.member.key]} | asdict(self)

        def train() -> dict[str, np.ndarray]:
            with progress(f"{dataset.name} / path of low loss", self.epochs) as tell:
                middle = train_connector(
                    model,
                    first.final,
                    second.final,
                    dataset.train.images,
                    dataset.train.labels,
                    progress=lambda epoch, loss: tell(epoch),
                    **asdict(self),
                )
            return {"middle": middle}

        return store.cached("connector", recipe, train)["middle"]

    def points(self, first: Trajectory, second: Trajectory, middle: np.ndarray, t: ArrayLike) -> np.ndarray:
        """The weights at `t (n,)` of the path with that middle, `(n, P)`."""
        return {"bezier": bezier, "chain": chain}[self.curve](first.final, middle, second.final, t)
