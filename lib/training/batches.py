"""The batches of an epoch: the order of the images, and their augmentation a whole batch at a time."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib.config import MemberConfig
from lib.data.streaming import StreamedImages


def batches(config: MemberConfig, count: int, epoch: int) -> Iterator[Tensor]:
    """Yield the training indices of one epoch, batch by batch; the same for the same (seed, order, epoch).

    `permutation` visits every image once, and the last batch may be smaller; `replacement` draws floor(n / batch size)
    full batches with replacement, as the authors' notebook does.
    """
    generator = torch.Generator().manual_seed(config.random_seed("order", epoch))
    if config.sampling == "permutation":
        yield from torch.randperm(count, generator=generator).split(config.batch_size)
    else:
        steps = max(1, count // config.batch_size)
        yield from torch.randint(count, (steps, config.batch_size), generator=generator)


def shift_and_flip(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to a tenth of its size each way (border repeated, bilinear) and flip it half the time.

    The augmentation of the Keras CIFAR-10 example, drawn per image and applied to the whole batch `(n, C, H, W)`.
    """
    draws = torch.rand(3, len(inputs), generator=generator)
    theta = torch.zeros(len(inputs), 2, 3)
    theta[:, 0, 0] = torch.where(draws[0] < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = 1
    # The grid spans -1 to 1, two units for the whole image.
    theta[:, :, 2] = 2 * 0.1 * (2 * draws[1:].T - 1)
    grid = F.affine_grid(theta.to(inputs.device), list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


def drawn(
    configs: Sequence[MemberConfig], pixels: Tensor | StreamedImages, labels: Tensor, epoch: int
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Yield the batches of an epoch: pixels `(batch, C, H, W)` of each member, and labels `(batch, M)`."""
    device = labels.device
    order = list(zip(*(batches(config, len(labels), epoch) for config in configs), strict=True))
    streams = []
    if isinstance(pixels, StreamedImages):
        for config, own in zip(configs, zip(*order, strict=True), strict=True):
            seed = None if config.augmentation == "none" else config.random_seed("augmentation", epoch)
            streams.append(pixels.batches(own, seed))
    for chosen in order:
        chosen = [indices.to(device) for indices in chosen]
        inputs = [next(stream).to(device, non_blocking=True) for stream in streams]
        inputs = inputs or [pixels[indices] for indices in chosen]
        yield inputs, torch.stack([labels[indices] for indices in chosen], dim=1)
