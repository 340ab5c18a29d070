"""Readers of the file formats that images come in; every problem is a DatasetError of one line."""

import gzip
import hashlib
import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.errors import OneLineError

if TYPE_CHECKING:
    from PIL import Image
    from torchvision.datasets import ImageFolder

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (n, H, W, C), labels int64 (n,)

FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# Images and labels of one split as Keras and MedMNIST call them.
NPZ_NAMES = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))


class DatasetError(OneLineError, ValueError):
    """A dataset that cannot be had as asked for; the message is one line that says what to do."""


class RawDataset(NamedTuple):
    """What a reader returns: arrays as the source has them, before a validation split is made."""

    train: Arrays
    val: Arrays | None  # None where the source has no validation images of its own
    test: Arrays
    classes: tuple[str, ...]
    sorted_by_class: bool = False  # may the training images be sorted, so that the last ones are one class?


def one_line(error: BaseException) -> str:
    """Return the message of `error` on one line, or the name of its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def folder_name(stem: str, otherwise: str) -> str:
    """A name for folders made of a file's, which may be anything; `claims` is that of the verdicts in a run store."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).lstrip(".")[:100] or otherwise
    return f"{name}-data" if name == "claims" else name


def checked(
    images: np.ndarray, labels: np.ndarray, image_source: object, label_source: object, num_classes: int | None
) -> Arrays:
    """Return images as contiguous uint8 (n, H, W, C) and labels as int64 (n,), or say which of them is wrong.

    `num_classes` is the number K of classes that labels 0..K-1 may name; None takes it from the labels themselves,
    which must then name each of 0..K-1. Raises DatasetError, which starts with `image_source` or `label_source`.
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not 1 <= channels <= 4 or images.size == 0:
        raise DatasetError(
            f"{image_source}: expected uint8 images of shape (n, H, W) or (n, H, W, C) with C from 1 to 4, "
            f"got {images.dtype} {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape not in [(len(images),), (len(images), 1)]:
        raise DatasetError(
            f"{label_source}: expected integer labels of shape ({len(images)},) or ({len(images)}, 1), "
            f"got {labels.dtype} {labels.shape}"
        )
    present = np.unique(labels)
    if num_classes is None and (len(present) < 2 or present[0] != 0 or present[-1] != len(present) - 1):
        raise DatasetError(
            f"{label_source}: expected every label from 0 to K-1 with K at least 2, "
            f"got {len(present)} different labels from {present[0]} to {present[-1]}"
        )
    if num_classes is not None and (present[0] < 0 or present[-1] >= num_classes):
        raise DatasetError(f"{label_source}: expected labels 0 to {num_classes - 1}, got {present[0]} to {present[-1]}")
    images = np.ascontiguousarray(images).reshape(*images.shape[:3], channels)
    return images, labels.reshape(-1).astype(np.int64)


def read_bytes(path: Path) -> bytes:
    """Return what the file holds, unpacked where it (or the same name with `.gz`) is compressed by gzip."""
    path = path if path.is_file() else path.with_name(f"{path.name}.gz")
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read, fetch it again ({one_line(error)})") from error


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes (the MNIST format, http://yann.lecun.com/exdb/mnist), gzipped or not."""
    content = read_bytes(path)
    rank = content[3] if len(content) >= 4 and content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * rank
    if rank == 0 or len(content) < start:
        raise DatasetError(f"{path}: not an IDX file of unsigned bytes (magic number {content[:4].hex() or 'missing'})")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DatasetError(
            f"{path}: truncated or damaged, fetch it again (the header announces {shape}, which is "
            f"{math.prod(shape)} bytes, and {len(content) - start} bytes follow)"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_fashion_mnist(folder: Path) -> RawDataset:
    """Read the four IDX files of Fashion-MNIST (Xiao et al. 2017)."""
    train, test = (
        checked(read_idx(folder / images), read_idx(folder / labels), folder / images, folder / labels, 10)
        for images, labels in (IDX_FILES[:2], IDX_FILES[2:])
    )
    return RawDataset(train, None, test, FASHION_MNIST_CLASSES)


#: The official training batches of CIFAR-10 (binary version), with their MD5.
CIFAR10_BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}


