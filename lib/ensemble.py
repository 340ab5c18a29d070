"""Many members: which are missing, who trains them, and how far they are."""

import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from loky import get_reusable_executor
from tqdm import tqdm

from lib.config import ConfigError, Experiment, MemberConfig, OneLineError, unknown
from lib.data import Dataset, DatasetError, load_dataset
from lib.lockstep import CannotStack
from lib.store import DamagedRun, Run, RunStore, StoreError
from lib.streaming import StreamedDataset
from lib.training import Trajectory, load_trajectory, train_members
from lib.weights import default_device

ENGINES = ("loky", "sequential")

#: Has glibc keep what a step frees for the next one: giving it back and fetching it again took a third of the time of a
#: step of a small network. Other C libraries do not know these names.
WORKER_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


class TrainingError(OneLineError):
    """Training stopped for a reason that is not in its settings."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _InProcess(Executor):
    """Runs each call at once where it is submitted."""

    def submit(self, function, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def check_engine(engine: str | None, jobs: int | None) -> None:
    """Raise a `ConfigError` for an engine that does not exist or a number of jobs below 1."""
    if engine is not None and engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ConfigError(f"jobs must be an integer at least 1, got {jobs!r}")


@contextmanager
def open_engine(engine: str | None, jobs: int | None, tasks: int) -> Iterator[Executor]:
    """An executor for a number of tasks, as `concurrent.futures` knows them.

    Args:
        engine: `loky`, one single-threaded process a job on this machine; `sequential`, in this process; `None` for
            `loky` on a CPU with more than one job and `sequential` otherwise.
        jobs: processes side by side; `None` for one a core, or one where there is a GPU.
        tasks: how many calls will be submitted: no more processes than that are started.
    """
    check_engine(engine, jobs)
    on_cpu = default_device().type == "cpu"
    jobs = min(jobs or (usable_cores() if on_cpu else 1), tasks)
    if engine == "sequential" or (engine is None and jobs == 1):
        yield _InProcess()
        return
    executor = get_reusable_executor(max_workers=jobs, timeout=60, env=WORKER_ENVIRONMENT)
    try:
        yield executor
    except BaseException as error:
        # Whoever stops waiting, by Ctrl-C say, wants the training to stop too; finished epochs are in the store.
        executor.shutdown(wait=True, kill_workers=True)
        if isinstance(error, BrokenExecutor):
            raise TrainingError(
                "a training process died, of too little memory perhaps: call again with fewer jobs "
                "(finished epochs are kept)"
            ) from None
        raise


def _train_task(
    configs: list[MemberConfig],
    dataset: str,
    data_root: str | None,
    validation_size: int | None,
    runs_dir: str,
    batch_workers: int | None = None,
) -> None:
    """Train members, or wait for another process that does; runs in a worker."""
    store = RunStore(runs_dir)
    with ExitStack() as locks:
        # In one order everywhere, so that two processes cannot each wait for the other.
        for config in sorted(configs, key=lambda config: config.key):
            locks.enter_context(store.run(config).lock())
        missing = [config for config in configs if not store.run(config).is_complete()]
        if missing:
            data = load_dataset(dataset, data_root, validation_size, batch_workers)
            if any(config.dataset_hash != data.content_hash for config in missing):
                raise DatasetError(f"{dataset} changed, or is not the same on all machines: start again")
            _train_as_many_as_fit(missing, data, store)


def _train_as_many_as_fit(configs: list[MemberConfig], data: Dataset, store: RunStore) -> None:
    """Train members in lockstep; halves after one another where they do not fit in memory, or have no lockstep."""
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
    try:
        run.open()
        return load_trajectory(run)
    except DamagedRun:
        pass
    with run.lock():
        # Again, as another process may have set it aside, and trained it anew, while this one waited.
        try:
            run.open()
            return load_trajectory(run)
        except DamagedRun as damage:
            if run.is_complete():
                run.set_aside(str(damage))
    return None


@contextmanager
def _progress(runs: list[Run], epochs: int, description: str) -> Iterator[None]:
    """A bar of the epochs that the store has, whoever trains them and wherever."""

    def finished() -> int:
        return sum(run.finished_epochs() for run in runs)

    def watch() -> None:
        while not stop.wait(1.0):
            if (news := finished() - bar.n) > 0:  # no refresh without news: in a log each is a line
                bar.update(news)

    stop = threading.Event()
    with tqdm(total=epochs * len(runs), initial=finished(), desc=description, unit="epoch") as bar:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            bar.update(finished() - bar.n)


def train_ensemble(
    experiment: Experiment,
    engine: str | None = None,
    jobs: int | None = None,
    store: RunStore | str | Path | None = None,
    data_root: str | Path | None = None,
    batch_workers: int | None = None,
) -> list[Trajectory]:
    """The trajectories of all members of an experiment, training only those that the store does not have.

    Args:
        experiment: what to train.
        engine: see `open_engine`.
        jobs: see `open_engine`. The result is the same to the bit whatever it is, on one machine's CPU.
        store: a `RunStore` or its folder; the default store when left out.
        data_root: where datasets are looked for; see `load_dataset`.
        batch_workers: processes that decode the images of a streamed dataset for each member in training; `None` for
            one a core.

    Returns:
        One trajectory a member, in the order of the members.

    Raises:
        DatasetError, ConfigError, StoreError, TrainingError: one line each. Finished epochs are kept.
    """
    store = store if isinstance(store, RunStore) else RunStore(store)
    dataset = load_dataset(experiment.dataset, data_root, experiment.validation_size, batch_workers)
    runs = [store.run(config) for config in experiment.members(dataset.name, dataset.content_hash)]
    trajectories = [_load(run) for run in runs]
    missing = [run for run, trajectory in zip(runs, trajectories, strict=True) if trajectory is None]
    if missing:
        root = None if data_root is None else str(data_root)
        task = (experiment.dataset, root, experiment.validation_size, str(store.root), batch_workers)
        description = f"{dataset.name} / {experiment.architecture}"
        # A core trains one member at a time; a GPU all of its members as one network, which is for small networks:
        # images that are streamed are large, and each member would need a stream of its own.
        alone = isinstance(dataset, StreamedDataset) or default_device().type == "cpu"
        together = 1 if alone else math.ceil(len(missing) / (jobs or 1))
        groups = [[run.config for run in missing[i : i + together]] for i in range(0, len(missing), together)]
        with _progress(missing, experiment.epochs, description), open_engine(engine, jobs, len(groups)) as executor:
            for future in as_completed([executor.submit(_train_task, group, *task) for group in groups]):
                future.result()
    return [trajectory or _reload(run) for run, trajectory in zip(runs, trajectories, strict=True)]


def _reload(run: Run) -> Trajectory:
    trajectory = _load(run)
    if trajectory is None:
        raise StoreError(f"{run.folder} was trained just now and is damaged already; check the disk")
    return trajectory
