"""Members in lockstep: M networks of one architecture as one network with M times the channels, for a GPU.

A small network leaves a GPU idle between its kernels; M of them side by side in the channels keep it busy. Convolutions
become grouped convolutions, so members do not affect each other; every parameter and buffer concatenates those of the
members along the first axis. Up to rounding, each member computes the same as it would alone.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lib.models.layers import Dropout
from lib.models.networks import Network


class CannotStack(TypeError):
    """Members cannot be trained in lockstep, for example because a layer cannot be stacked."""


class _Linear(nn.Module):
    """M linear layers: `(n, M * F)` to `(n, M * K)`."""

    def __init__(self, members: int, weight: Tensor, bias: Tensor):
        super().__init__()
        self.members = members
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self.weight.unflatten(0, (self.members, -1))
        outputs = torch.einsum("nmf,mkf->nmk", inputs.unflatten(1, (self.members, -1)), weight)
        return outputs.flatten(1) + self.bias


class _Dropout(nn.Module):
    """M dropouts, each with the mask that its member would have alone."""

    def __init__(self, layers: Sequence[Dropout]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, activations: Tensor) -> Tensor:
        parts = activations.chunk(len(self.layers), dim=1)
        return torch.cat([layer(part) for layer, part in zip(self.layers, parts, strict=True)], dim=1)


def _join(modules: Sequence[nn.Module], attribute: str) -> Tensor | None:
    tensors = [getattr(module, attribute) for module in modules]
    return None if tensors[0] is None else torch.cat([tensor.detach() for tensor in tensors])


def _stack(modules: Sequence[nn.Module]) -> nn.Module:
    """One module that is equivalent to M modules of the same shape side by side."""
    first, members = modules[0], len(modules)
    if type(first) is nn.Linear:
        return _Linear(members, _join(modules, "weight"), _join(modules, "bias"))
    if type(first) is Dropout:
        return _Dropout(modules)
    stacked = copy.copy(first)
    stacked._modules, stacked._parameters, stacked._buffers = {}, {}, {}
    if type(first) is nn.Conv2d:
        stacked.groups = members * first.groups
        stacked.in_channels, stacked.out_channels = members * first.in_channels, members * first.out_channels
    elif type(first) is nn.BatchNorm2d:
        stacked.num_features = members * first.num_features
    elif first._parameters or first._buffers:
        raise CannotStack(f"{type(first).__name__} cannot be stacked")
    for name, parameter in first._parameters.items():
        stacked._parameters[name] = None if parameter is None else nn.Parameter(_join(modules, name))
    for name, buffer in first._buffers.items():
        # Buffers without channels, such as BatchNorm's batch count, are the same for all members.
        stacked._buffers[name] = _join(modules, name) if buffer.ndim else buffer.clone()
    for name, _ in first.named_children():
        stacked._modules[name] = _stack([getattr(module, name) for module in modules])
    return stacked


class Lockstep(nn.Module):
    """M networks as one: normalised pixels `(n, M * C, H, W)` to logits `(n, M * K)`, member after member.

    The networks have the same architecture, and their weights are copied. Raises `CannotStack` for a layer with
    parameters other than convolution, BatchNorm or linear.
    """

    def __init__(self, networks: Sequence[Network]):
        super().__init__()
        self.members = len(networks)
        self.normalize = networks[0].normalize
        self.layers = _stack([network.layers for network in networks]).to(memory_format=torch.channels_last)

    def copy_to(self, networks: Sequence[Network]) -> None:
        """Copy each member's parameters and BatchNorm statistics into its own network."""
        joined = [*self.layers.parameters(), *self.layers.buffers()]
        with torch.no_grad():
            for number, network in enumerate(networks):
                for own, tensor in zip([*network.layers.parameters(), *network.layers.buffers()], joined, strict=True):
                    own.copy_(part(tensor, number, self.members))


def part(tensor: Tensor, number: int, members: int) -> Tensor:
    """One member's part of a joined parameter, buffer or optimiser state; scalars are shared."""
    return tensor.chunk(members)[number] if tensor.ndim and members > 1 else tensor