def _read_cifar(
    folder: Path, files: Iterable[str], names: str, count: int, md5: Mapping[str, str] | None = None
) -> RawDataset:
    """Read CIFAR's binary version, the last file for test: records of a label or two, and 3 × 32×32 pixels, red first.

    `names` is the file of the `count` class names; a file whose MD5 is known must have it.
    """
    classes = tuple(read_bytes(folder / names).decode("utf-8", "replace").split())
    if len(classes) != count:
        raise DatasetError(f"{folder / names}: expected {count} class names, got {len(classes)}")
    # CIFAR-100 has two labels, the coarse one first.
    label_bytes = 2 if count == 100 else 1

    def read(path: Path) -> Arrays:
        content, size = read_bytes(path), label_bytes + 3072
        if md5 and hashlib.md5(content).hexdigest() != md5[path.name]:
            raise DatasetError(f"{path}: not the official file (another MD5); fetch it again")
        if not content or len(content) % size:
            raise DatasetError(f"{path}: expected records of {size} bytes, got {len(content)} bytes in all")
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return checked(images, records[:, label_bytes - 1], path, path, count)

    *train, test = (read(folder / file) for file in files)
    images, labels = zip(*train, strict=True)
    return RawDataset((np.concatenate(images), np.concatenate(labels)), None, test, classes)


