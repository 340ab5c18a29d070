"""The paper's networks, from pixels to logits; all weights are drawn from a given generator."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lib.errors import ConfigError, unknown
from lib.models.layers import BasicBlock, Block


class Network(nn.Module):
    """A network that takes raw pixels of images `(H, W, C)` and normalises them on its own device.

    Its `layers` map normalised pixels `(n, C, H, W)` to logits `(n, K)`.
    """

    def __init__(self, layers: nn.Module, image_shape: tuple[int, int, int], num_classes: int):
        super().__init__()
        self.layers = layers
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.register_buffer("shift", torch.zeros(1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.ones(1, 1, 1), persistent=False)

    def set_pixel_statistics(self, shift, scale) -> "Network":
        """Normalise pixels as `(pixels - shift) / scale`; both must broadcast to `(H, W, C)`."""
        for name, values in (("shift", shift), ("scale", scale)):
            values = torch.as_tensor(values, dtype=torch.float32).permute(2, 0, 1)
            setattr(self, name, values.to(getattr(self, name).device))
        return self

    def normalize(self, pixels: Tensor) -> Tensor:
        """Float32 network inputs `(n, C, H, W)` from pixels 0..255 of the same shape."""
        return (pixels.float() - self.shift) / self.scale

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `(n, K)` of pixels `(n, C, H, W)`, 0..255."""
        return self.layers(self.normalize(pixels))


def _cnn(image_shape: tuple[int, int, int], num_classes: int, dropout: float, channels: tuple[int, ...]) -> nn.Module:
    """Blocks, the last one without ReLU, and one dense layer."""
    height, width, incoming = image_shape
    blocks: list[nn.Module] = []
    for number, outgoing in enumerate(channels):
        blocks.append(Block(incoming, outgoing, dropout, rectify=number + 1 < len(channels)))
        height, width, incoming = math.ceil(height / 2), math.ceil(width / 2), outgoing
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(height * width * incoming, num_classes))


def _resnet(
    image_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, ...],
    blocks: int,
    conv: Callable[..., nn.Module],
    norm: Callable[[int], nn.Module],
    shortcut: Callable[[int, int], nn.Module],
) -> nn.Module:
    """A CIFAR stem, then `blocks` basic blocks per width; the first block of each later width halves the image."""
    incoming = widths[0]
    layers: list[nn.Module] = [conv(image_shape[2], incoming, 3, padding=1), norm(incoming), nn.ReLU(inplace=True)]
    for outgoing in widths:
        for block in range(blocks):
            down = block == 0 and outgoing != widths[0]
            around = shortcut(incoming, outgoing) if down else nn.Identity()
            layers.append(BasicBlock(incoming, outgoing, 2 if down else 1, around, conv, norm))
            incoming = outgoing
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(incoming, num_classes))


def _resnet_v1(image_shape: tuple[int, int, int], num_classes: int, blocks: int) -> nn.Module:
    """ResNet v1 as in the Keras CIFAR-10 example: 16 filters, biases everywhere, shortcuts without BatchNorm."""
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    shortcut = partial(nn.Conv2d, kernel_size=1, stride=2)
    return _resnet(image_shape, num_classes, (16, 32, 64), blocks, nn.Conv2d, norm, shortcut)


def _resnet18(image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """ResNet-18 as in the cSG-MCMC code: no biases before BatchNorm, shortcuts with BatchNorm."""
    conv = partial(nn.Conv2d, bias=False)

    def shortcut(incoming: int, outgoing: int) -> nn.Module:
        return nn.Sequential(conv(incoming, outgoing, 1, stride=2), nn.BatchNorm2d(outgoing))

    return _resnet(image_shape, num_classes, (64, 128, 256, 512), 2, conv, nn.BatchNorm2d, shortcut)


def _resnet50_v2(image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """ResNet-50 v2 (pre-activation), timm's `resnetv2_50`."""
    try:
        import timm
    except ImportError:
        raise ConfigError("architecture 'resnet50_v2' needs timm: pip install 'timm>=1.0'") from None
    return timm.create_model("resnetv2_50", in_chans=image_shape[2], num_classes=num_classes)


#: Builders of the layers, by name: `(image_shape, num_classes, dropout) -> nn.Module`.
ARCHITECTURES: dict[str, Callable[[tuple[int, int, int], int, float], nn.Module]] = {
    "small_cnn": lambda shape, classes, dropout: _cnn(shape, classes, dropout, (16, 32, 32)),
    "medium_cnn": lambda shape, classes, dropout: _cnn(shape, classes, dropout, (64, 128, 256, 256)),
    "resnet8_v1": lambda shape, classes, dropout: _resnet_v1(shape, classes, 1),
    "resnet20_v1": lambda shape, classes, dropout: _resnet_v1(shape, classes, 3),
    "resnet18": lambda shape, classes, dropout: _resnet18(shape, classes),
    "resnet50_v2": lambda shape, classes, dropout: _resnet50_v2(shape, classes),
}


@torch.no_grad()
def initialize(model: nn.Module, generator: torch.Generator) -> None:
    """Reinitialise all weights in place, in the order of `model.modules()`.

    Networks without BatchNorm get Xavier-uniform weights *and biases*, as in the authors' notebook (which treats a bias
    as a 1 x c matrix). Networks with BatchNorm get He-normal weights truncated at two standard deviations and zero
    biases, as in the Keras example.
    """
    normalized = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        outgoing, incoming = module.weight.shape[:2]
        field = module.weight[0, 0].numel()
        if normalized:
            # 0.87962566 is the standard deviation of a standard normal truncated at two.
            std = math.sqrt(2 / (incoming * field)) / 0.87962566103423978
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
        else:
            limit = math.sqrt(6 / ((incoming + outgoing) * field))
            module.weight.uniform_(-limit, limit, generator=generator)
        if module.bias is not None:
            limit = 0 if normalized else math.sqrt(6 / (1 + outgoing))
            module.bias.uniform_(-limit, limit, generator=generator)


def build_model(
    architecture: str,
    image_shape: tuple[int, int, int],
    num_classes: int,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Network:
    """Build a network of `ARCHITECTURES` for images `(H, W, C)`, initialised, on the CPU, channels last in memory.

    `dropout` is the probability after each convolution of the CNNs; the ResNets have none. Weights are drawn from
    `generator` (default: seed 0). Raises `ConfigError` for an unknown architecture, or if timm is needed and missing.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(unknown("architecture", architecture, ARCHITECTURES))
    # PyTorch initialises new layers from its global generator, whose state is restored; the values are replaced.
    with torch.random.fork_rng(devices=[]):
        layers = ARCHITECTURES[architecture](tuple(image_shape), num_classes, dropout)
    network = Network(layers, image_shape, num_classes)
    initialize(network, generator or torch.Generator().manual_seed(0))
    return network.to(memory_format=torch.channels_last)
