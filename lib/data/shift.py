"""Data unlike the training data: test images under the 19 corruptions of CIFAR-10-C, and images of other classes.

    dataset → Shift.images, foreign_images → predict

Nothing is downloaded here: published files are read from the data root.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from lib.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lib.data.datasets import Dataset, load_dataset
from lib.data.formats import DatasetError, checked, reading
from lib.data.sources import data_root, locate
from lib.errors import ConfigError
from lib.run.store import RunStore

#: Increase it whenever `lib.data.corruptions.corrupt` gives different images, so that stored ones are made again.
VERSION = 2

#: Folder in the data root with the published files of CIFAR-10-C.
PUBLISHED = "CIFAR-10-C"


def read_cifar10_c(folder: Path, name: str, severity: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of one corruption and severity from the published files of CIFAR-10-C.

    `<name>.npy` holds uint8 images `(50000, 32, 32, 3)`, five blocks of 10,000 ordered by severity, and `labels.npy`
    the same number of labels (https://zenodo.org/records/2535967). Returns images `(10000, 32, 32, 3)`, memory-mapped
    and read-only, and labels int64 `(10000,)`. Raises DatasetError for missing or damaged files.
    """
    arrays = []
    for path, shape in ((folder / f"{name}.npy", (32, 32, 3)), (folder / "labels.npy", ())):
        if not path.is_file():
            raise DatasetError(
                f"{path} not found; unpack CIFAR-10-C (https://zenodo.org/records/2535967) into {folder}"
            )
        with reading(path):
            arrays.append(np.load(path, mmap_mode="r").reshape(5, -1, *shape)[severity - 1])
    return checked(*arrays, folder / f"{name}.npy", num_classes=10)


@dataclass(frozen=True, eq=False)
class Shift:
    """Test images of a dataset under every corruption.

    Each corruption gets its own test images: the next `count` of them, starting over when they run out, so that a mean
    over corruptions covers as many different images as possible. A corruption has the same images at every severity. In
    all shapes corruptions come first, in the order of `names`. Raises ConfigError for a `count` above the number of
    test images, and for images that `corrupt` does not accept.
    """

    dataset: Dataset  # the test images are used
    store: RunStore  # keeps the corrupted images
    count: int | None = None  # test images per corruption; None: all
    data_dir: str | Path | None = None  # data root, which may contain `PUBLISHED`; None: as for datasets
    seed: int = 0  # of the corruptions

    severities = (0, *SEVERITIES)

    def __post_init__(self):
        available = len(self.dataset.test.labels)
        if self.count is not None and not 1 <= self.count <= available:
            raise ConfigError(f"num_corrupted must be from 1 to {available} for {self.dataset.name}, got {self.count}")
        height, width, channels = self.dataset.image_shape
        if min(height, width) < 8 or channels not in (1, 3):
            size = f"{height} by {width} pixels with {channels} channels"
            raise ConfigError(f"corruptions need grey or RGB images of at least 8 by 8 pixels, got {size}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the corruptions; without `saturate` for grey images, which it leaves unchanged."""
        return tuple(name for name in CORRUPTIONS if self.dataset.image_shape[2] == 3 or name != "saturate")

    @cached_property
    def which(self) -> np.ndarray:
        """Indices of the test images, `(C, count)` for C = 19 or 18 corruptions."""
        available = len(self.dataset.test.labels)
        count = self.count or available
        return np.arange(len(self.names) * count).reshape(-1, count) % available

    @property
    def labels(self) -> np.ndarray:
        """The true classes `(C, count)`."""
        return self.dataset.test.labels[self.which]

    @property
    def published(self) -> Path | None:
        """The folder of the published files, for CIFAR-10 if it exists; otherwise images are corrupted here."""
        folder = data_root(self.data_dir) / PUBLISHED
        return folder if self.dataset.name == "cifar10" and folder.is_dir() else None

    def images(self, severity: int) -> np.ndarray:
        """Images of a severity from 0 (clean) to 5: uint8 `(C, count, H, W, channels)`.

        Raises `DatasetError` if published files are missing, damaged, or do not have the labels of the test images.
        """

        def made() -> np.ndarray:
            under = zip(self.names, self.which, strict=True)
            return np.stack([self._under(name, severity, which) for name, which in under])

        if severity == 0 or self.published:
            return made()
        recipe = {
            "dataset": self.dataset.content_hash,
            "corruptions": list(self.names),
            "severity": int(severity),
            "count": self.which.shape[1],
            "seed": self.seed,
            "version": VERSION,
        }
        return self.store.cached("corrupted", recipe, lambda: {"images": made()})["images"]

    def of_one(self, number: int = 0) -> np.ndarray:
        """One test image, given by index, under every corruption and severity: uint8 `(C, 6, H, W, channels)`."""
        rows = [[self._under(name, severity, [number])[0] for severity in self.severities] for name in self.names]
        return np.array(rows)

    def _under(self, name: str, severity: int, which: ArrayLike) -> np.ndarray:
        """The test images with indices `which` under one corruption."""
        if severity > 0 and self.published:
            images, labels = read_cifar10_c(self.published, name, severity)
            if not np.array_equal(labels, self.dataset.test.labels):
                labels_file = self.published / "labels.npy"
                raise DatasetError(f"{labels_file}: expected the labels of the test images of {self.dataset.name}")
            return images[which]
        return corrupt(np.asarray(self.dataset.test.images[which]), name, severity, self.seed)


def foreign_images(
    dataset: Dataset, count: int | None = None, data_dir: str | Path | None = None, seed: int = 0
) -> tuple[str, np.ndarray]:
    """Images of none of the dataset's classes, in its shape.

    For CIFAR-10 and CIFAR-100 the test images of SVHN, as in the paper, if they are in the data root; for digits and
    SVHN the clothes that come with this project; for all others, or if SVHN is missing, scikit-learn's digits. Nothing
    is downloaded. Other sizes are resized by linear interpolation, and grey is repeated in three channels.

    Returns a description in words and uint8 images `(n, H, W, C)`: at most `count` of them, drawn with `seed`, or all
    if None. `data_dir` is the data root; None as for datasets.
    """
    height, width, channels = dataset.image_shape
    root = data_root(data_dir)
    if dataset.name in ("digits", "svhn"):
        name, source = "clothes (Fashion-MNIST)", load_dataset("fashion_mnist_mini").test.images
    elif dataset.name in ("cifar10", "cifar10_holdout", "cifar100") and locate("svhn", root):
        name, source = "house numbers (SVHN)", load_dataset("svhn", root).test.images
    else:
        digits = load_dataset("digits")
        name = "handwritten digits (scikit-learn)"
        source = np.concatenate([split.images for split in (digits.train, digits.val, digits.test)])
    chosen = np.random.default_rng(seed).permutation(len(source))[:count]
    images = source[chosen]
    if images.shape[1:3] != (height, width):
        planes, linear = images.transpose(0, 3, 1, 2), Image.Resampling.BILINEAR
        # Pillow widens its linear filter to shrink images, so that no pixel is skipped.
        resized = [[Image.fromarray(plane).resize((width, height), linear) for plane in image] for image in planes]
        images = np.array([[np.asarray(plane) for plane in image] for image in resized]).transpose(0, 2, 3, 1)
    return name, np.repeat(images, channels // images.shape[3], axis=3)