def read_cifar10(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    return _read_cifar(folder, [*CIFAR10_BATCHES, "test_batch.bin"], "batches.meta.txt", 10)


def read_cifar10_holdout(folder: Path) -> RawDataset:
    """Read the five training batches of CIFAR-10: four for training, the fifth in the place of the test images.

    They are images of CIFAR-10, a fifth fewer to train on, and not the official test set.
    """
    return _read_cifar(folder, CIFAR10_BATCHES, "batches.meta.txt", 10, CIFAR10_BATCHES)


def read_cifar100(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-100 with its 100 fine labels."""
    return _read_cifar(folder, ["train.bin", "test.bin"], "fine_label_names.txt", 100)


def read_svhn(folder: Path) -> RawDataset:
    """Read the cropped digits of SVHN (Netzer et al. 2011): X (32, 32, 3, n), y (n, 1) with 10 for the digit 0."""
    from scipy.io import loadmat

    def read(path: Path) -> Arrays:
        content = read_bytes(path)
        try:
            variables = loadmat(io.BytesIO(content), variable_names=["X", "y"])
        except Exception as error:  # SciPy's parser raises nearly any type on a damaged file, IndexError among them
            raise DatasetError(f"{path}: not a MATLAB file, or a damaged one ({one_line(error)})") from error
        missing = {"X", "y"} - set(variables)
        if missing:
            raise DatasetError(f"{path}: expected the variables X and y, missing {' and '.join(sorted(missing))}")
        images, labels = variables["X"], variables["y"]
        if images.ndim != 4 or images.shape[:3] != (32, 32, 3):
            raise DatasetError(f"{path}: expected X of shape (32, 32, 3, n), got {images.shape}")
        return checked(images.transpose(3, 0, 1, 2), np.where(labels == 10, 0, labels), f"{path}: X", f"{path}: y", 10)

    train, test = (read(folder / f"{part}_32x32.mat") for part in ("train", "test"))
    return RawDataset(train, None, test, tuple(map(str, range(10))))


def read_image(path: str | Path) -> "Image.Image":
    """An image file: mode L where it is grey (L or 1), otherwise RGB.

    Raises DatasetError for a file that is no image, and for one of more than 8 bits a channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, converted = image.mode, image.convert("L" if image.mode in ("L", "1") else "RGB")
    except Exception as error:  # Pillow's readers raise nearly any type on a damaged file
        raise DatasetError(f"{path}: not an image that can be read ({one_line(error)})") from error
    if mode[0] in "IF":  # converting these has clipped their values at 255 without a word
        raise DatasetError(f"{path}: expected 8 bits a channel, got an image of mode {mode}")
    return converted


def list_image_folder(folder: Path, names: Sequence[str]) -> "list[ImageFolder]":
    """torchvision's lists of `<name>/<class>/*`, which must all have the same classes, at least two."""
    from torchvision.datasets import ImageFolder  # takes more than a second, which only folders of images need

    where = " and ".join(f"{name}/<class>/" for name in names)
    for name in names:
        if not (folder / name).is_dir():
            raise DatasetError(f"{folder}: no folder {name!r}; expected images in {where}")
    try:
        splits = [ImageFolder(str(folder / name)) for name in names]
    except OSError as error:
        raise DatasetError(f"{folder}: {one_line(error)}") from error
    classes = splits[0].classes
    if len(classes) < 2:
        raise DatasetError(f"{folder}: expected at least 2 classes in {names[0]}/<class>/, got {len(classes)}")
    for name, split in zip(names, splits, strict=True):
        if split.classes != classes:
            other = min(set(classes) ^ set(split.classes))
            raise DatasetError(f"{folder}: the classes differ, only one of {names[0]} and {name} has {other!r}")
    return splits


def read_image_folder(folder: Path) -> RawDataset:
    """Read `train/<class>/*`, `test/<class>/*` and, where there is one, `val/<class>/*`: images of one size.

    The images stay grey (C = 1) where all of them are, otherwise they become RGB (C = 3).
    """
    names = ["train", "test", *(["val"] if (folder / "val").is_dir() else [])]
    splits = dict(zip(names, list_image_folder(folder, names), strict=True))
    images = {path: read_image(path) for split in splits.values() for path, _ in split.samples}
    first, size = next((path, image.size) for path, image in images.items())
    for path, image in images.items():
        if image.size != size:
            sizes = f"{size} in {first} and {image.size} in {path}"
            raise DatasetError(f"{folder}: all images must have one size, got {sizes}")
    mode = "L" if {image.mode for image in images.values()} == {"L"} else "RGB"
    arrays = {}
    for name, split in splits.items():
        pixels = np.stack([np.asarray(images[path].convert(mode)) for path, _ in split.samples])
        arrays[name] = checked(pixels, np.array(split.targets), folder / name, folder / name, len(split.classes))
    classes = tuple(splits["train"].classes)
    return RawDataset(arrays["train"], arrays.get("val"), arrays["test"], classes, sorted_by_class=True)


def read_npz(path: Path) -> RawDataset:
    """Read `x_train, y_train, x_test, y_test` (Keras) or `train_images, …, test_labels` (MedMNIST), never a pickle.

    Images are uint8 (n, H, W) or (n, H, W, C), labels integers 0..K-1 of shape (n,) or (n, 1); `x_val, y_val` or
    `val_images, val_labels` may be there too.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DatasetError(f"{path}: not an .npz file (a zip archive of arrays), or a truncated one")
    reading = "the list of arrays"
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive.files
            names = next((pair for pair in NPZ_NAMES if pair[0].format("train") in found), NPZ_NAMES[0])
            splits = ["train", "test", *(["val"] if any(name.format("val") in found for name in names) else [])]
            wanted = [name.format(split) for split in splits for name in names]
            arrays = {}
            for reading in [name for name in wanted if name in found]:
                arrays[reading] = archive[reading]
    except Exception as error:  # NumPy, zipfile and zlib raise many types on a damaged file
        raise DatasetError(f"{path}: {reading} cannot be read ({one_line(error)})") from error
    if set(wanted) - set(found):
        raise DatasetError(
            f"{path}: expected the arrays x_train, y_train, x_test, y_test (and perhaps x_val, y_val) or "
            f"train_images, train_labels, test_images, test_labels, got {', '.join(map(repr, found[:10])) or 'none'}"
        )

    def pair(split: str, classes: int | None) -> Arrays:
        images, labels = (name.format(split) for name in names)
        return checked(arrays[images], arrays[labels], f"{path}: {images}", f"{path}: {labels}", classes)

    train = pair("train", None)
    count = int(train[1].max()) + 1
    val = pair("val", count) if "val" in splits else None
    return RawDataset(train, val, pair("test", count), tuple(map(str, range(count))), sorted_by_class=True)
