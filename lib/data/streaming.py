"""Images that do not fit in memory: folders of files that worker processes decode while a network computes.

    imagefolder:PATH → read_stream → Dataset → train_ensemble, predict

`StreamedImages` stands where an array of images stands: it has its shape, is cut like it, and `numpy.asarray` reads it.
"""

import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from loky import cpu_count
from torch import Tensor
from torch.utils.data import DataLoader

from lib.data.formats import DatasetError, RawDataset, list_image_folder, one_line, read_image
from lib.errors import ConfigError

#: For evaluation the shorter side becomes this many times the size, of which the middle is cut out: 256 for 224.
MARGIN = 256 / 224

#: A random crop has this share of the image's area and this ratio of width to height, both from and to: the crops of
#: Szegedy et al. 2015 (arXiv 1409.4842), with which ImageNet is usually trained.
CROP_AREA = (0.08, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)

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

    def identity(self) -> bytes:
        """Relative paths and file sizes in their order; raises DatasetError where a file is not there."""
        try:
            lengths = [os.stat(self.root / os.fsdecode(path)).st_size for path in self.paths]
        except OSError as error:
            raise DatasetError(f"{self.root}: {one_line(error)}") from error
        return b"\0".join([*self.paths.tolist(), np.array(lengths, dtype="<i8").tobytes()])

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
        from torchvision.transforms import functional  # takes more than a second, which only streams need

        image = read_image(self.root / os.fsdecode(self.paths[index])).convert("RGB")
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


def read_stream(folder: Path, size: int, workers: int | None) -> RawDataset:
    """List `train/<class>/*` and `val/<class>/*`, as ImageNet is usually unpacked, as images of that size.

    The `val` folder gives the test images, shuffled with a fixed seed, so that the first ones are not all of one class.
    `workers` processes decode, None for one a core; it changes no pixel. Raises DatasetError or ConfigError, one line.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 0):
        raise ConfigError(f"batch_workers must be an integer at least 0, got {workers!r}")
    train, val = list_image_folder(folder, ("train", "val"))
    splits = []
    for listed in (train, val):
        start = len(listed.root) + 1
        paths = np.array([os.fsencode(path[start:]) for path, _ in listed.samples])
        count = cpu_count() if workers is None else workers
        images = StreamedImages(Path(listed.root), paths, size, round(size * MARGIN), count)
        splits.append((images, np.array(listed.targets, dtype=np.int64)))
    order = np.random.default_rng(0).permutation(len(val))
    test = tuple(part[order] for part in splits[1])
    return RawDataset(splits[0], None, test, tuple(train.classes), sorted_by_class=True)


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
