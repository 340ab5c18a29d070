"""Images that do not fit in memory: folders of files that worker processes decode while a network computes.

    imagefolder:PATH → open_image_folder → StreamedDataset → train_ensemble, predict

`StreamedImages` stands where an array of images stands: it has its shape, is cut like it, and `numpy.asarray` reads it.
"""

import hashlib
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from loky import cpu_count
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from lib.data.datasets import Dataset, Split, validation_count
from lib.data.formats import DatasetError, check_links, folder_name, one_line, read_image
from lib.errors import ConfigError

#: Height and width of the images that a network gets, unless the name of the dataset says another.
SIZE = 224

#: For evaluation the shorter side becomes this many times the size, of which the middle is cut out: 256 for 224.
MARGIN = 256 / 224

#: A random crop has this share of the image's area and this ratio of width to height, both from and to: the crops of
#: Szegedy et al. 2015 (arXiv 1409.4842), with which ImageNet is usually trained.
CROP_AREA = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)

#: Training images in memory, from which statistics over pixels come.
SAMPLE = 2000

#: Images that a worker decodes at a time where nothing else says how many.
BATCH = 128

#: How the workers are started: as by DataLoader itself on each system.
START = "fork" if sys.platform == "linux" else "spawn"


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Image files in a given order, decoded when they are wanted, as RGB of one size.

    Attributes:
        root: the folder that the paths start from.
        paths: relative to it, as `os.fsencode` writes them: bytes `(n,)`, since a million strings would be copied to
            every worker.
        size: height and width of the images.
        shorter: what the shorter side is resized to before the middle is cut out.
        workers: processes that decode; with 0 this one does. It changes no pixel.
    """

    root: Path
    paths: np.ndarray
    size: int
    shorter: int
    workers: int

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, size, size, 3)`."""
        return len(self.paths), self.size, self.size, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, which: slice | np.ndarray) -> "StreamedImages":
        """Those that a slice, a mask `(n,)` or indices choose; nothing is read."""
        return replace(self, paths=self.paths[which])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """All images in memory, uint8 `(n, size, size, 3)`."""
        if copy is False:
            raise ValueError("copy: streamed images are in no memory that could be shared, received False")
        array = np.empty(self.shape, self.dtype)
        order = [np.arange(start, min(start + BATCH, len(self))) for start in range(0, len(self), BATCH)]
        for indices, pixels in zip(order, self.batches(order), strict=True):
            array[indices] = pixels.permute(0, 2, 3, 1).numpy()
        return array if dtype is None else array.astype(dtype)

    def batches(self, order: Iterable[Sequence[int]], seed: int | None = None) -> Iterator[Tensor]:
        """The images of these indices, read ahead by the workers: a uint8 tensor `(m, 3, size, size)` for each batch.

        Args:
            order: indices of each batch.
            seed: of random crops and flips, each drawn from (seed, index) alone; without one the middle is cut out.

        Raises:
            DatasetError: a file that is not an image, or a worker that died.
        """
        batches = _Batches(self, [np.asarray(indices) for indices in order], seed)
        # One batch is read sooner than a process is started.
        workers = min(self.workers, len(batches)) if len(batches) > 1 else 0
        loader = DataLoader(
            batches,
            batch_size=None,
            num_workers=workers,
            # Named, as in a worker of loky the default is loky's own way, which DataLoader cannot start.
            multiprocessing_context=START if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Without one it would draw a number from the global generator.
            generator=torch.Generator(),
        )
        try:
            for pixels in loader:
                if isinstance(pixels, DatasetError):
                    raise pixels
                yield pixels
        except RuntimeError as error:
            raise DatasetError(
                f"{self.root}: a process that reads images died, of too little memory perhaps: choose fewer "
                f"batch_workers ({one_line(error)})"
            ) from error

    def read(self, index: int, seed: int | None = None) -> np.ndarray:
        """One image, uint8 `(size, size, 3)`; arguments and error as in `batches`."""
        from torchvision.transforms import functional  # here for the reason given in _open

        path = self.root / os.fsdecode(self.paths[index])
        _, mode, image = read_image(path, "RGB")
        if mode[0] in "IF":  # converting these clips their values at 255 without a word
            raise DatasetError(f"{path}: expected 8 bits a channel, got an image of mode {mode}")
        if seed is None:
            return np.asarray(functional.center_crop(functional.resize(image, self.shorter), self.size))
        rng = np.random.default_rng([seed, index])
        left, top, width, height = random_crop(*image.size, rng)
        image = functional.resized_crop(image, top, left, height, width, (self.size, self.size))
        pixels = np.asarray(image)
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels


