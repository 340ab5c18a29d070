"""Dropout, 2x2 max-pooling and ReLU in one pass over memory, for CPUs.

A small network spends more time moving its activations than computing with them. Between two convolutions PyTorch makes
six passes over them forward and six backward; this makes one each way. In float32 the result is bit-identical: the
product with the mask, the order in which a window is searched, and the choice among equal elements are the same.

In channels-last memory a row of an image is a run of `W * C` numbers, and most loops here run along a whole row, so
that they compile to vector instructions. Numba compiles the loops on their first call and caches them on disk.
"""

from collections.abc import Callable

import numpy as np
import torch
from numba import njit
from torch import Tensor

# Winners are positions in the window, row by row: 0 to 3. This value or more: no element gets a gradient.
_NONE = np.uint8(4)
_ZERO = np.float32(0)


def _compiled(function: Callable) -> Callable:
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither this folder nor the user's cache folder is writable
        return njit(**options)(function)


@_compiled
def _drop(row, random, threshold, scale, code, values, codes):
    """Write a row after dropout to `values`, and `code` to `codes` where it was kept."""
    for k in range(len(row)):
        keep = random[k] >= threshold
        values[k] = row[k] * scale if keep else _ZERO
        codes[k] = code if keep else _NONE


@_compiled
def _merge(row, random, threshold, scale, code, values, codes):
    """Keep the larger of `values` and a row after dropout. A NaN wins, as in PyTorch."""
    for k in range(len(row)):
        keep = random[k] >= threshold
        value = row[k] * scale if keep else _ZERO
        larger = (value > values[k]) | (value != value)
        values[k] = value if larger else values[k]
        mark = code if keep else _NONE
        codes[k] = mark if larger else codes[k]


@_compiled
def _pool(activations, random, threshold, scale, rectify, pooled, winners):
    """Pool `activations (n, H, W, C)` into `pooled (n, h, w, C)`, and record the `winners`, uint8 of that shape.

    `random`, one byte per activation in the same order or one row used for all, drops those below `threshold`.
    """
    n, height, width, channels = activations.shape
    half_height, half_width = pooled.shape[1], pooled.shape[2]
    row, half = width * channels, half_width * channels
    advance = 0 if random.size == row else 1
    activations = activations.reshape(-1)
    pooled, winners = pooled.reshape(-1), winners.reshape(-1)
    # An odd last column is paired with one that never wins.
    values, codes = np.full(2 * half, -np.inf, np.float32), np.full(2 * half, _NONE, np.uint8)
    for line in range(n * half_height):
        image = line // half_height
        y = 2 * (line - image * half_height)
        start = (image * height + y) * row
        _drop(activations[start:][:row], random[advance * start :][:row], threshold, scale, np.uint8(0), values, codes)
        if y + 1 < height:
            start += row
            _merge(
                activations[start:][:row], random[advance * start :][:row], threshold, scale, np.uint8(2), values, codes
            )
        result, marks = pooled[line * half :][:half], winners[line * half :][:half]
        for x in range(half_width):
            left, to = 2 * x * channels, x * channels
            right = left + channels
            for k in range(channels):
                first, second = values[left + k], values[right + k]
                code_first, code_second = codes[left + k], codes[right + k]
                # Among equal elements the first wins; the upper right one comes before the lower left one.
                better = (second > first) | (second != second) | ((second == first) & (code_second < code_first))
                result[to + k] = second if better else first
                marks[to + k] = code_second + np.uint8(1) if better else code_first
        if rectify:
            for k in range(half):
                positive = not (result[k] <= _ZERO)
                result[k] = result[k] if positive else _ZERO
                marks[k] = marks[k] if positive else _NONE


@_compiled
def _pool_backward(gradient, winners, scale, to):
    """Write `gradient (n, h, w, C)` times `scale` to the winners in `to (n, H, W, C)`, and zero to all others."""
    n, height, width, channels = to.shape
    half_height, half_width = gradient.shape[1], gradient.shape[2]
    row, half = width * channels, half_width * channels
    gradient, winners, to = gradient.reshape(-1), winners.reshape(-1), to.reshape(-1)
    values, codes = np.empty(2 * half, np.float32), np.empty(2 * half, np.uint8)
    for line in range(n * half_height):
        source, marks = gradient[line * half :][:half], winners[line * half :][:half]
        for x in range(half_width):
            left, at = 2 * x * channels, x * channels
            right = left + channels
            for k in range(channels):
                value, code = source[at + k] * scale, marks[at + k]
                values[left + k] = value
                values[right + k] = value
                codes[left + k] = code
                codes[right + k] = code - np.uint8(1)
        image = line // half_height
        y = 2 * (line - image * half_height)
        for below in range(min(2, height - y)):
            code, result = np.uint8(2 * below), to[(image * height + y + below) * row :][:row]
            for k in range(row):
                result[k] = values[k] if codes[k] == code else _ZERO


@_compiled
def _split_mix(words, seed):
    """Fill uint64 `words` with the numbers of SplitMix64 starting from `seed` (Steele, Lea and Flood 2014)."""
    for k in range(len(words)):
        state = seed + np.uint64(k + 1) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words[k] = state ^ (state >> np.uint64(31))


def random_bytes(count: int, generator: torch.Generator | None) -> Tensor:
    """Return `count` random bytes, uint8 `(count,)`, from SplitMix64 seeded by one draw of a CPU generator.

    Ten times as fast as the generator itself, which must compute each number from the previous one.
    """
    seed = torch.empty((), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    words = np.empty((count + 7) // 8, np.uint64)
    _split_mix(words, np.uint64(seed.item() % 2**64))
    return torch.from_numpy(words).view(torch.uint8)[:count]


def _array(tensor: Tensor) -> np.ndarray:
    """Convert a tensor `(n, C, H, W)` in channels-last memory to an array `(n, H, W, C)`."""
    return tensor.detach().permute(0, 2, 3, 1).contiguous().numpy()


def dropout_pool(activations: Tensor, random: Tensor | None, threshold: int, rectify: bool) -> Tensor:
    """Apply dropout, 2x2 max-pooling (a last odd row or column counts), and ReLU if `rectify`.

    Takes `activations (n, C, H, W)` on the CPU, channels last in memory, and returns `(n, C, ceil(H / 2), ceil(W / 2))`
    of the same type, which can be differentiated once. `random`, uint8 `(n * H * W * C,)` in the order of memory,
    decides what is dropped: an activation whose byte is below `threshold` (0 to 255) becomes 0, the others are scaled
    by 256 / (256 - threshold). With None nothing is dropped or scaled. bfloat16 is only rounded at the end.
    """
    return _DropoutPool.apply(activations.float(), random, threshold, rectify).to(activations.dtype)


class _DropoutPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, activations: Tensor, random: Tensor | None, threshold: int, rectify: bool) -> Tensor:
        n, channels, height, width = activations.shape
        if random is None:
            random, threshold = torch.zeros(width * channels, dtype=torch.uint8), 0
        ctx.shape, ctx.scale = (n, height, width, channels), np.float32(256 / (256 - threshold))
        pooled = np.empty((n, -(-height // 2), -(-width // 2), channels), np.float32)
        ctx.winners = np.empty(pooled.shape, np.uint8)
        _pool(_array(activations), random.numpy(), np.uint8(threshold), ctx.scale, rectify, pooled, ctx.winners)
        return torch.from_numpy(pooled).permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple:
        to = np.empty(ctx.shape, np.float32)
        _pool_backward(_array(gradient), ctx.winners, ctx.scale, to)
        return torch.from_numpy(to).permute(0, 3, 1, 2), None, None, None
