"""Readers for image file formats; every problem is a one-line DatasetError."""

import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lib.errors import OneLineError
from lib.run.store import CLAIMS

if TYPE_CHECKING:
    from PIL import Image
    from torchvision.datasets import ImageFolder

Arrays = tuple[np.ndarray, np.ndarray]  # images uint8 (n, H, W, C), labels int64 (n,)

FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
# Names of the images and labels of one split in Keras and MedMNIST.
NPZ_NAMES = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))
# Common names for the validation images, next to `train` and `test`.
VALIDATION_NAMES = ("val", "valid", "validation", "dev")


class DatasetError(OneLineError, ValueError):
    """A dataset cannot be loaded as requested; the one-line message says what to do."""


class RawDataset(NamedTuple):
    """What a reader returns: the source's arrays, before a validation split is made."""

    train: Arrays
    val: Arrays | None  # None if the source has no validation images
    test: Arrays
    classes: tuple[str, ...]
    sorted_by_class: bool = False  # whether the last training images may all be of one class


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn any exception raised while a file is read (parsers raise nearly any type) into a DatasetError."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise DatasetError(f"{path}: cannot be read; is it damaged, or in another format? ({problem})") from error


def folder_name(stem: str, otherwise: str) -> str:
    """Make a safe folder name from any file name, avoiding the name of the store's verdicts folder."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).lstrip(".")[:100] or otherwise
    return f"{name}-data" if name.lower() == CLAIMS else name


def validation_name(source: object, there: Callable[[str], bool]) -> str | None:
    """Return the one of VALIDATION_NAMES that exists, or None; raises DatasetError if there are several."""
    found = [name for name in VALIDATION_NAMES if there(name)]
    if len(found) > 1:
        raise DatasetError(f"{source}: expected one set of validation images, got {' and '.join(found)}")
    return found[0] if found else None


def checked(images: np.ndarray, labels: np.ndarray, source: object, num_classes: int | None) -> Arrays:
    """Return images as contiguous uint8 `(n, H, W, C)` and labels as int64 `(n,)`, after checking both.

    `num_classes` is the number of classes K: labels must be in 0..K-1. With None, K is taken from the labels, which
    must then include each of 0..K-1. Raises DatasetError, whose message starts with `source`.
    """
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not 1 <= channels <= 4 or images.size == 0:
        raise DatasetError(
            f"{source}: expected uint8 images of shape (n, H, W) or (n, H, W, C) with C from 1 to 4, "
            f"got {images.dtype} {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape not in [(len(images),), (len(images), 1)]:
        raise DatasetError(
            f"{source}: expected integer labels of shape ({len(images)},) or ({len(images)}, 1), "
            f"got {labels.dtype} {labels.shape}"
        )
    present = np.unique(labels)
    count = num_classes or max(2, len(present))
    if present[0] < 0 or present[-1] >= count or (num_classes is None and len(present) < count):
        raise DatasetError(
            f"{source}: expected labels 0 to {count - 1}, "
            f"got {len(present)} different ones from {present[0]} to {present[-1]}"
        )
    images = np.ascontiguousarray(images).reshape(*images.shape[:3], channels)
    return images, labels.reshape(-1).astype(np.int64)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, or of the same name with `.gz`, decompressed if it is gzipped."""
    path = path if path.is_file() else path.with_name(f"{path.name}.gz")
    with reading(path):
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of unsigned bytes (the MNIST format, http://yann.lecun.com/exdb/mnist), gzipped or not."""
    content = read_bytes(path)
    with reading(path):
        if content[:3] != b"\0\0\x08":
            raise ValueError(f"expected the magic number 000008, got {content[:3].hex() or 'nothing'}")
        shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + shape.nbytes).reshape(shape)


def read_fashion_mnist(folder: Path) -> RawDataset:
    """Read the four IDX files of Fashion-MNIST (Xiao et al. 2017)."""
    arrays = [read_idx(folder / file) for file in IDX_FILES]
    train, test = (checked(*arrays[start : start + 2], folder / IDX_FILES[start], 10) for start in (0, 2))
    return RawDataset(train, None, test, FASHION_MNIST_CLASSES)


#: The training batches of CIFAR-10, binary version, with their official MD5.
CIFAR10_BATCHES = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
}


def _read_cifar(folder: Path, files: Sequence[str], names: str, count: int) -> RawDataset:
    """Read CIFAR's binary version; the last file is the test set, and `names` lists the `count` class names.

    A record is one or two labels followed by 3 × 32×32 pixels, red first.
    """
    classes = tuple(read_bytes(folder / names).decode("utf-8", "replace").split())
    if len(classes) != count:
        raise DatasetError(f"{folder / names}: expected {count} class names, got {len(classes)}")
    # CIFAR-100 has two labels, the coarse one first.
    label_bytes = 2 if count == 100 else 1

    def read(path: Path) -> Arrays:
        with reading(path):
            records = np.frombuffer(read_bytes(path), np.uint8).reshape(-1, label_bytes + 3072)
            images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            return checked(images, records[:, label_bytes - 1], path, count)

    *train, test = (read(folder / file) for file in files)
    images, labels = zip(*train, strict=True)
    return RawDataset((np.concatenate(images), np.concatenate(labels)), None, test, classes)


