"""Engines: executors of `concurrent.futures` in this process, on this machine's cores, or on a cluster.

Tasks are described by names, seeds and paths; results go to a shared folder.
"""

import importlib.util
import re
import signal
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from pathlib import Path

import torch
from loky import cpu_count, get_reusable_executor

from lib.errors import ConfigError, unknown
from lib.run.cluster import WORKER_ENVIRONMENT, TrainingError, check_slurm, open_cluster

ENGINES = ("loky", "sequential", "dask")

#: Schedulers that the dask engine can start itself; anything else is the address of a running scheduler.
SCHEDULERS = ("local", "slurm")


def usable_cores() -> int:
    """The number of cores that this process may use, which a container or `LOKY_MAX_CPU_COUNT` may limit."""
    return cpu_count()


def default_device() -> torch.device:
    """The first CUDA device if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has native bfloat16.

    Other devices emulate it, several times slower than float32. True if unknown.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.10
    return not known or any(there for name, there in known.items() if "bf16" in name)


class _InProcess(Executor):
    """Runs each call immediately when it is submitted."""

    def submit(self, function, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def engine_name(engine: str | None, scheduler: str | None) -> str | None:
    """The engine to use: "dask" if only a scheduler is given."""
    return "dask" if engine is None and scheduler is not None else engine


def check_engine(engine: str | None, jobs: int | None, scheduler: str | None = None) -> None:
    """Raise a `ConfigError` for an engine, number of jobs or scheduler that is not allowed or lacks a requirement.

    Whether a scheduler answers at its address is only checked when work begins.
    """
    if engine is not None and engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ConfigError(f"jobs must be an integer at least 1, got {jobs!r}")
    if scheduler not in (None, *SCHEDULERS) and not re.fullmatch(r"(tcp|tls)://\S+:\d{1,5}", str(scheduler)):
        raise ConfigError(unknown("scheduler", scheduler, SCHEDULERS) + ", or an address like tcp://host:8786")
    if engine_name(engine, scheduler) != "dask":
        if scheduler is not None:
            raise ConfigError(f"scheduler {scheduler!r} is for the engine dask, got engine {engine!r}")
        return
    for package in ("distributed", *(["dask_jobqueue"] if scheduler == "slurm" else [])):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise ConfigError(f"engine 'dask' needs {name}, from the extra cluster: pip install -e '.[cluster]'")
    if scheduler == "slurm":
        check_slurm()


@contextmanager
def open_engine(
    engine: str | None,
    jobs: int | None,
    tasks: int,
    scheduler: str | None = None,
    shared: str | Path | None = None,
) -> Iterator[Executor]:
    """Open an executor of `concurrent.futures`; at most one process is started per task.

    Args:
        engine: `loky`, single-threaded processes on this machine, one per job; `sequential`, this process; `dask`, a
            cluster; `None` for `dask` if a scheduler is given, else `loky` on a CPU with more than one job, else
            `sequential`.
        jobs: number of parallel processes; `None` for one per core, or a single one if there is a GPU. For the
            scheduler `slurm`, the number of jobs to request; a scheduler with an address uses the workers that it has.
        tasks: number of calls that will be submitted.
        scheduler: for the engine dask: the address of a running scheduler, such as `tcp://host:8786`; `slurm`; or
            `local`, the default, which starts worker processes on this machine.
        shared: a folder that dask workers must share with this process; checked first.

    Raises:
        ConfigError, StoreError, TrainingError: one line each; also from the futures of the engine dask. Leaving with an
            exception, such as Ctrl-C, stops the processes that were started here and cancels what a cluster has not
            begun.
    """
    check_engine(engine, jobs, scheduler)
    engine = engine_name(engine, scheduler)
    processes = min(jobs or (usable_cores() if default_device().type == "cpu" else 1), tasks)
    if engine == "dask":
        with open_cluster(scheduler or "local", jobs if scheduler == "slurm" else processes, tasks, shared) as executor:
            yield executor
        return
    if engine == "sequential" or (engine is None and processes == 1):
        yield _InProcess()
        return
    # Workers leave Ctrl-C to this process, which stops them.
    options = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    executor = get_reusable_executor(max_workers=processes, timeout=60, env=WORKER_ENVIRONMENT, **options)
    try:
        yield executor
    except BaseException as error:
        # If the wait is interrupted, for example by Ctrl-C, training must stop too; finished epochs are in the store.
        executor.shutdown(wait=True, kill_workers=True)
        if isinstance(error, BrokenExecutor):
            raise TrainingError(
                "a worker died, perhaps out of memory: try again with fewer jobs (finished epochs are kept)"
            ) from None
        raise
