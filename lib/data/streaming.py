"""Images that do not fit in memory: files that worker processes decode while a network computes.

    imagefolder:PATH → read_stream → Dataset → train_ensemble, predict

`StreamedImages` can replace an array of images: it has a shape, can be sliced, and `numpy.asarray` reads it.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from loky import cpu_count
from torch import Tensor
from torch.utils.data import DataLoader

from lib.data.formats import DatasetError, RawDataset, list_image_folder, read_image, reading, validation_name
from lib.errors import ConfigError
from lib.run.files import local_path

#: For evaluation the shorter side is resized to this times the size, then the centre is cropped: 256 for 224.
MARGIN = 256 / 224

#: Default number of images that a worker decodes at a time.
BATCH = 128

#: Increase it whenever the same files give different pixels in training: it is part of the keys of members.
VERSION = b"2"


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Image files in a given order, decoded on demand as RGB images of one size."""

    root: Path  # the folder that the paths are relative to
    paths: np.ndarray  # bytes (n,) from `os.fsencode`: a million strings would be copied to every worker
    size: int  # height and width of the images
    shorter: int  # what the shorter side is resized to before the centre is cropped
    workers: int  # processes that decode; 0: this one; does not affect pixels

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, size, size, 3)`."""
        return len(self.paths), self.size, self.size, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, which: slice | np.ndarray) -> "StreamedImages":
        """The images that a slice, a mask `(n,)` or indices select; nothing is read."""
        return replace(self, paths=self.paths[which])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """All images in memory, uint8 `(n, size, size, 3)`."""
        array = np.empty(self.shape, self.dtype)
        order = torch.arange(len(self)).split(BATCH)
        for indices, pixels in zip(order, self.batches(order), strict=True):
            array[indices] = pixels.permute(0, 2, 3, 1).numpy()
        return array if dtype is None else array.astype(dtype)

    def identity(self) -> bytes:
        """`VERSION`, and the relative paths and sizes of the files in order.

        Raises DatasetError if a file is missing.
        """
        with reading(self.root):
            lengths = [os.stat(self.root / os.fsdecode(path)).st_size for path in self.paths]
        return b"\0".join([VERSION, *self.paths.tolist(), np.array(lengths, dtype="<i8").tobytes()])

    def batches(self, order: Iterable[Sequence[int]], seed: int | None = None) -> Iterator[Tensor]:
        """Yield one uint8 tensor `(m, 3, size, size)` per batch of indices, read ahead by the workers.

        With a `seed` they are random crops and flips, each determined by (seed, index) alone; without one the centre is
        cropped. Raises DatasetError for a file that is not an image, or a worker that died.
        """
        order = list(order)
        # Reading one batch is faster than starting a process.
        workers = min(self.workers, len(order)) if len(order) > 1 else 0
        loader = DataLoader(
            order,
            batch_size=None,
            collate_fn=partial(self._read_batch, seed=seed),
            num_workers=workers,
            # Explicit, because in a loky worker the default is loky's own context, which DataLoader cannot start.
            multiprocessing_context=("fork" if sys.platform == "linux" else "spawn") if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Without one, DataLoader would draw from the global generator.
            generator=torch.Generator(),
        )
        try:
            yield from loader
        except DatasetError as error:
            # An error from a worker contains that process's traceback, which ends with the message.
            raise DatasetError(str(error).rpartition("DatasetError: ")[2].strip()) from None
        except RuntimeError as error:
            raise DatasetError(
                f"{self.root}: a process that reads images died, perhaps out of memory: use fewer "
                f"batch_workers ({' '.join(str(error).split())})"
            ) from error

    def _read_batch(self, indices: Sequence[int], seed: int | None) -> Tensor:
        pixels = np.stack([self.read(int(index), seed) for index in indices])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def read(self, index: int, seed: int | None = None) -> np.ndarray:
        """Read one image, uint8 `(size, size, 3)`; `seed` and errors as in `batches`.

        Random crops follow Szegedy et al. 2015 (arXiv 1409.4842), as is usual in training on ImageNet: 8 to 100 % of
        the area, aspect ratio (width to height) 3/4 to 4/3.
        """
        from torchvision import transforms  # takes more than a second, which only streams need

        image = read_image(self.root / os.fsdecode(self.paths[index])).convert("RGB")
        if seed is None:
            steps = transforms.Compose([transforms.Resize(self.shorter), transforms.CenterCrop(self.size)])
            return np.asarray(steps(image))
        steps = transforms.Compose([transforms.RandomResizedCrop(self.size), transforms.RandomHorizontalFlip()])
        # These draw from the global generator, whose state is restored afterwards.
        with torch.random.fork_rng(devices=[]):
            number = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
            torch.default_generator.manual_seed(int(number))
            return np.asarray(steps(image))


def read_stream(folder: Path, size: int, workers: int | None) -> RawDataset:
    """List `train/<class>/*` and `val/<class>/*`, the usual layout of ImageNet, as images of the given size.

    The `val` folder, or another of VALIDATION_NAMES, provides the test images, shuffled with a fixed seed so that the
    first ones are not all of one class. `workers` processes decode images (None: one per core); their number does not
    affect the pixels. Raises DatasetError or ConfigError, one line each.
    """
    workers = cpu_count() if workers is None else workers
    if workers < 0:
        raise ConfigError(f"batch_workers must be at least 0, got {workers}")
    splits = []
    validation = validation_name(folder, lambda name: (folder / name).is_dir())
    for listed in list_image_folder(folder, ("train", validation or "val")):
        paths = np.array([os.fsencode(os.path.relpath(path, listed.root)) for path, _ in listed.samples])
        images = StreamedImages(Path(listed.root), paths, size, round(size * MARGIN), workers)
        splits.append((images, np.array(listed.targets, dtype=np.int64)))
    train, val = splits
    order = np.random.default_rng(0).permutation(len(val[1]))
    return RawDataset(train, None, tuple(part[order] for part in val), tuple(listed.classes), sorted_by_class=True)


def imagenet_c(images: StreamedImages, folder: str | Path, severity: int) -> StreamedImages:
    """The ImageNet-C versions `(15 n, size, size, 3)` of `n` test images `(n, size, size, 3)`.

    `folder` holds files of the same names in `<corruption>/<severity>/<class>/*`, for 15 corruptions and severities 1
    to 5. The published images are already cropped, so the whole shorter side is used. Raises DatasetError for images in
    memory, or if a corruption's first file is missing.
    """
    from lib.data.corruptions import BENCHMARK  # training workers do not need its imports

    folder = local_path(folder, "imagenet_c_dir")
    if not isinstance(images, StreamedImages):
        raise DatasetError("ImageNet-C holds files of streamed test images, got images in memory")
    parts = [f"{name}/{severity}" for name in BENCHMARK]
    for part in parts:
        first = folder / part / os.fsdecode(images.paths[0])
        if not first.is_file():
            raise DatasetError(f"{first} not found; expected ImageNet-C in <corruption>/<severity>/<class>/")
    paths = np.array([os.fsencode(part) + b"/" + path for part in parts for path in images.paths.tolist()])
    return replace(images, root=folder, paths=paths, shorter=images.size)
