"""What a study would take, from what a few steps take here: hours, disk and memory.

Plan → training_rate (measured) → hours, disk
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib.config import PRESETS, Experiment
from lib.data.streaming import StreamedImages
from lib.models.networks import Network, build_model
from lib.models.predict import as_pixels
from lib.models.weights import flatten, flatten_statistics
from lib.run.engines import default_device
from lib.training.trainer import build_optimizer, one_thread, train_epoch


@dataclass(frozen=True)
class Plan:
    """An experiment, and what of its data decides how long it takes; the data need not be there.

    Attributes:
        experiment: what is trained.
        image_shape: `(H, W, C)`.
        num_classes: K.
        train_images: training images, those for validation left out.
    """

    experiment: Experiment
    image_shape: tuple[int, int, int]
    num_classes: int
    train_images: int

    def _model(self) -> Network:
        """The network; raises `ConfigError` where it needs a package that is missing."""
        return build_model(self.experiment.architecture, self.image_shape, self.num_classes)

    @cached_property
    def checkpoint_size(self) -> int:
        """Numbers that one checkpoint holds: weights and BatchNorm statistics."""
        model = self._model()
        return flatten(model).size + flatten_statistics(model).size

    @property
    def disk(self) -> int:
        """Bytes of the checkpoints of all members, 4 a number, one before training and one after each epoch.

        As many are in memory while their trajectories are.
        """
        return 4 * self.checkpoint_size * (self.experiment.epochs + 1) * self.experiment.num_members

    @cached_property
    def flops(self) -> int:
        """Operations of the convolutions and matrix products that training on one image takes, forward and backward."""
        height, width, channels = self.image_shape
        with FlopCounterMode(display=False) as counter:
            # Two images, as BatchNorm needs more than one.
            self._model().layers(torch.zeros(2, channels, height, width)).sum().backward()
        return counter.get_total_flops() // 2

    @property
    def images(self) -> int:
        """Training images that all members go through, each as often as it is seen."""
        return self.experiment.num_members * self.experiment.epochs * self.train_images

    def hours(self, images_per_second: float) -> float:
        """Hours of training all members one after the other, epochs times images divided by the rate of one of them."""
        return self.images / images_per_second / 3600


#: The studies of the paper's figures 7 and 10, as in `notebooks/params`. The validation images, 500 in preset `paper`,
#: are taken from the 50,000 training images of CIFAR-100 and the 1,281,167 of ImageNet (ILSVRC 2012).
PLANS: dict[str, Plan] = {
    "CIFAR-100": Plan(
        Experiment.from_preset("paper", dataset="cifar100", architecture="resnet20_v1", batch_size=128),
        *((32, 32, 3), 100, 50_000 - 500),
    ),
    "ImageNet": Plan(
        Experiment.from_preset(
            "paper",
            dataset="imagefolder:/path/to/imagenet",
            architecture="resnet50_v2",
            num_members=4,
            precision="bf16",
        ),
        *((224, 224, 3), 1000, 1_281_167 - 500),
    ),
}


#: Image shape, classes and training images of each preset's dataset.
_PRESET_DATA = {
    "digits": ((8, 8, 1), 10, 1200),
    "fashion_mnist_mini": ((28, 28, 1), 10, 10_000),
    "fashion_mnist": ((28, 28, 1), 10, 60_000 - 2000),
    "cifar10": ((32, 32, 3), 10, 50_000 - 500),
}


def preset_plans(preset: str, others: Mapping[str, Experiment]) -> dict[str, Plan]:
    """All that the pages of a preset train, by what it is for: the networks that most of them share, and `others`."""
    settings = PRESETS[preset]
    data = _PRESET_DATA[settings["dataset"]]
    names = dict.fromkeys([*settings["architectures"], *settings["sampled_architectures"]])
    experiments = {f"findings, {name}": Experiment.from_preset(preset, architecture=name) for name in names}
    experiments |= {f"{title}, {other.architecture}": other for title, other in others.items()}
    return {title: Plan(experiment, *data) for title, experiment in experiments.items()}


def training_rate(plan: Plan, batch_size: int | None = None, steps: int = 2) -> float:
    """Images a second of one member in training, measured here on images of noise that are in memory already.

    One step is not counted, which fills caches and chooses algorithms. On a CPU a member has one thread, as ever.
    `batch_size` images a step (None: those of the experiment), and so many `steps` that are counted. Raises
    `ConfigError` where the network needs a package that is missing.
    """
    experiment = replace(plan.experiment, batch_size=batch_size or plan.experiment.batch_size)
    (member, *_) = experiment.members("noise", "")
    device, rng = default_device(), np.random.default_rng(0)
    count = member.batch_size * steps
    images = rng.integers(0, 256, (count, *plan.image_shape), dtype=np.uint8)
    model = build_model(member.architecture, plan.image_shape, plan.num_classes, member.dropout).to(device)
    optimizer = build_optimizer(member, model)
    pixels = as_pixels(images, device)
    labels = torch.tensor(rng.integers(0, plan.num_classes, count), device=device)
    with one_thread():
        train_epoch([member], model, optimizer, pixels[: member.batch_size], labels[: member.batch_size], 0)
        start = time.perf_counter()
        train_epoch([member], model, optimizer, pixels, labels, 0)
        # It ends with numbers of the device's on the CPU, so nothing is still under way.
        return count / (time.perf_counter() - start)


def reading_rate(images: StreamedImages, count: int = 64) -> float:
    """Images a second that one worker reads and crops at random, measured on the first `count`."""
    chosen = replace(images[:count], workers=0)
    start = time.perf_counter()
    for _ in chosen.batches([range(len(chosen))], seed=0):
        pass
    return len(chosen) / (time.perf_counter() - start)


def table(plans: Mapping[str, Plan], rates: Mapping[str, float]) -> pd.DataFrame:
    """What the plans take, as text for a page: one column a plan, `rates` in images a second by the same titles."""
    columns = {}
    for title, plan in plans.items():
        chosen, hours, gigabytes = plan.experiment, plan.hours(rates[title]), plan.disk / 1e9
        columns[title] = {
            "network": chosen.architecture,
            "runs": str(chosen.num_members),
            "epochs of each": str(chosen.epochs),
            "training images": f"{plan.train_images:,}",
            "precision": chosen.precision,
            "images a second": f"{rates[title]:,.3g}" if rates[title] < 1000 else f"{rates[title]:,.0f}",
            "hours, one run after the other": f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}",
            "checkpoints on disk, GB": f"{gigabytes:,.0f}" if gigabytes >= 100 else f"{gigabytes:.2g}",
        }
    return pd.DataFrame(columns).rename_axis("").reset_index()