@dataclass(frozen=True)
class _Batches:
    """Whole batches as the items that a DataLoader's workers fetch."""

    images: StreamedImages
    order: list[np.ndarray]
    seed: int | None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> Tensor | DatasetError:
        try:
            pixels = np.stack([self.images.read(index, self.seed) for index in self.order[number].tolist()])
        except DatasetError as error:
            # Raised in a worker it would come out with that process's traceback in its message.
            return error
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def random_crop(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height of a random part of an image, drawn as `CROP_AREA` and `CROP_RATIO` say.

    Ten draws that do not fit in the image are followed by its middle, as in torchvision's `RandomResizedCrop`, which
    would draw from the global generator.
    """
    low, high = np.log(CROP_RATIO)
    for _ in range(10):
        area = rng.uniform(*CROP_AREA) * width * height
        ratio = math.exp(rng.uniform(low, high))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    w = min(width, max(1, round(height * CROP_RATIO[1])))
    h = min(height, max(1, round(width / CROP_RATIO[0])))
    return (width - w) // 2, (height - h) // 2, w, h


@dataclass(frozen=True, eq=False)
class StreamedDataset(Dataset):
    """A dataset whose splits hold `StreamedImages`; everything else is as in `Dataset`.

    Attributes:
        fingerprint: what `content_hash` returns.
    """

    fingerprint: str

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) over the size of the images, and relative paths and file sizes of each split in its order."""
        return self.fingerprint

    @cached_property
    def sample(self) -> np.ndarray:
        """The first training images, cut out of the middle, in memory: at most `SAMPLE`."""
        return np.asarray(self.train.images[:SAMPLE])


def open_image_folder(name: str, validation_size: int | None = None, workers: int | None = None) -> StreamedDataset:
    """The dataset in `PATH/train/<class>/*` and `PATH/val/<class>/*`, as ImageNet is usually unpacked.

    The `val` folder gives the test images; the validation images are taken from `train`. Both folders are shuffled with
    a fixed seed, so that the first images of a split are not all of one class. In one process a folder is listed again
    when images were added, renamed or removed; that a file was replaced by another is noticed by the next process.

    Args:
        name: `imagefolder:PATH`, or `imagefolder@SIZE:PATH` for images of SIZE by SIZE instead of 224.
        validation_size: see `lib.data.datasets.load_dataset`.
        workers: processes that decode images, `None` for one a core; it changes no pixel.

    Raises:
        DatasetError, ConfigError: one line each.
    """
    match = re.fullmatch(r"imagefolder(?:@([0-9]+))?:(.+)", name)
    size = int(match[1] or SIZE) if match else 0
    if size < 8:
        raise DatasetError(
            f"unknown dataset {name!r}; expected imagefolder:PATH, or imagefolder@SIZE:PATH with a SIZE of at least 8"
        )
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise ConfigError(f"batch_workers must be an integer at least 0, got {workers!r}")
    folder = Path(match[2]).expanduser().resolve()
    for part in ("train", "val"):
        if not (folder / part).is_dir():
            raise DatasetError(f"{folder}: no folder {part!r}; expected images in train/<class>/ and val/<class>/")
    folders = [path for part in ("train", "val") for path in [folder / part, *sorted((folder / part).iterdir())]]
    modified = tuple(path.stat().st_mtime_ns for path in folders if path.exists())
    return _open(folder, size, validation_size, cpu_count() if workers is None else workers, modified)


@lru_cache(maxsize=2)
def _open(
    folder: Path, size: int, validation_size: int | None, workers: int, modified: tuple[int, ...]
) -> StreamedDataset:
    """List, split and shuffle. `modified` is there for the cache alone."""
    # Here, as it takes more than a second, which programs without streamed images need not wait for.
    from torchvision.datasets import ImageFolder

    digest = hashlib.sha256(repr((size, size, 3)).encode())

    def split(listed: ImageFolder, order: np.ndarray) -> Split:
        files = [listed.samples[number] for number in order]
        start = len(listed.root) + 1
        relative = np.array([os.fsencode(path[start:]) for path, _ in files])
        lengths = np.array([os.stat(path).st_size for path, _ in files], dtype="<i8")
        labels = np.array([label for _, label in files], dtype=np.int64)
        digest.update(b"\0".join([*relative.tolist(), lengths.tobytes()]))
        labels.flags.writeable = False
        return Split(StreamedImages(Path(listed.root), relative, size, round(size * MARGIN), workers), labels)

    try:
        check_links(folder)
        train, val = (ImageFolder(os.fspath(folder / part)) for part in ("train", "val"))
        if len(train.classes) < 2:
            raise DatasetError(f"{folder}: expected at least 2 classes in train/<class>/, got {len(train.classes)}")
        if val.classes != train.classes:
            other = min(set(train.classes) ^ set(val.classes))
            raise DatasetError(f"{folder}: train and val must have the same classes, only one of them has {other!r}")
        order, tests = (np.random.default_rng(0).permutation(len(listed)) for listed in (train, val))
        held_out = validation_count(len(order), validation_size, str(folder))
        splits = split(train, order[:-held_out]), split(train, order[-held_out:]), split(val, tests)
    except OSError as error:
        raise DatasetError(f"{folder}: {one_line(error)}") from error
    stem = folder_name(folder.name, "images")
    return StreamedDataset(f"{stem}-{size}", *splits, tuple(train.classes), digest.hexdigest())


def imagenet_c(images: StreamedImages, folder: str | Path, severity: int) -> StreamedImages:
    """The same images as ImageNet-C has them: under its 15 corruptions, one after the other, n images each.

    Args:
        images: test images of ImageNet `(n, size, size, 3)`.
        folder: holds `<corruption>/<severity>/<class>/*`, files of the same names.
        severity: 1 to 5.

    Returns:
        `(15 n, size, size, 3)`. The published images are cut out already, so theirs is the whole of the shorter side.

    Raises:
        ValueError: another severity.
        DatasetError: images in memory, or a corruption whose first file is not there.
    """
    from lib.data.corruptions import BENCHMARK, SEVERITIES  # workers that train need none of its imports

    if severity not in SEVERITIES:
        raise ValueError(f"severity: expected one of {', '.join(map(str, SEVERITIES))}, received {severity}")
    folder = Path(folder).expanduser().resolve()
    parts = [f"{name}/{severity}" for name in BENCHMARK]
    if not isinstance(images, StreamedImages):
        raise DatasetError("ImageNet-C holds files of streamed test images, got images in memory")
    for first in [folder / part / os.fsdecode(path) for part in parts for path in images.paths[:1]]:
        if not first.is_file():
            raise DatasetError(f"{first} not found; expected ImageNet-C in <corruption>/<severity>/<class>/")
    paths = np.array([os.fsencode(part) + b"/" + path for part in parts for path in images.paths.tolist()])
    return replace(images, root=folder, paths=paths, shorter=images.size)


def write_image_folder(dataset: Dataset, folder: str | Path, train: int, test: int) -> Path:
    """Write the first images of a dataset as PNG files that `open_image_folder` takes, and return the folder.

    Args:
        dataset: images in memory, grey or RGB.
        folder: is made; files of the same name are replaced.
        train: how many training images, into `train/<class>/`.
        test: how many test images, into `val/<class>/`.
    """
    folder = Path(folder)
    names = [f"{label:03d}-{re.sub('[^A-Za-z0-9]+', '-', name)}" for label, name in enumerate(dataset.classes)]
    for part, split, count in (("train", dataset.train, train), ("val", dataset.test, test)):
        for name in names:
            (folder / part / name).mkdir(parents=True, exist_ok=True)
        for number, (pixels, label) in enumerate(zip(split.images[:count], split.labels[:count], strict=True)):
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            picture.save(folder / part / names[label] / f"{number:06d}.png")
    return folder
