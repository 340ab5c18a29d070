"""Readers of the file formats that images come in; every problem is a DatasetError of one line."""

import gzip
import hashlib
import io
import math
import os
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.errors import OneLineError

if TYPE_CHECKING:
    from PIL import Image

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (n, H, W, C), labels int64 (n,)

FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# Images and labels of one split as Keras and MedMNIST call them.
NPZ_NAMES = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))

#: Bytes of the largest file of a published dataset, unpacked: none has a quarter of it.
MAX_UNPACKED = 2**30
#: What image files are opened as; for other formats, PostScript among them, Pillow starts programs.
IMAGE_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


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


def check_memory(size: int, source: str) -> None:
    """Raise DatasetError for arrays of more bytes than this machine has memory, which a small archive may announce."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    if size > memory:
        raise DatasetError(
            f"{source}: {size / 1e9:,.1f} GB when unpacked, and this machine has {memory / 1e9:,.1f} GB of memory; "
            "imagefolder:PATH reads a folder of images that do not fit in it"
        )


def checked(
    images: np.ndarray, labels: np.ndarray, image_source: str, label_source: str, num_classes: int | None
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
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
            content = file.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read, fetch it again ({one_line(error)})") from error
    if len(content) > MAX_UNPACKED:
        raise DatasetError(f"{path}: more than {MAX_UNPACKED:,} bytes when unpacked; no published dataset has so many")
    return content


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
        checked(read_idx(folder / images), read_idx(folder / labels), str(folder / images), str(folder / labels), 10)
        for images, labels in (IDX_FILES[:2], IDX_FILES[2:])
    )
    return RawDataset(train, None, test, FASHION_MNIST_CLASSES)


def _read_cifar(
    folder: Path,
    train: tuple[str, ...],
    test: str,
    names: str,
    label_bytes: int,
    count: int,
    md5: dict[str, str] | None = None,
) -> RawDataset:
    """Read CIFAR's binary version: records of `label_bytes` labels, then 32×32 pixels, planes of red, green, blue."""
    classes = tuple(read_bytes(folder / names).decode("utf-8", "replace").split())
    if len(classes) != count:
        raise DatasetError(f"{folder / names}: expected {count} class names, got {len(classes)}")

    def read(file: str) -> Arrays:
        content, size = read_bytes(folder / file), label_bytes + 3072
        if md5 and hashlib.md5(content).hexdigest() != md5[file]:
            raise DatasetError(f"{folder / file}: not the official file (another MD5); fetch it again")
        if not content or len(content) % size:
            raise DatasetError(f"{folder / file}: expected records of {size} bytes, got {len(content)} bytes in all")
        records = np.frombuffer(content, np.uint8).reshape(-1, size)
        images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        # CIFAR-100 has two labels, the coarse one first.
        return checked(images, records[:, label_bytes - 1], str(folder / file), str(folder / file), count)

    images, labels = zip(*map(read, train), strict=True)
    return RawDataset((np.concatenate(images), np.concatenate(labels)), None, read(test), classes)


#: The official training batches of CIFAR-10 (binary version), with their MD5.
CIFAR10_BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}


