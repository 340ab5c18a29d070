"""Conversion of networks to flat vectors of weights and back."""

import numpy as np
import torch
from torch import Tensor, nn


def batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorm layers, in the order of `model.modules()`."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def _statistics(model: nn.Module) -> list[Tensor]:
    return [buffer for norm in batch_norms(model) for buffer in (norm.running_mean, norm.running_var)]


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
    """A mask of the flat weights that are scales and shifts of BatchNorm: bool `(P,)`."""
    norms = {id(parameter) for norm in batch_norms(model) for parameter in norm.parameters()}
    flags = [np.full(parameter.numel(), id(parameter) in norms) for parameter in model.parameters()]
    return np.concatenate(flags)


def load(model: nn.Module, weights: np.ndarray, statistics: np.ndarray | None = None) -> None:
    """Set the parameters `(P,)` of a model, and its BatchNorm statistics `(S,)` if given.

    Raises:
        ValueError: the length of a vector does not fit the model.
    """
    _split_into(list(model.parameters()), weights, "weights")
    if statistics is not None:
        _split_into(_statistics(model), statistics, "statistics")
