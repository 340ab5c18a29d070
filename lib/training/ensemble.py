"""Training of ensembles: find the missing members, train them with an engine, and show progress."""

import math
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lib.config import TRAINING_VERSION, Experiment, MemberConfig
from lib.data.datasets import DATASETS, Dataset, DatasetError, load_dataset
from lib.errors import ConfigError
from lib.models.lockstep import CannotStack
from lib.models.networks import build_model
from lib.models.predict import as_pixels
from lib.run.engines import default_device, engine_name, has_bfloat16, open_engine
from lib.run.files import appears
from lib.run.progress import every_second, progress
from lib.run.store import DamagedRun, Run, RunStore, StoreError
from lib.training.trainer import Trajectory, load_trajectory, train_members

#: Seconds to wait until the last file that a worker wrote for a run is visible here; NFS may hide it for less.
SEEN_WITHIN = 90.0


class Runs(Sequence[Trajectory]):
    """The trajectories of M members of one experiment, in order; a slice is `Runs` again."""

    def __init__(self, trajectories: Iterable[Trajectory]):
        self._trajectories = tuple(trajectories)

    def __len__(self) -> int:
        return len(self._trajectories)

    def __getitem__(self, index: int | slice) -> "Trajectory | Runs":
        chosen = self._trajectories[index]
        return Runs(chosen) if isinstance(index, slice) else chosen

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights at initialisation and after each epoch, float32 `(M, T, P)` with T = epochs + 1."""
        return np.stack([one.weights for one in self])

    @cached_property
    def final(self) -> np.ndarray:
        """The last weights, float32 `(M, P)`."""
        return np.stack([one.final for one in self])

    @cached_property
    def val_accuracies(self) -> np.ndarray:
        """Validation accuracy (a fraction) after each epoch, `(M, T - 1)`."""
        return np.stack([one.history["val_accuracy"].to_numpy() for one in self])

    @cached_property
    def keys(self) -> list[str]:
        """The members' content keys, which name them in the store."""
        return [one.member.key for one in self]


def check_training(experiment: Experiment, dataset: Dataset) -> None:
    """Raise a `ConfigError` if the experiment's network cannot be built for, or trained on, this dataset.

    For a batch of one image whose maps shrink to 1 x 1, BatchNorm has a single value per channel, and no deviation.
    """
    images, size = len(dataset.train.labels), experiment.batch_size
    rest = 0 if experiment.sampling == "replacement" else images % size
    network = build_model(experiment.architecture, dataset.image_shape, dataset.num_classes)
    try:
        if 1 in (size, rest):
            network(as_pixels(dataset.train.images[:1]))
    except ValueError:
        raise ConfigError(
            f"batch_size {size} leaves a batch of one image, too few for the BatchNorm of {experiment.architecture} at "
            f"this image size: choose a batch size that does not leave one of {images} images over"
        ) from None


def _train_task(
    members: list[dict],
    dataset: str,
    data_root: str | None,
    validation_size: int | None,
    runs_dir: str,
    batch_workers: int | None = None,
) -> None:
    """Train members (given as fields of `MemberConfig`), or wait for another process that does; runs in a worker."""
    configs, store = [MemberConfig(**member) for member in members], RunStore(runs_dir)
    if any(config.training_version != TRAINING_VERSION for config in configs):
        raise ConfigError("a worker has a different version of this package: install the same version on all machines")
    with ExitStack() as locks:
        # In the same order everywhere, so that two processes cannot deadlock.
        for config in sorted(configs, key=lambda config: config.key):
            locks.enter_context(store.run(config).lock())
        missing = [config for config in configs if not store.run(config).is_complete()]
        if missing:
            data = load_dataset(dataset, data_root, validation_size, batch_workers)
            if any(config.dataset_hash != data.content_hash for config in missing):
                raise DatasetError(f"{dataset} changed, or differs between machines: start again")
            _train_as_many_as_fit(missing, data, store)


