"""Images that do not fit in memory: folders of files that worker processes decode while a network computes.

    imagefolder:PATH → read_stream → Dataset → train_ensemble, predict

`StreamedImages` stands where an array of images stands: it has its shape, is cut like it, and `numpy.asarray` reads it.
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

#: For evaluation the shorter side becomes this many times the size, of which the middle is cut out: 256 for 224.
MARGIN = 256 / 224

#: Images that a worker decodes at a time where nothing else says how many.
BATCH = 128

#: Raise it whenever the same files would give other pixels in training: members trained on those keep their keys.
VERSION = b"2"


@dataclass(frozen=True, eq=False)
class StreamedImages:
    """Image files in a given order, decoded when they are wanted, as RGB of one size."""

    root: Path  # the folder that the paths start from
    paths: np.ndarray  # bytes (n,) as `os.fsencode` gives them: a million strings would be copied to every worker
    size: int  # height and width of the images
    shorter: int  # what the shorter side is resized to before the middle is cut out
    workers: int  # processes that decode; with 0 this one does; it changes no pixel

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
        array = np.empty(self.shape, self.dtype)
        order = torch.arange(len(self)).split(BATCH)
        for indices, pixels in zip(order, self.batches(order), strict=True):
            array[indices] = pixels.permute(0, 2, 3, 1).numpy()
        return array if dtype is None else array.astype(dtype)

    def identity(self) -> bytes:
        """Version of what is made of the files, their relative paths and sizes in their order.

        Raises DatasetError where a file is not there.
        """
        with reading(self.root):
            lengths = [os.stat(self.root / os.fsdecode(path)).st_size for path in self.paths]
        return b"\0".join([VERSION, *self.paths.tolist(), np.array(lengths, dtype="<i8").tobytes()])

    def batches(self, order: Iterable[Sequence[int]], seed: int | None = None) -> Iterator[Tensor]:
        """The images of these indices, read ahead by the workers: a uint8 tensor `(m, 3, size, size)` for each batch.

        With a `seed` they are random crops and flips, each drawn from (seed, index) alone; without one the middle is
        cut out. Raises DatasetError for a file that is not an image, or a worker that died.
        """
        order = list(order)
        # One batch is read sooner than a process is started.
        workers = min(self.workers, len(order)) if len(order) > 1 else 0
        loader = DataLoader(
            order,
            batch_size=None,
            collate_fn=partial(self._read_batch, seed=seed),
            num_workers=workers,
            # Named, as in a worker of loky the default is loky's own way, which DataLoader cannot start.
            multiprocessing_context=("fork" if sys.platform == "linux" else "spawn") if workers else None,
            pin_memory=torch.cuda.is_available(),
            # Without one it would draw a number from the global generator.
            generator=torch.Generator(),
        )
        try:
            yield from loader
        except DatasetError as error:
            # From a worker it comes with that process's traceback, which the message ends.
            raise DatasetError(str(error).rpartition("DatasetError: ")[2].strip()) from None
        except RuntimeError as error:
            raise DatasetError(
                f"{self.root}: a process that reads images died, of too little memory perhaps: choose fewer "
                f"batch_workers ({' '.join(str(error).split())})"
            ) from error

    def _read_batch(self, indices: Sequence[int], seed: int | None) -> Tensor:
        pixels = np.stack([self.read(int(index), seed) for index in indices])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def read(self, index: int, seed: int | None = None) -> np.ndarray:
        """One image, uint8 `(size, size, 3)`; `seed` and error as in `batches`.

        Random crops are those of Szegedy et al. 2015 (arXiv 1409.4842), with which ImageNet is usually trained: 8 to
        100 % of the area, 3/4 to 4/3 of width to height.
        """
        from torchvision import transforms  # takes more than a second, which only streams need

        image = read_image(self.root / os.fsdecode(self.paths[index])).convert("RGB")
        if seed is None:
            steps = transforms.Compose([transforms.Resize(self.shorter), transforms.CenterCrop(self.size)])
            return np.asarray(steps(image))
        steps = transforms.Compose([transforms.RandomResizedCrop(self.size), transforms.RandomHorizontalFlip()])
        # These draw from the global generator, which is as before afterwards.
        with torch.random.fork_rng(devices=[]):
            number = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
            torch.default_generator.manual_seed(int(number))
            return np.asarray(steps(image))


def read_stream(folder: Path, size: int, workers: int | None) -> RawDataset:
    """List `train/<class>/*` and `val/<class>/*`, as ImageNet is usually unpacked, as images of that size.

    The `val` folder, or another of VALIDATION_NAMES, gives the test images, shuffled with a fixed seed, so that the
    first ones are not all of one class. `workers` processes decode, None for one a core; it changes no pixel. Raises
    DatasetError or ConfigError, one line.
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
    """The same `n` test images `(n, size, size, 3)` as ImageNet-C has them: `(15 n, size, size, 3)`.

    `folder` holds `<corruption>/<severity>/<class>/*`, files of the same names, of 15 corruptions and severities 1 to
    5. The published images are cut out already, so theirs is the whole of the shorter side. Raises DatasetError for
    images in memory, and where a corruption's first file is not there.
    """
    from lib.data.corruptions import BENCHMARK  # workers that train need none of its imports

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
