"""The paper's networks: pixels in, logits out; every weight drawn from a generator that the caller gives."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.errors import ConfigError, unknown
from lib.models.kernels import dropout_pool, random_bytes


class Dropout(nn.Module):
    """Dropout whose mask comes from its own generator, one random byte an element.

    The probability is therefore rounded to a multiple of 1/256 (0.1 becomes 26/256 = 0.1016), and kept activations are
    scaled by the inverse of the rounded keep probability. On a CPU the bytes are SplitMix64's, seeded by the generator:
    the draws of `torch.nn.Dropout` would be nearly half of a training step of a small network.
    """

    def __init__(self, probability: float):
        super().__init__()
        self.threshold = round(256 * probability)
        self.generator: torch.Generator | None = None

    def draw(self, activations: Tensor) -> Tensor | None:
        """A random byte for each activation, in the order `(n, H, W, C)`; those below `threshold` drop it.

        None where nothing is dropped: outside training, or with probability 0.
        """
        if not self.training or self.threshold == 0:
            return None
        if activations.device.type == "cpu":
            return random_bytes(activations.numel(), self.generator)
        words = torch.empty((activations.numel() + 7) // 8, dtype=torch.int64, device=activations.device)
        # All 64 bits: without the bounds `random_` leaves the sign bit alone, and every eighth byte would be biased.
        words.random_(-(2**63), None, generator=self.generator)
        return words.view(torch.uint8)[: activations.numel()]

    def forward(self, activations: Tensor) -> Tensor:
        """Zero elements at random in training mode; the identity otherwise."""
        random = self.draw(activations)
        if random is None:
            return activations
        # Compared as floating-point numbers, in place: as bytes, and then converted, takes ten times as long.
        mask = random.to(activations.dtype).ge_(self.threshold).mul_(256 / (256 - self.threshold))
        if activations.ndim != 4:
            return activations * mask.view(activations.shape)
        # Channels last, as the activations are in memory: a product of unlike orders is several times slower.
        n, c, h, w = activations.shape
        return activations * mask.view(n, h, w, c).permute(0, 3, 1, 2)


class Block(nn.Sequential):
    """3x3 convolution, dropout, 2x2 max-pooling and ReLU (left out with `rectify=False`).

    The order and the pooling (TensorFlow's SAME: a last odd row or column counts) are those of the authors' notebook.
    On a CPU all that follows the convolution is one pass over memory, with the same outcome.
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
        # Members in lockstep have another kind of dropout; they are for GPUs.
        if inputs.device.type != "cpu" or not isinstance(dropout, Dropout):
            return super().forward(inputs)
        activations = convolution(inputs)
        return dropout_pool(activations, dropout.draw(activations), dropout.threshold, rectify=len(self) == 4)


class Network(nn.Module):
    """A network that takes raw pixels: it normalises them on its own device, then applies its layers.

    Args:
        layers: from normalised pixels `(n, C, H, W)` to logits `(n, num_classes)`.
        image_shape: `(H, W, C)` of the images.
        num_classes: number of classes K.
    """

    def __init__(self, layers: nn.Module, image_shape: tuple[int, int, int], num_classes: int):
        super().__init__()
        self.layers = layers
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self.register_buffer("shift", torch.zeros(1, 1, 1), persistent=False)
        self.register_buffer("scale", torch.ones(1, 1, 1), persistent=False)

    def set_pixel_statistics(self, shift, scale) -> "Network":
        """Normalise pixels as `(pixels - shift) / scale`; arrays that broadcast to `(H, W, C)`."""
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


class _BasicBlock(nn.Module):
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
        return self.residual(inputs).add_(self.shortcut(inputs)).relu_()


def _resnet_v1(image_shape: tuple[int, int, int], num_classes: int, blocks: int) -> nn.Module:
    """ResNet v1 of the Keras CIFAR-10 example: 6n+2 layers, biases everywhere, shortcuts without BatchNorm."""

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)

    layers: list[nn.Module] = [nn.Conv2d(image_shape[2], 16, 3, padding=1), norm(16), nn.ReLU(inplace=True)]
    incoming = 16
    for outgoing in (16, 32, 64):
        for block in range(blocks):
            down = block == 0 and outgoing != 16
            shortcut = nn.Conv2d(incoming, outgoing, 1, stride=2) if down else nn.Identity()
            layers.append(_BasicBlock(incoming, outgoing, 2 if down else 1, shortcut, nn.Conv2d, norm))
            incoming = outgoing
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


def _resnet18(image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """ResNet-18 with the CIFAR stem, as in the cSG-MCMC code: no biases before BatchNorm, shortcuts with BatchNorm."""

    def conv(*args, **kwargs) -> nn.Module:
        return nn.Conv2d(*args, bias=False, **kwargs)

    layers: list[nn.Module] = [conv(image_shape[2], 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    incoming = 64
    for outgoing in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if block == 0 and outgoing != 64 else 1
            shortcut: nn.Module = nn.Identity()
            if stride == 2:
                shortcut = nn.Sequential(conv(incoming, outgoing, 1, stride=2), nn.BatchNorm2d(outgoing))
            layers.append(_BasicBlock(incoming, outgoing, stride, shortcut, conv, nn.BatchNorm2d))
            incoming = outgoing
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes))


def _resnet50_v2(image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """ResNet-50 v2 (pre-activation), timm's `resnetv2_50`."""
    try:
        import timm
    except ImportError:
        raise ConfigError("architecture 'resnet50_v2' needs timm: pip install 'timm>=1.0'") from None
    return timm.create_model("resnetv2_50", in_chans=image_shape[2], num_classes=num_classes)


#: Name to builder of the layers: `(image_shape, num_classes, dropout) -> nn.Module`.
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
    """Draw all weights anew, in place, in the order of `model.modules()`.

    Networks without BatchNorm get Xavier-uniform weights *and biases*, as in the authors' notebook (a bias counts as
    a 1 x c matrix there). Networks with BatchNorm get He-normal weights truncated at two standard deviations and zero
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
    """A network of the registry, freshly initialised, on the CPU, in channels-last memory order.

    Args:
        architecture: a name in `ARCHITECTURES`.
        image_shape: `(H, W, C)`.
        num_classes: number of classes K, at least 2.
        dropout: probability after each convolution of the CNNs; the ResNets have none.
        generator: source of the weights; a generator with seed 0 when left out.

    Raises:
        ConfigError: an unknown architecture, or an optional package that is missing.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(unknown("architecture", architecture, ARCHITECTURES))
    # PyTorch fills new layers from its global generator; what it draws is replaced, and its state given back.
    with torch.random.fork_rng(devices=[]):
        layers = ARCHITECTURES[architecture](tuple(image_shape), num_classes, dropout)
    network = Network(layers, image_shape, num_classes)
    initialize(network, generator or torch.Generator().manual_seed(0))
    return network.to(memory_format=torch.channels_last)