def read_cifar10(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    return _read_cifar(folder, tuple(CIFAR10_BATCHES), "test_batch.bin", "batches.meta.txt", label_bytes=1, count=10)


def read_cifar10_holdout(folder: Path) -> RawDataset:
    """Read the five training batches of CIFAR-10: four for training, the fifth in the place of the test images."""
    *train, test = CIFAR10_BATCHES
    return _read_cifar(folder, tuple(train), test, "batches.meta.txt", label_bytes=1, count=10, md5=CIFAR10_BATCHES)


def read_cifar100(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-100 with its 100 fine labels."""
    return _read_cifar(folder, ("train.bin",), "test.bin", "fine_label_names.txt", label_bytes=2, count=100)


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
        if labels.dtype.kind not in "iu" or labels.min(initial=1) < 1:
            raise DatasetError(f"{path}: expected y to hold integers from 1 to 10, got {labels.dtype}")
        return checked(images.transpose(3, 0, 1, 2), np.where(labels == 10, 0, labels), f"{path}: X", f"{path}: y", 10)

    return RawDataset(
        read(folder / "train_32x32.mat"),
        None,
        read(folder / "test_32x32.mat"),
        tuple(map(str, range(10))),
    )


def read_image(path: str | Path, mode: str | None = None) -> "tuple[tuple[int, int], str, Image.Image | None]":
    """Size (width, height) and mode of an image file, and the image converted to `mode`, None to read the header alone.

    Raises DatasetError for a file that is no image, and for one of more pixels than Pillow's limit of 89 million.
    """
    from PIL import Image

    try:
        if not Path(path).is_file():  # to open a pipe would wait for ever
            raise OSError("it is not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                return image.size, image.mode, image.convert(mode) if mode else None
    except Exception as error:  # Pillow's readers raise nearly any type on a damaged file
        raise DatasetError(f"{path}: not an image that can be read ({one_line(error)})") from error


def check_links(folder: Path) -> None:
    """Raise DatasetError for a link to a folder that it lies in: two of them would be followed for ever."""
    for below, names, _ in os.walk(folder, followlinks=True):
        for path in (Path(below, name) for name in names):
            if path.is_symlink():
                above = [parent for parent in path.parents if parent == folder or folder in parent.parents]
                if any(path.samefile(parent) for parent in above):
                    raise DatasetError(f"{path}: a link to a folder that it lies in")


def read_image_folder(folder: Path) -> RawDataset:
    """Read `train/<class>/*`, `test/<class>/*` and, where there is one, `val/<class>/*`: images of one size.

    The images stay grey (C = 1) where all of them are (mode L or 1), otherwise they become RGB (C = 3).
    """
    from torchvision.datasets import ImageFolder

    names = ["train", "test", *(["val"] if (folder / "val").is_dir() else [])]
    for name in names:
        if not (folder / name).is_dir():
            raise DatasetError(f"{folder}: no folder {name!r}; expected images in train/<class>/ and test/<class>/")
    check_links(folder)
    try:
        splits = {name: ImageFolder(str(folder / name)) for name in names}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(f"{folder}: {one_line(error)}") from error
    classes = splits["train"].classes
    for name, split in splits.items():
        if split.classes != classes:
            raise DatasetError(f"{folder}: the classes differ, train has {classes} and {name} has {split.classes}")

    paths = [path for split in splits.values() for path, _ in split.samples]
    headers = [read_image(path)[:2] for path in paths]
    for path, (size, mode) in zip(paths, headers, strict=True):
        if size != headers[0][0]:
            raise DatasetError(
                f"{folder}: all images must have one size, got {headers[0][0]} in {paths[0]} and {size} in {path}"
            )
        if mode[0] in "IF":  # converting these would clip their values at 255 without a word
            raise DatasetError(f"{path}: expected 8 bits a channel, got an image of mode {mode}")
    mode = "L" if {mode for _, mode in headers} <= {"L", "1"} else "RGB"
    check_memory(len(paths) * math.prod(headers[0][0]) * len(mode), str(folder))
    arrays = {
        name: checked(
            np.stack([np.asarray(read_image(path, mode)[2]) for path, _ in split.samples]),
            np.array(split.targets),
            *(str(folder / name), str(folder / name)),
            # Training images name the classes, of which there must be two.
            None if name == "train" else len(classes),
        )
        for name, split in splits.items()
    }
    return RawDataset(arrays["train"], arrays.get("val"), arrays["test"], tuple(classes), sorted_by_class=True)


def read_npz(path: Path) -> RawDataset:
    """Read `x_train, y_train, x_test, y_test` (Keras) or `train_images, …, test_labels` (MedMNIST), never a pickle.

    Images are uint8 (n, H, W) or (n, H, W, C), labels integers 0..K-1 of shape (n,) or (n, 1); `x_val, y_val` or
    `val_images, val_labels` may be there too.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DatasetError(f"{path}: not an .npz file (a zip archive of arrays), or a truncated one")
    reading = "the list of arrays"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = archive.files
            names = next((pair for pair in NPZ_NAMES if pair[0].format("train") in found), NPZ_NAMES[0])
            splits = ["train", "test", *(["val"] if any(name.format("val") in found for name in names) else [])]
            wanted = [name.format(split) for split in splits for name in names]
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
            check_memory(sum(sizes.get(name, 0) for name in wanted), str(path))
            arrays = {}
            for reading in [name for name in wanted if name in found]:
                arrays[reading] = np.asarray(archive[reading])
    except DatasetError:
        raise
    except Exception as error:  # numpy, zipfile and zlib raise many types on a damaged file
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
