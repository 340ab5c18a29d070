"""Datasets by name or path: uint8 images and int64 labels, split into training, validation and test.

What cannot be had is a DatasetError of one line that says where it was looked for and how to get it; no dataset ever
stands in for another.
"""

import difflib
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from lib.config import PIXEL_SCALINGS
from lib.data.formats import (
    CIFAR10_BATCHES,
    FASHION_MNIST_CLASSES,
    IDX_FILES,
    Arrays,
    DatasetError,
    RawDataset,
    folder_name,
    one_line,
    read_cifar10,
    read_cifar10_holdout,
    read_cifar100,
    read_fashion_mnist,
    read_image_folder,
    read_npz,
    read_svhn,
)
from lib.errors import unknown

DATASETS: dict[str, str] = {  # name → what it is, on one line
    "digits": "8x8 grey digits of scikit-learn, 1,200 training images: for tests",
    "fashion_mnist_mini": "28x28 grey clothes, 10,000 training images of Fashion-MNIST: comes with this project",
    "fashion_mnist": "28x28 grey clothes, 60,000 training images: found on this machine or downloaded (30 MB)",
    "cifar10": "32x32 colour photographs of 10 classes, 50,000 training images: downloaded (170 MB)",
    "cifar10_holdout": "CIFAR-10 less its test batch: 40,000 training images, and the fifth batch for test",
    "cifar100": "32x32 colour photographs of 100 classes, 50,000 training images: downloaded (170 MB)",
    "svhn": "32x32 colour house numbers, 73,257 training images: downloaded (250 MB)",
}

MINI_FILE = Path(__file__).parents[1] / "assets" / "fashion_mnist_mini.npz"
MINI_SHA256 = "c7fd5cd5a15ed138d70fbe8a183aa29ac853b63708775e9bc42d69a3271ee59c"


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split; load_dataset makes the arrays read-only."""

    images: np.ndarray  # uint8 (n, H, W, C), C-contiguous; or lib.data.streaming.StreamedImages, which stands for one
    labels: np.ndarray  # int64 (n,)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset of K classes: its name (safe as the name of a folder), three splits, and the names of the classes."""

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
        """Return K; labels are 0..K-1."""
        return len(self.classes)

    @property
    def sample(self) -> np.ndarray:
        """Training images in memory, from which statistics over pixels come: here all of them."""
        return self.train.images

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) over shapes and bytes of all images and labels: the same data give the same hash anywhere."""
        digest = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            for array in (split.images, split.labels.astype("<i8")):
                digest.update(repr(array.shape).encode())
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """A published dataset: its files, the folders they may lie in, and where they are downloaded from."""

    read: Callable[[Path], RawDataset]
    files: tuple[str, ...]
    folders: tuple[str, ...]  # under the data root, or absolute; downloads go into the first
    downloads: dict[str, str]  # URL → MD5 as torchvision or the dataset's own page gives it
    hint: str  # how to get it by hand, before "into FOLDER"
    pickled: str = ""  # the folder of a version that is not read


_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MD5 = (
    *("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
    *("bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
)
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz"
_SVHN_URL = "http://ufldl.stanford.edu/housenumbers"
_CIFAR10_FOLDERS = ("cifar-10-batches-bin", ".")
_CIFAR10_DOWNLOAD = {f"{_CIFAR_URL}/cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"}
_CIFAR10_HINT = f"put the files of {_CIFAR_URL}/cifar-10-binary.tar.gz"
SOURCES = {
    "fashion_mnist": Source(
        read_fashion_mnist,
        IDX_FILES,
        ("fashion_mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
        {f"{_FASHION_URL}/{file}.gz": md5 for file, md5 in zip(IDX_FILES, _FASHION_MD5, strict=True)},
        "install Debian's package dataset-fashion-mnist, or put the four files",
    ),
    "cifar10": Source(
        read_cifar10,
        (*CIFAR10_BATCHES, "test_batch.bin", "batches.meta.txt"),
        _CIFAR10_FOLDERS,
        _CIFAR10_DOWNLOAD,
        _CIFAR10_HINT,
        pickled="cifar-10-batches-py",
    ),
    "cifar10_holdout": Source(
        read_cifar10_holdout,
        (*CIFAR10_BATCHES, "batches.meta.txt"),
        _CIFAR10_FOLDERS,
        _CIFAR10_DOWNLOAD,
        _CIFAR10_HINT,
        pickled="cifar-10-batches-py",
    ),
    "cifar100": Source(
        read_cifar100,
        ("train.bin", "test.bin", "fine_label_names.txt"),
        ("cifar-100-binary", "."),
        {f"{_CIFAR_URL}/cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
        f"put the files of {_CIFAR_URL}/cifar-100-binary.tar.gz",
        pickled="cifar-100-python",
    ),
    "svhn": Source(
        read_svhn,
        ("train_32x32.mat", "test_32x32.mat"),
        ("svhn", "."),
        {
            f"{_SVHN_URL}/train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            f"{_SVHN_URL}/test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
        f"put train_32x32.mat and test_32x32.mat of {_SVHN_URL}",
    ),
}


def default_data_root() -> Path:
    """Return the folder for datasets: $DATA_DIR, else `data` in the checkout that this file lies in, else ./data."""
    if folder := os.environ.get("DATA_DIR"):
        return Path(folder).expanduser()
    checkout = Path(__file__).parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "data"


def fetch(url: str, folder: Path, md5: str) -> None:
    """Download one file into `folder` with a progress bar and check its MD5: the only use of the network."""
    from torchvision.datasets.utils import download_url

    download_url(url, folder, md5=md5)


def _download(downloads: dict[str, str], folder: Path) -> None:
    """Put all files into `folder`, each in one step, once all are whole: an interrupted download leaves nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
        for url, md5 in downloads.items():
            fetch(url, Path(staging), md5)
            if url.endswith(".tar.gz"):
                archive = Path(staging, url.rsplit("/", 1)[1])
                # Not torchvision's extract_archive: it names no filter, of which Python 3.12 warns.
                shutil.unpack_archive(archive, staging, filter="data")
                archive.unlink()
        for file in [file for file in Path(staging).rglob("*") if file.is_file() and not file.is_symlink()]:
            os.replace(file, folder / file.name)


