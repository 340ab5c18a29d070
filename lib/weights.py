"""The bridge between the two spaces: networks as flat vectors, and what they predict."""

import numpy as np
import torch
from torch import Tensor, nn

from lib.models import Network

#: Images in one forward pass: on a CPU small enough for the activations to stay in its cache.
BATCH_SIZE = {"cpu": 128, "cuda": 4096}


def default_device() -> torch.device:
    """The first CUDA device where there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def as_pixels(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Images `(n, H, W, C)` as a tensor `(n, C, H, W)` of the same type on a device, channels last in memory."""
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (n, H, W, C), got {images.shape}")
    return torch.tensor(images, device=device).permute(0, 3, 1, 2)


def _batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def _statistics(model: nn.Module) -> list[Tensor]:
    return [buffer for norm in _batch_norms(model) for buffer in (norm.running_mean, norm.running_var)]


def _join(tensors: list[Tensor]) -> np.ndarray:
    if not tensors:
        return np.zeros(0, dtype=np.float32)
    return torch.cat([tensor.detach().float().cpu().reshape(-1) for tensor in tensors]).numpy()


def flatten(model: nn.Module) -> np.ndarray:
    """The trainable parameters as one float32 vector `(P,)`, in the order of `model.parameters()`."""
    return _join(list(model.parameters()))


def flatten_statistics(model: nn.Module) -> np.ndarray:
    """The BatchNorm running means and variances as one float32 vector `(S,)`; S is 0 without BatchNorm."""
    return _join(_statistics(model))


@torch.no_grad()
def _split_into(tensors: list[Tensor], vector: np.ndarray, name: str) -> None:
    sizes = [tensor.numel() for tensor in tensors]
    vector = np.asarray(vector, dtype=np.float32)
    if vector.shape != (sum(sizes),):
        raise ValueError(f"{name} must have the shape ({sum(sizes)},), got {vector.shape}")
    if not tensors:
        return
    flat = torch.from_numpy(np.require(vector, requirements="W")).to(tensors[0].device)
    for tensor, piece in zip(tensors, flat.split(sizes), strict=True):
        tensor.copy_(piece.view(tensor.shape))


def batch_norm_parameters(model: nn.Module) -> np.ndarray:
    """Which entries of the flat weights `(P,)` are scales and shifts of BatchNorm: bool `(P,)`."""
    norms = {id(parameter) for norm in _batch_norms(model) for parameter in norm.parameters()}
    flags = [np.full(parameter.numel(), id(parameter) in norms) for parameter in model.parameters()]
    return np.concatenate(flags)


def load(model: nn.Module, weights: np.ndarray, statistics: np.ndarray | None = None) -> None:
    """Set the parameters `(P,)` of a model, and its BatchNorm statistics `(S,)` where they are given.

    Raises:
        ValueError: a vector whose length is not the model's.
    """
    _split_into(list(model.parameters()), weights, "weights")
    if statistics is not None:
        _split_into(_statistics(model), statistics, "statistics")


@torch.inference_mode()
def predict(
    model: Network,
    weights: np.ndarray,
    images: np.ndarray,
    statistics: np.ndarray | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """What networks predict: the only place where this project evaluates one.

    Args:
        model: the architecture, with its pixel normalisation; its own weights are overwritten.
        weights: `(N, P)`, or `(P,)` for one network.
        images: uint8 `(n, H, W, C)`.
        statistics: BatchNorm statistics `(N, S)` or `(S,)`; needed exactly by networks with BatchNorm: those stored
            with the weights (`Trajectory.statistics`), or `fresh_statistics` for sampled weights.
        batch_size: images in one pass; a good one for the device when left out.

    Returns:
        Probabilities, float32 `(N, n, K)`, or `(n, K)` for weights `(P,)`. Dropout is off.

    Raises:
        ValueError: shapes that do not fit the model, or missing statistics.
    """
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim == 1:
        one = None if statistics is None else np.asarray(statistics)[None]
        return predict(model, weights[None], images, one, batch_size)[0]
    if tuple(images.shape[1:]) != model.image_shape:
        raise ValueError(
            f"images must have the shape (n, {', '.join(map(str, model.image_shape))}), got {images.shape}"
        )
    if statistics is None and _batch_norms(model):
        raise ValueError("statistics are needed by a network with BatchNorm: stored ones, or fresh_statistics(...)")
    if statistics is not None and len(statistics) != len(weights):
        raise ValueError(f"statistics must have {len(weights)} rows, as weights, got {len(statistics)}")
    device = next(model.parameters()).device
    pixels = as_pixels(images, device)
    step = batch_size or BATCH_SIZE[device.type]
    model.eval()
    probs = np.empty((len(weights), len(images), model.num_classes), dtype=np.float32)
    for row, vector in enumerate(weights):
        load(model, vector, None if statistics is None else statistics[row])
        logits = [model(pixels[start : start + step]) for start in range(0, len(pixels), step)]
        probs[row] = torch.cat(logits).float().softmax(dim=-1).cpu().numpy()
    return probs


@torch.no_grad()
def fresh_statistics(model: Network, weights: np.ndarray, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """BatchNorm statistics of weights that no training has visited, from training images without augmentation.

    Args:
        model: the architecture; its own weights and statistics are overwritten.
        weights: `(N, P)`, or `(P,)` for one network.
        images: training images, uint8 `(n, H, W, C)`.
        batch_size: images in one pass; the statistics are averages over batches of this size.

    Returns:
        `(N, S)`, or `(S,)` for weights `(P,)`; S is 0 without BatchNorm.
    """
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim == 1:
        return fresh_statistics(model, weights[None], images, batch_size)[0]
    pixels = as_pixels(images, next(model.parameters()).device)
    norms = _batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    rows = []
    for vector in weights:
        load(model, vector)
        model.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's way to ask for a plain average over batches
        if norms:
            for start in range(0, len(pixels), batch_size):
                model(pixels[start : start + batch_size])
        rows.append(flatten_statistics(model))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return np.stack(rows)