def _train_as_many_as_fit(configs: list[MemberConfig], data: Dataset, store: RunStore) -> None:
    """Train members in lockstep; if they do not fit in memory or cannot be stacked, one half after the other."""
    try:
        train_members(configs, data, [store.run(config) for config in configs])
    except (torch.cuda.OutOfMemoryError, CannotStack):
        if len(configs) == 1:
            raise
        for half in (configs[: len(configs) // 2], configs[len(configs) // 2 :]):
            _train_as_many_as_fit(half, data, store)


def _load(run: Run) -> Trajectory | None:
    """The run's trajectory, or `None` if it has to be trained; a damaged run is set aside."""
    if not run.is_complete():
        return None
    with suppress(DamagedRun):
        return load_trajectory(run)
    with run.lock():
        # Try again, as another process may have set it aside and retrained it while this one waited.
        try:
            return load_trajectory(run)
        except DamagedRun as damage:
            if run.is_complete():
                run.set_aside(str(damage))
    return None


def train_ensemble(
    experiment: Experiment,
    engine: str | None = None,
    jobs: int | None = None,
    store: RunStore | str | Path | None = None,
    data_root: str | Path | None = None,
    batch_workers: int | None = None,
    scheduler: str | None = None,
) -> Runs:
    """Return the trajectories of all members of an experiment, in order, training only those missing in the store.

    On one machine's CPU the result is bit-identical whatever the engine and the number of jobs.

    Args:
        experiment: what to train.
        engine, jobs, scheduler: see `open_engine`.
        store: a `RunStore` or its folder; by default, the default store.
        data_root: where datasets are looked for; see `load_dataset`.
        batch_workers: processes per member that decode the images of a streamed dataset; `None` for one per core.

    Raises:
        DatasetError, ConfigError, StoreError, TrainingError: one line each. Finished epochs are kept.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    dataset = load_dataset(experiment.dataset, data_root, experiment.validation_size, batch_workers)
    runs = [store.run(config) for config in experiment.members(dataset.name, dataset.content_hash)]
    trajectories = [_load(run) for run in runs]
    missing = [run for run, trajectory in zip(runs, trajectories, strict=True) if trajectory is None]
    if missing:
        check_training(experiment, dataset)
        root = None if data_root is None else os.path.abspath(os.path.expanduser(data_root))
        task = (_absolute(experiment.dataset), root, experiment.validation_size, str(store.root), batch_workers)
        description = f"{dataset.name} / {experiment.architecture}"
        # A core trains one member at a time, and so does a cluster worker, about which nothing is known here. A GPU
        # trains all of its members as one network. That is for small networks: those for streamed images are large, and
        # each member would need its own stream.
        on_cluster = engine_name(engine, scheduler) == "dask"
        if experiment.precision == "bf16" and not on_cluster and not has_bfloat16(default_device()):
            print("bf16 will be slower than float32: this processor has no instructions for it", file=sys.stderr)
        alone = on_cluster or dataset.is_streamed or default_device().type == "cpu"
        together = 1 if alone else math.ceil(len(missing) / (jobs or 1))
        groups = [[asdict(run.config) for run in missing[i : i + together]] for i in range(0, len(missing), together)]

        def finished() -> int:
            """The number of epochs in the store, whichever process or machine trained them."""
            return sum(run.finished_epochs() for run in missing)

        with (
            progress(description, experiment.epochs * len(missing), finished=finished()) as tell,
            every_second(lambda: tell(finished())),
            open_engine(engine, jobs, len(groups), scheduler, store.root) as executor,
        ):
            for future in as_completed([executor.submit(_train_task, group, *task) for group in groups]):
                future.result()
            tell(finished())
    return Runs(trajectory or _reload(run) for run, trajectory in zip(runs, trajectories, strict=True))


def _absolute(dataset: str) -> str:
    """The name of a dataset with any path in it made absolute, so that it is valid in any working directory."""
    if dataset in DATASETS:
        return dataset
    streamed, colon, path = dataset.partition(":") if dataset.lower().startswith("imagefolder") else ("", "", dataset)
    return f"{streamed}{colon}{os.path.abspath(os.path.expanduser(path))}"


def _reload(run: Run) -> Trajectory:
    if not appears(run.folder / "manifest.json", SEEN_WITHIN):
        raise StoreError(f"{run.folder} was just trained but is not visible here; do all machines share this folder?")
    trajectory = _load(run)
    if trajectory is None:
        raise StoreError(f"{run.folder} was just trained and is already damaged; check the disk")
    return trajectory
