"""From weights to predictions: evaluate networks given as flat weights, and compute their BatchNorm statistics."""

import copy
import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lib.models.networks import Network
from lib.models.weights import batch_norms, flatten_statistics, load
from lib.run.progress import PATIENCE, progress

#: Images per forward pass: on a CPU, few enough for the activations to stay in its cache.
BATCH_SIZE = {"cpu": 128, "cuda": 4096}

#: Pixels per image up to which these batch sizes apply; larger images come in smaller batches.
IMAGE_PIXELS = 32 * 32

#: Increase it whenever `fresh_statistics` gives different values, so that stored ones are computed again.
STATISTICS_VERSION = 1

#: Maximum bytes of pixels on the device at a time; more images are read in pieces.
CHUNK_BYTES = 2**30


def as_pixels(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Images `(n, H, W, C)` as a tensor `(n, C, H, W)` of the same type on a device, channels last in memory.

    Streamed images are all read into memory.
    """
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (n, H, W, C), got {images.shape}")
    return torch.tensor(np.asarray(images), device=device).permute(0, 3, 1, 2)


def _for_each_row(model: nn.Module, count: int, evaluate: Callable[[nn.Module, int], None]) -> None:
    """Call `evaluate(model, row)` for each row; on a CPU, in as many threads as PyTorch has, each with its own model.

    Networks evaluated side by side keep the cores busy, while threads that share one network wait for each other. Each
    network always has one thread, so its predictions are bit-identical whether it is evaluated alone or among others.
    """
    before = torch.get_num_threads()
    threads = max(1, min(before, count)) if next(model.parameters()).device.type == "cpu" else 1
    finished = itertools.count(1)

    def share(first: int, own: nn.Module) -> None:
        for row in range(first, count, threads):
            evaluate(own, row)
            tell(next(finished))

    last = (count - 1) % threads  # the model itself must end up with the last row
    models = [model if first == last else copy.deepcopy(model) for first in range(threads)]
    with progress("evaluating", count, "network", delay=PATIENCE) as tell:
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(share, range(threads), models))
        finally:
            torch.set_num_threads(before)


def predict(
    model: Network,
    weights: np.ndarray,
    images: np.ndarray,
    statistics: np.ndarray | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Return the probabilities `(N, n, K)`, float32, that N networks predict. All evaluation goes through here.

    Args:
        model: the architecture, with its pixel normalisation; its own weights are overwritten, and dropout is off.
        weights: `(N, P)`, or `(P,)` for one network, with the result `(n, K)`.
        images: uint8 `(n, H, W, C)`, an array or streamed; at most `CHUNK_BYTES` of a stream are in memory.
        statistics: BatchNorm statistics `(N, S)` or `(S,)`, needed only by networks with BatchNorm:
            `fresh_statistics`, from the same images for all networks that are compared.
        batch_size: images per forward pass; by default a good number for the device.

    Raises:
        ValueError: shapes do not fit the model, or statistics are missing.
    """
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim == 1:
        one = None if statistics is None else np.asarray(statistics)[None]
        return predict(model, weights[None], images, one, batch_size)[0]
    if tuple(images.shape[1:]) != model.image_shape:
        raise ValueError(
            f"images must have the shape (n, {', '.join(map(str, model.image_shape))}), got {images.shape}"
        )
    if statistics is None and batch_norms(model):
        raise ValueError("statistics are needed by a network with BatchNorm: fresh_statistics(model, weights, images)")
    if statistics is not None and len(statistics) != len(weights):
        raise ValueError(f"statistics must have {len(weights)} rows, as weights, got {len(statistics)}")
    device = next(model.parameters()).device
    height, width, channels = model.image_shape
    step = batch_size or max(1, BATCH_SIZE[device.type] * IMAGE_PIXELS // max(IMAGE_PIXELS, height * width))
    # Whole steps, so that the batches are the same whether or not the images are read in pieces.
    chunk = step * max(1, CHUNK_BYTES // (step * height * width * channels))
    model.eval()
    probs = np.empty((len(weights), len(images), model.num_classes), dtype=np.float32)
    for first in range(0, len(images), chunk):
        pixels = as_pixels(images[first : first + chunk], device)

        @torch.inference_mode()
        def evaluate(network: Network, row: int, first: int = first, pixels: Tensor = pixels) -> None:
            load(network, weights[row], None if statistics is None else statistics[row])
            logits = [network(pixels[start : start + step]) for start in range(0, len(pixels), step)]
            probs[row, first : first + len(pixels)] = torch.cat(logits).float().softmax(dim=-1).cpu().numpy()

        _for_each_row(model, len(weights), evaluate)
    return probs


def fresh_statistics(model: Network, weights: np.ndarray, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Compute the BatchNorm statistics `(N, S)` of weights `(N, P)`, or `(S,)` of `(P,)`, from the same images for all.

    They are averages over training images, uint8 `(n, H, W, C)`, without augmentation, all of which are in memory at
    once. Each layer averages the statistics of its batches with equal weight, so the batches are as nearly equal in
    size as possible, and at most `batch_size`. Without BatchNorm S is 0 and no image is read. The model's own weights
    and statistics are overwritten.
    """
    weights = np.asarray(weights, dtype=np.float32)
    if weights.ndim == 1:
        return fresh_statistics(model, weights[None], images, batch_size)[0]
    statistics = np.empty((len(weights), len(flatten_statistics(model))), dtype=np.float32)
    if statistics.size == 0:
        return statistics
    pixels = as_pixels(images, next(model.parameters()).device)
    batches = pixels.tensor_split(math.ceil(len(pixels) / batch_size))

    def evaluate(network: Network, row: int) -> None:
        load(network, weights[row])
        update_bn(batches, network.eval())
        statistics[row] = flatten_statistics(network)

    _for_each_row(model, len(weights), evaluate)
    return statistics