def read_cifar10(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-10 (https://www.cs.toronto.edu/~kriz/cifar.html)."""
    return _read_cifar(folder, [*CIFAR10_BATCHES, "test_batch.bin"], "batches.meta.txt", 10)


def read_cifar10_holdout(folder: Path) -> RawDataset:
    """Read four training batches of CIFAR-10, with the fifth in place of the official test images."""
    for file, md5 in CIFAR10_BATCHES.items():
        if hashlib.md5(read_bytes(folder / file)).hexdigest() != md5:
            raise DatasetError(f"{folder / file}: not the official file (wrong MD5): download it again")
    return _read_cifar(folder, list(CIFAR10_BATCHES), "batches.meta.txt", 10)


def read_cifar100(folder: Path) -> RawDataset:
    """Read the binary version of CIFAR-100 with its 100 fine labels."""
    return _read_cifar(folder, ["train.bin", "test.bin"], "fine_label_names.txt", 100)


def read_svhn(folder: Path) -> RawDataset:
    """Read the cropped digits of SVHN (Netzer et al. 2011): X `(32, 32, 3, n)`, y `(n, 1)` with 10 for the digit 0."""
    from scipy.io import loadmat

    def read(path: Path) -> Arrays:
        with reading(path):
            variables = loadmat(io.BytesIO(read_bytes(path)), variable_names=["X", "y"])
            images, labels = variables["X"].transpose(3, 0, 1, 2), variables["y"]
            return checked(images, np.where(labels == 10, 0, labels), path, 10)

    train, test = (read(folder / f"{part}_32x32.mat") for part in ("train", "test"))
    return RawDataset(train, None, test, tuple(map(str, range(10))))


def read_image(path: str | Path) -> "Image.Image":
    """Read an image file, as mode L if it is grey (L or 1), otherwise as RGB.

    Raises DatasetError for a file that is not an image, or has more than 8 bits per channel.
    """
    from PIL import Image

    with reading(path), Image.open(path) as image:
        if image.mode[0] in "IF":  # converting these would silently clip values at 255
            raise ValueError(f"expected 8 bits per channel, got an image of mode {image.mode}")
        return image.convert("L" if image.mode in ("L", "1") else "RGB")


def list_image_folder(folder: Path, names: Sequence[str]) -> "list[ImageFolder]":
    """List `<name>/<class>/*` with torchvision; all must have the same classes, at least two.

    Names that begin with a dot are ignored: `.ipynb_checkpoints` holds copies.
    """
    # These imports take more than a second, and only image folders need them.
    from torchvision.datasets import ImageFolder
    from torchvision.datasets.folder import is_image_file

    def counts(path: str) -> bool:
        return is_image_file(path) and "/." not in Path(path).relative_to(folder).as_posix()

    class Visible(ImageFolder):
        def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
            classes = [name for name in super().find_classes(directory)[0] if name[0] != "."]
            return classes, {name: number for number, name in enumerate(classes)}

    where = " and ".join(f"{name}/<class>/" for name in names)
    try:
        splits = [Visible(str(folder / name), is_valid_file=counts) for name in names]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{folder}: expected images in {where} ({' '.join(str(error).split())})") from error
    classes = set(splits[0].classes)
    odd = sorted(set().union(*(classes.symmetric_difference(split.classes) for split in splits)))
    if len(classes) < 2 or odd:
        names = f"{len(classes)}, of which not everywhere: {', '.join(odd[:5]) or 'none'}"
        raise DatasetError(f"{folder}: expected the same classes, at least two, in {where}, got {names}")
    return splits


def read_image_folder(folder: Path) -> RawDataset:
    """Read images of one size from `train/<class>/*`, `test/<class>/*` and, if it exists, `val/<class>/*`.

    `val` may be any of VALIDATION_NAMES. Images stay grey (C = 1) if all are grey, otherwise they become RGB (C = 3).
    """
    validation = validation_name(folder, lambda name: (folder / name).is_dir())
    names = ["train", "test", *([validation] if validation else [])]
    splits = dict(zip(names, list_image_folder(folder, names), strict=True))
    images = {path: read_image(path) for split in splits.values() for path, _ in split.samples}
    sizes = {image.size: path for path, image in images.items()}
    if len(sizes) > 1:
        found = " and ".join(f"{size} in {path}" for size, path in list(sizes.items())[:2])
        raise DatasetError(f"{folder}: all images must have one size, got {found}")
    mode = "L" if {image.mode for image in images.values()} == {"L"} else "RGB"
    arrays = {}
    for name, split in splits.items():
        pixels = np.stack([np.asarray(images[path].convert(mode)) for path, _ in split.samples])
        arrays[name] = checked(pixels, np.array(split.targets), folder / name, len(split.classes))
    classes = tuple(splits["train"].classes)
    return RawDataset(arrays["train"], arrays.get(validation), arrays["test"], classes, sorted_by_class=True)


def read_npz(path: Path) -> RawDataset:
    """Read `x_train, y_train, x_test, y_test` (Keras) or `train_images, …, test_labels` (MedMNIST), never a pickle.

    Images are uint8 `(n, H, W)` or `(n, H, W, C)`, labels are integers 0..K-1 of shape `(n,)` or `(n, 1)`. Validation
    arrays are optional: `x_val, y_val` or `val_images, val_labels`, with any of VALIDATION_NAMES.
    """
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path}: not an .npz file (a zip archive of arrays), or a truncated one")
    with reading(path), np.load(path) as archive:
        images, labels = NPZ_NAMES["train_images" in archive]
        validation = validation_name(path, lambda name: images.format(name) in archive)
        arrays, count = {}, None
        for split in ("train", "test", *([validation] if validation else [])):
            pair = archive[images.format(split)], archive[labels.format(split)]
            arrays[split] = checked(*pair, f"{path} ({split})", count)
            count = count or int(arrays[split][1].max()) + 1
    classes = tuple(map(str, range(count)))
    return RawDataset(arrays["train"], arrays.get(validation), arrays["test"], classes, sorted_by_class=True)
