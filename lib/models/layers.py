"""Layers of the paper's networks: dropout with its own generator, and the blocks of CNNs and ResNets."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.models.kernels import dropout_pool, random_bytes


class Dropout(nn.Module):
    """Dropout whose mask comes from its own generator, one random byte per element.

    The probability is therefore rounded to a multiple of 1/256 (0.1 becomes 26/256 = 0.1016), and kept activations are
    scaled by the inverse of the rounded keep probability. On a CPU the bytes come from SplitMix64, seeded by the
    generator: drawing as `torch.nn.Dropout` does would take nearly half of a training step of a small network.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.threshold = round(256 * probability)
        self.generator: torch.Generator | None = None

    def draw(self, activations: Tensor) -> Tensor | None:
        """Draw one random byte per activation, in the order `(n, H, W, C)`; a byte below `threshold` drops it.

        None if nothing is dropped: outside training, or with probability 0.
        """
        if not self.training or self.threshold == 0:
            return None
        if activations.device.type == "cpu":
            return random_bytes(activations.numel(), self.generator)
        words = torch.empty((activations.numel() + 7) // 8, dtype=torch.int64, device=activations.device)
        # All 64 bits: without bounds `random_` never sets the sign bit, which would bias every eighth byte.
        words.random_(-(2**63), None, generator=self.generator)
        return words.view(torch.uint8)[: activations.numel()]

    def forward(self, activations: Tensor) -> Tensor:
        """Zero elements at random in training mode; the identity otherwise."""
        random = self.draw(activations)
        if random is None:
            return activations
        # Comparing floats in place is ten times as fast as comparing bytes and converting the result.
        mask = random.to(activations.dtype).ge_(self.threshold).mul_(256 / (256 - self.threshold))
        if activations.ndim != 4:
            return activations * mask.view(activations.shape)
        # Channels last, like the activations: a product of different memory orders is several times slower.
        n, c, h, w = activations.shape
        return activations * mask.view(n, h, w, c).permute(0, 3, 1, 2)


class Block(nn.Sequential):
    """3x3 convolution, dropout, 2x2 max-pooling and ReLU (left out with `rectify=False`).

    The order and the pooling (TensorFlow's SAME: a last odd row or column counts) follow the authors' notebook. On a
    CPU everything after the convolution is one pass over memory, with the same result.
    """

    def __init__(self, incoming: int, outgoing: int, dropout: float, rectify: bool):
        activation = [nn.ReLU(inplace=True)] if rectify else []
        super().__init__(
            nn.Conv2d(incoming, outgoing, 3, padding=1),
            Dropout(dropout),
            nn.MaxPool2d(2, ceil_mode=True),
            *activation,
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """`(n, incoming, H, W)` to `(n, outgoing, ceil(H / 2), ceil(W / 2))`."""
        convolution, dropout, *_ = self
        # Members in lockstep, which are for GPUs, have another class of dropout.
        if inputs.device.type != "cpu" or not isinstance(dropout, Dropout):
            return super().forward(inputs)
        activations = convolution(inputs)
        return dropout_pool(activations, dropout.draw(activations), dropout.threshold, rectify=len(self) == 4)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm around a shortcut (He et al. 2015)."""

    def __init__(self, incoming: int, outgoing: int, stride: int, shortcut: nn.Module, conv: Callable, norm: Callable):
        super().__init__()
        self.residual = nn.Sequential(
            conv(incoming, outgoing, 3, stride=stride, padding=1),
            norm(outgoing),
            nn.ReLU(inplace=True),
            conv(outgoing, outgoing, 3, padding=1),
            norm(outgoing),
        )
        self.shortcut = shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        """`(n, incoming, H, W)` to `(n, outgoing, H / stride, W / stride)`."""
        return self.residual(inputs).add_(self.shortcut(inputs)).relu_()