def locate(name: str, root: Path) -> Path | None:
    """Return the folder that holds all files of a published dataset, or None; downloads nothing."""
    for folder in (root / folder for folder in SOURCES[name].folders):
        if all((folder / file).is_file() or (folder / f"{file}.gz").is_file() for file in SOURCES[name].files):
            return folder
    return None


def _find(name: str, root: Path) -> Path:
    """Return the folder that holds all files of a published dataset, after a download where there is none."""
    if folder := locate(name, root):
        return folder
    source = SOURCES[name]
    folders = [root / folder for folder in source.folders]
    try:
        _download(source.downloads, folders[0])
    except (OSError, RuntimeError, http.client.HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
        looked = ", ".join(map(str, folders))
        pickled = root / source.pickled if source.pickled else None
        note = f"; {pickled} is the pickled version, which is not read" if pickled and pickled.is_dir() else ""
        raise DatasetError(
            f"{name} not found: {source.files[0]} and the other files it needs are not in {looked}{note}, and the "
            f"download failed ({one_line(error)}); {source.hint} into {folders[0]}"
        ) from error
    return folders[0]


def _read_digits() -> RawDataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.round(digits.images[order, :, :, np.newaxis] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order].astype(np.int64)
    train, val, test = zip(np.split(images, [1200, 1400]), np.split(labels, [1200, 1400]), strict=True)
    return RawDataset(train, val, test, tuple(map(str, range(10))))


def _read_mini() -> RawDataset:
    digest = hashlib.sha256(MINI_FILE.read_bytes()).hexdigest() if MINI_FILE.is_file() else "missing"
    if digest != MINI_SHA256:
        raise DatasetError(
            f"fashion_mnist_mini: {MINI_FILE} is damaged or missing (SHA-256 {digest}, expected {MINI_SHA256}); "
            "restore it with git checkout, or reinstall the package"
        )
    return read_npz(MINI_FILE)._replace(classes=FASHION_MNIST_CLASSES, sorted_by_class=False)


#: Datasets that come with this project or with a package it needs: how they are read.
INCLUDED: dict[str, Callable[[], RawDataset]] = {"digits": _read_digits, "fashion_mnist_mini": _read_mini}


def validation_count(count: int, size: int | None, source: str) -> int:
    """Return how many of `count` training images are for validation: `size`, or what load_dataset says for None."""
    if size is None:
        size = 2000 if count >= 20_000 else max(1, count // 10)
    if not 1 <= size < count:
        raise DatasetError(f"validation_size must be from 1 to {count - 1} for {source}, got {size}")
    return size


def _with_validation(raw: RawDataset, size: int | None, source: str) -> tuple[Arrays, Arrays]:
    """Return training and validation arrays by the rule that load_dataset states."""
    images, labels = raw.train
    if raw.sorted_by_class:
        order = np.random.default_rng(0).permutation(len(labels))
        images, labels = images[order], labels[order]
    if raw.val is not None:
        if size is None:
            return (images, labels), raw.val
        images, labels = np.concatenate([images, raw.val[0]]), np.concatenate([labels, raw.val[1]])
    size = validation_count(len(labels), size, source)
    # The last ones, as the authors do with the last 500.
    return (images[:-size], labels[:-size]), (images[-size:], labels[-size:])


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    split = Split(np.ascontiguousarray(images), np.ascontiguousarray(labels))
    split.images.flags.writeable = split.labels.flags.writeable = False
    return split


@lru_cache(maxsize=2)
def _load(source: str | Path, root: Path, validation_size: int | None, modified: tuple[int, ...]) -> Dataset:
    """Read, check and split. `modified` is there for the cache alone: a changed file is read again."""
    if isinstance(source, Path):
        raw = read_image_folder(source) if source.is_dir() else read_npz(source)
        name = folder_name(source.stem, "dataset")
    else:
        name = source
        raw = INCLUDED[name]() if name in INCLUDED else SOURCES[name].read(_find(name, root))

    parts = {"train": raw.train, "test": raw.test} | ({"val": raw.val} if raw.val else {})
    shapes = {part: images.shape[1:] for part, (images, _) in parts.items()}
    if len(set(shapes.values())) > 1:
        raise DatasetError(f"{source}: all images must have one shape (H, W, C), got {shapes}")

    train, val = _with_validation(raw, validation_size, str(source))
    return Dataset(name, _split(*train), _split(*val), _split(*raw.test), raw.classes)


def load_dataset(
    name: str, root: str | Path | None = None, validation_size: int | None = None, workers: int | None = None
) -> Dataset:
    """Return the dataset of that registry name, or the one in a folder of images or an `.npz` file.

    `root` is where published datasets are looked for and downloaded to (None: see default_data_root). The last
    `validation_size` training images become the validation split; None means the source's own validation images, else
    2,000 of at least 20,000 training images, else a tenth. Images that may be sorted by class are shuffled before, with
    a fixed seed. A name of DATASETS wins over a path; paths may be anything read_image_folder or read_npz takes.
    `imagefolder:PATH` and `imagefolder@SIZE:PATH` are streamed by `workers` processes, see
    lib.data.streaming.open_image_folder.
    Raises DatasetError, one line, for an unknown name, for data that are missing or damaged, or a validation_size that
    leaves nothing.
    """
    root = (default_data_root() if root is None else Path(root).expanduser()).resolve()
    if name in DATASETS:
        return _load(name, root, validation_size, ())
    if str(name).lower().startswith("imagefolder"):
        from lib.data.streaming import open_image_folder  # needs this module, and torch, which the others do without

        return open_image_folder(name, validation_size, workers)
    path = Path(name).expanduser().resolve()
    if str(name).strip() and path.exists():
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        times = [file.stat().st_mtime_ns for file in files if file.exists()]
        return _load(path, root, validation_size, (len(times), max(times), path.stat().st_size))
    near = difflib.get_close_matches(str(name).lower(), DATASETS, n=1)
    if near and not {"/", os.sep, "."} & set(str(name)):
        start, end = f"unknown dataset {str(name)!r}; did you mean {near[0]!r}?", ""
    else:
        start, end = f"unknown dataset {str(name)!r};", f" (there is none at {path})"
    raise DatasetError(f"{start} allowed: {', '.join(DATASETS)}, or a path to a folder of images or an .npz file{end}")


def pixel_statistics(dataset: Dataset, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (shift, scale), float32, such that a network sees (pixels - shift) / scale, pixels being 0..255.

    "standardize": mean and standard deviation of the training images a channel, (1, 1, C) each (a channel without any
    variation is only shifted). "raw": 0 and 1, as in the authors' notebook. "mean-image": pixels / 255 minus the mean
    training image, as in Keras' ResNet example: shift (H, W, C), scale (1, 1, 1). Of streamed images those of
    `dataset.sample` stand for all. Raises DatasetError for any other scaling.
    """
    images = dataset.sample
    channels = images.shape[3]
    if scaling == "standardize":
        # Counts of the 256 values, block by block, are exact and need no float copy of all images.
        counts = np.zeros((channels, 256), np.int64)
        for block in np.array_split(images, -(-len(images) // 1000)):
            for channel in range(channels):
                counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
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
