"""Datasets by name or path: uint8 images and int64 labels, split into training, validation and test.

A dataset that cannot be loaded raises a one-line DatasetError that says where it was looked for and how to get it; no
other dataset is used instead.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.config import PIXEL_SCALINGS
from lib.data.formats import (
    FASHION_MNIST_CLASSES,
    Arrays,
    DatasetError,
    RawDataset,
    folder_name,
    read_image_folder,
    read_npz,
)
from lib.data.sources import SOURCES, data_root, find
from lib.errors import unknown
from lib.run.files import local_path

if TYPE_CHECKING:
    from lib.data.streaming import StreamedImages

DATASETS: dict[str, str] = {  # name → one-line description
    "digits": "8x8 grey digits of scikit-learn, 1,200 training images: for tests",
    "fashion_mnist_mini": "28x28 grey clothes, 10,000 training images of Fashion-MNIST: comes with this project",
    "fashion_mnist": "28x28 grey clothes, 60,000 training images: found on this machine or downloaded (30 MB)",
    "cifar10": "32x32 colour photographs of 10 classes, 50,000 training images: downloaded (170 MB)",
    "cifar10_holdout": "CIFAR-10 without its test images: 40,000 training images, the other 10,000 are for test",
    "cifar100": "32x32 colour photographs of 100 classes, 50,000 training images: downloaded (170 MB)",
    "svhn": "32x32 colour house numbers, 73,257 training images: downloaded (250 MB)",
}

MINI_FILE = Path(__file__).parents[1] / "assets" / "fashion_mnist_mini.npz"

#: Height and width of streamed images, unless the dataset's name gives another size.
SIZE = 224

#: Number of streamed training images held in memory to compute pixel statistics.
SAMPLE = 2000


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split; load_dataset makes the arrays read-only."""

    images: "np.ndarray | StreamedImages"  # uint8 (n, H, W, C), C-contiguous; or streamed
    labels: np.ndarray  # int64 (n,)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset of K classes: its name (safe as a folder name), three splits, and the class names."""

    name: str
    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return self.train.images.shape[1:]

    @property
    def num_classes(self) -> int:
        """The number of classes K; labels are 0..K-1."""
        return len(self.classes)

    @property
    def is_streamed(self) -> bool:
        """Whether the images are files that are read on demand."""
        return not isinstance(self.train.images, np.ndarray)

    @cached_property
    def sample(self) -> np.ndarray:
        """Training images in memory for pixel statistics: all of them, or the first `SAMPLE` if streamed."""
        return np.asarray(self.train.images[:SAMPLE]) if self.is_streamed else self.train.images

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over shapes and bytes of all images and labels: equal on all machines for the same data.

        For streamed images, over their size, and the relative paths and file sizes of each split in order.
        """
        digest = hashlib.sha256(repr(self.image_shape).encode() if self.is_streamed else b"")
        for split in (self.train, self.val, self.test):
            if self.is_streamed:
                digest.update(split.images.identity())
                continue
            for array in (split.images, split.labels.astype("<i8")):
                digest.update(repr(array.shape).encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def _read_digits() -> RawDataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.round(digits.images[order, :, :, np.newaxis] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order].astype(np.int64)
    train, val, test = zip(np.split(images, [1200, 1400]), np.split(labels, [1200, 1400]), strict=True)
    return RawDataset(train, val, test, tuple(map(str, range(10))))


def _read_mini() -> RawDataset:
    return read_npz(MINI_FILE)._replace(classes=FASHION_MNIST_CLASSES, sorted_by_class=False)


#: Readers of the datasets that come with this project or with a package it requires.
INCLUDED: dict[str, Callable[[], RawDataset]] = {"digits": _read_digits, "fashion_mnist_mini": _read_mini}


def _with_validation(raw: RawDataset, size: int | None, source: str) -> tuple[Arrays, Arrays]:
    """Return training and validation arrays, split as load_dataset documents."""
    images, labels = raw.train
    if raw.sorted_by_class:
        order = np.random.default_rng(0).permutation(len(labels))
        images, labels = images[order], labels[order]
    if raw.val is not None:
        if size is None:
            return (images, labels), raw.val
        images, labels = np.concatenate([images, raw.val[0]]), np.concatenate([labels, raw.val[1]])
    count = len(labels)
    if size is None:
        size = 2000 if count >= 20_000 else max(1, count // 10)
    if not 1 <= size < count:
        raise DatasetError(f"validation_size must be from 1 to {count - 1} for {source}, got {size}")
    # The last ones, like the authors, who take the last 500.
    return (images[:-size], labels[:-size]), (images[-size:], labels[-size:])


def _split(images: "np.ndarray | StreamedImages", labels: np.ndarray) -> Split:
    if isinstance(images, np.ndarray):
        images = np.ascontiguousarray(images)
        images.flags.writeable = False
    labels = np.ascontiguousarray(labels)
    labels.flags.writeable = False
    return Split(images, labels)


def _modified(path: Path, pattern: str) -> tuple[int, ...]:
    """Return the size of a path, and modification times of it and of what matches `pattern` below it."""
    return path.stat().st_size, *(file.stat().st_mtime_ns for file in [path, *path.glob(pattern)] if file.exists())


@lru_cache(maxsize=2)
def _load(
    source: str | Path,
    root: Path,
    validation_size: int | None,
    size: int = 0,
    workers: int | None = None,
    modified: tuple[int, ...] = (),
) -> Dataset:
    """Read (or list, given a `size`), check and split a dataset. `modified` makes the cache notice changed data."""
    if size:
        from lib.data.streaming import read_stream  # needs torch, unlike the other readers

        name, raw = f"{folder_name(source.name, 'images')}-{size}", read_stream(source, size, workers)
    elif isinstance(source, Path):
        name = folder_name(source.stem, "dataset")
        raw = read_image_folder(source) if source.is_dir() else read_npz(source)
    else:
        name = source
        raw = INCLUDED[name]() if name in INCLUDED else SOURCES[name].read(find(name, root))

    shapes = {images.shape[1:] for images, _ in (raw.train, raw.val or raw.train, raw.test)}
    if len(shapes) > 1:
        raise DatasetError(f"{source}: all images must have one shape (H, W, C), got {shapes}")
    train, val = _with_validation(raw, validation_size, str(source))
    return Dataset(name, _split(*train), _split(*val), _split(*raw.test), raw.classes)


def load_dataset(
    name: str, root: str | Path | None = None, validation_size: int | None = None, workers: int | None = None
) -> Dataset:
    """Return a dataset by name, or from a folder of images or an `.npz` file.

    `root` is the folder where published datasets are looked for and downloaded to (None: see data_root). The last
    `validation_size` training images become the validation split; None means the source's own validation images, else
    2,000 images if there are at least 20,000 for training, else a tenth. Images that may be sorted by class are
    shuffled first, with a fixed seed. A name in DATASETS takes precedence over a path; a path may be anything that
    read_image_folder or read_npz accepts. `imagefolder:PATH` is streamed by `workers` processes (None: one per core) as
    images of 224 by 224, `imagefolder@SIZE:PATH` as SIZE by SIZE, see lib.data.streaming.read_stream. Data that changed
    on disk are read again; for streamed data, a process only notices if files were added, renamed or removed.
    Raises DatasetError or ConfigError, one line each, for an unknown name, missing or damaged data, a validation_size
    that leaves nothing, or negative workers.
    """
    root = data_root(root)
    if name in DATASETS:
        return _load(name, root, validation_size)
    if match := re.fullmatch(r"imagefolder(?:@([0-9]+))?:(.+)", str(name)):
        size = int(match[1] or SIZE)
        if size < 8:
            raise DatasetError(f"{name}: expected images of at least 8 by 8")
        path = local_path(match[2], "dataset")
        # Only folders are checked for changes, as there may be a million files.
        return _load(path, root, validation_size, size, workers, _modified(path, "*/*/") if path.is_dir() else ())
    path = local_path(name, "dataset")
    if str(name).strip() and path.exists():
        return _load(path, root, validation_size, modified=_modified(path, "**/*"))
    paths = ("a path to a folder of images", "an .npz file", "imagefolder:PATH", "imagefolder@SIZE:PATH")
    raise DatasetError(unknown("dataset", str(name), [*DATASETS, *paths]))


def pixel_statistics(dataset: Dataset, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (shift, scale), float32, such that a network sees (pixels - shift) / scale for pixels in 0..255.

    "standardize": mean and standard deviation of the training images per channel, (1, 1, C) each (a constant channel is
    only shifted). "raw": 0 and 1, as in the authors' notebook. "mean-image": pixels / 255 minus the mean training
    image, as in Keras' ResNet example: shift (H, W, C), scale (1, 1, 1). For streamed images only `dataset.sample` is
    used. Raises DatasetError for any other scaling.
    """
    images = dataset.sample
    channels = images.shape[3]
    if scaling == "standardize":
        # Counting the 256 values block by block is exact and needs no float copy of all images.
        blocks = np.array_split(images, -(-len(images) // 1000))
        counts = sum(
            np.array([np.bincount(block[..., channel].ravel(), minlength=256) for channel in range(channels)])
            for block in blocks
        )
        share, values = counts / counts.sum(axis=1, keepdims=True), np.arange(256)
        shift = share @ values
        scale = np.sqrt((share * (values - shift[:, np.newaxis]) ** 2).sum(axis=1))
        scale[scale == 0] = 1
    elif scaling == "raw":
        shift, scale = np.zeros(channels), np.ones(channels)
    elif scaling == "mean-image":
        return images.mean(axis=0, dtype=np.float64).astype(np.float32), np.full((1, 1, 1), 255, np.float32)
    else:
        raise DatasetError(unknown("pixel scaling", scaling, PIXEL_SCALINGS))
    return tuple(array.reshape(1, 1, channels).astype(np.float32) for array in (shift, scale))
