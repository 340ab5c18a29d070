"""Who does the work: an executor of `concurrent.futures` in this process, on this machine's cores, or on a cluster.

A call names what is to be done, by names, seeds and paths; results go to a folder that both sides see.
"""

import asyncio
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from loky import get_reusable_executor

from lib import config
from lib.errors import ConfigError, OneLineError, unknown
from lib.run.files import StoreError, write_atomically
from lib.run.progress import every_second

ENGINES = ("loky", "sequential", "dask")

#: What the engine dask can start by itself; anything else is the address of a scheduler that runs.
SCHEDULERS = ("local", "slurm")

#: Has glibc keep what a step frees for the next one: giving it back and fetching it again took a third of the time of a
#: step of a small network. Other C libraries do not know these names.
WORKER_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}

#: Seconds to wait for a scheduler's answer.
CONNECT_TIMEOUT = 5

#: Seconds that a worker waits for a file which this process has just written to the folder that they share.
SHARED_WITHIN = 5.0

#: Seconds without any worker after which this is said.
LONELY_AFTER = 10.0


class TrainingError(OneLineError):
    """Work stopped for a reason that is not in its settings."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_device() -> torch.device:
    """The first CUDA device where there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class _InProcess(Executor):
    """Runs each call at once where it is submitted."""

    def submit(self, function, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(function(*args, **kwargs))
        return future


def engine_name(engine: str | None, scheduler: str | None) -> str | None:
    """The engine that is meant: a scheduler without an engine is one of dask."""
    return "dask" if engine is None and scheduler is not None else engine


def check_engine(engine: str | None, jobs: int | None, scheduler: str | None = None) -> None:
    """Raise a `ConfigError` for an engine, number of jobs or scheduler that is not allowed, or lacks what it needs.

    Whether a scheduler answers at its address is found when work begins.
    """
    if engine is not None and engine not in ENGINES:
        raise ConfigError(unknown("engine", engine, ENGINES))
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ConfigError(f"jobs must be an integer at least 1, got {jobs!r}")
    if scheduler is not None and scheduler not in SCHEDULERS and not _is_address(scheduler):
        raise ConfigError(unknown("scheduler", scheduler, SCHEDULERS) + ", or an address like tcp://host:8786")
    if engine_name(engine, scheduler) != "dask":
        if scheduler is not None:
            raise ConfigError(f"scheduler {scheduler!r} is for the engine dask, got engine {engine!r}")
        return
    for package in ("distributed", *(["dask_jobqueue"] if scheduler == "slurm" else [])):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise ConfigError(f"engine 'dask' needs {name}, of the extra cluster: pip install -e '.[cluster]'")
    if scheduler == "slurm":
        _check_slurm()


def _is_address(scheduler: Any) -> bool:
    match = re.fullmatch(r"(?:tcp|tls)://(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", str(scheduler))
    return match is not None and 0 < int(match[1]) < 2**16


def _check_slurm() -> None:
    import dask
    import dask_jobqueue  # noqa: F401  (adds its defaults to dask's configuration)

    if shutil.which("sbatch") is None:
        raise ConfigError("scheduler 'slurm' needs Slurm's command sbatch, which is not on this machine's PATH")
    missing = [name for name in ("cores", "memory") if dask.config.get(f"jobqueue.slurm.{name}") is None]
    if missing:
        raise ConfigError(
            f"scheduler 'slurm' needs {' and '.join(missing)} of a job in dask's configuration, jobqueue.slurm in "
            "~/.config/dask/jobqueue.yaml"
        )


@contextmanager
def open_engine(
    engine: str | None,
    jobs: int | None,
    tasks: int,
    scheduler: str | None = None,
    shared: str | Path | None = None,
) -> Iterator[Executor]:
    """An executor for a number of tasks, as `concurrent.futures` knows them.

    Args:
        engine: `loky`, one single-threaded process a job on this machine; `sequential`, in this process; `dask`, on a
            cluster; `None` for `dask` where a scheduler is given, else `loky` on a CPU with more than one job and
            `sequential` otherwise.
        jobs: processes side by side; `None` for one a core, or one where there is a GPU. Of the scheduler `slurm` the
            jobs that it is asked for; a scheduler with an address has the workers that it has.
        tasks: how many calls will be submitted: no more processes than that are started.
        scheduler: of the engine dask: the address of one that runs, as `tcp://host:8786`; `slurm`; or `local`, as when
            left out, which starts worker processes on this machine.
        shared: a folder that workers of dask must have in common with this process. Each call first makes sure of it,
            and of the worker's version of this package.

    Raises:
        ConfigError, StoreError, TrainingError: one line each; also from the futures of the engine dask. Whoever leaves
            with an exception, Ctrl-C say, stops the processes that were started here, and cancels what a cluster has
            not begun.
    """
    check_engine(engine, jobs, scheduler)
    engine = engine_name(engine, scheduler)
    if engine == "dask":
        with _open_dask(scheduler or "local", jobs, tasks, shared) as executor:
            yield executor
        return
    jobs = min(jobs or _side_by_side(), tasks)
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


def _side_by_side() -> int:
    return usable_cores() if default_device().type == "cpu" else 1


# Clusters. dask is imported only where it is used, as that takes a while and it is an extra.


@contextmanager
def _open_dask(scheduler: str, jobs: int | None, tasks: int, shared: str | Path | None) -> Iterator[Executor]:
    with ExitStack() as stack:
        if scheduler == "local":
            address = stack.enter_context(_local_cluster(min(jobs or _side_by_side(), tasks)))
        elif scheduler == "slurm":
            address = stack.enter_context(_slurm_cluster(jobs, tasks))
        else:
            address = scheduler
        client = stack.enter_context(_connect(address))
        token = None if shared is None else stack.enter_context(_token(Path(shared)))
        stack.enter_context(_noticing_absence(client, scheduler))
        # Not pure: a call with equal arguments is another call, and not the result, or the error, of the one before.
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)  # cancels what is not done
        yield _Cluster(executor, scheduler, (config.TRAINING_VERSION, token))


@contextmanager
def _connect(address: Any) -> Iterator[Any]:
    from distributed import Client

    try:
        if isinstance(address, str):
            _ask(address)
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split()) or "it is silent"
        raise TrainingError(f"no dask scheduler answers at {address} within {CONNECT_TIMEOUT} s ({reason})") from None
    with client:
        yield client


def _ask(address: str) -> None:
    """Raise an exception unless a scheduler answers: a client would wait for ever for whoever else listens there."""
    from distributed import Security
    from distributed.core import rpc

    async def ask() -> str:
        arguments = Security().get_connection_args("client")
        async with rpc(address, timeout=CONNECT_TIMEOUT, connection_args=arguments) as server:
            return (await asyncio.wait_for(server.identity(), CONNECT_TIMEOUT))["type"]

    def run() -> None:
        try:
            answer.set_result(asyncio.run(ask()))
        except Exception as error:
            answer.set_exception(error)

    answer: Future = Future()
    # In a thread, as a notebook has a loop of its own; nobody waits for it, as looking up a name may take long.
    threading.Thread(target=run, daemon=True).start()
    if (kind := answer.result(CONNECT_TIMEOUT + 1)) != "Scheduler":
        raise ValueError(f"it is a {kind}")


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """Worker processes of one thread each on this machine."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
        # Processes that decode images are children of a worker, which daemons may not have.
        "distributed.worker.daemon": False,
    }
    with _environment_kept(), dask.config.set(settings):
        # Without a limit of its own to memory, as loky has none.
        options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0, "silence_logs": "CRITICAL"}
        # Without a dashboard, which it would still want a fixed port for.
        options |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
        with LocalCluster(n_workers=workers, host="127.0.0.1", **options) as cluster:
            yield cluster


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what is done to the environment of this process, where dask leaves what it sets for its workers."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _slurm_cluster(jobs: int | None, tasks: int) -> Iterator[Any]:
    """Jobs of Slurm as dask's configuration describes them, with one worker a process and one thread a worker."""
    import dask
    from dask_jobqueue import SLURMCluster

    given = dask.config.get("jobqueue.slurm")
    processes = given["processes"] or given["cores"]
    environment = WORKER_ENVIRONMENT | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    cluster = SLURMCluster(
        processes=processes,
        job_script_prologue=[*given["job-script-prologue"], *(f"export {n}={v}" for n, v in environment.items())],
        # The last one counts: cores that are left are for processes that decode images.
        worker_extra_args=[*given["worker-extra-args"], "--nthreads", "1"],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"} | given["scheduler-options"],
    )
    with cluster:
        _check_job(cluster.job_script())
        cluster.scale(jobs=jobs or -(-tasks // processes))
        yield cluster


def _check_job(script: str) -> None:
    """Raise a `ConfigError` where Slurm would not take a job: once submitted, its refusal is not heard."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(["sbatch", "--test-only", file.name], capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigError(f"Slurm refuses the job of jobqueue.slurm: {' '.join(done.stderr.split())}")


@contextmanager
def _noticing_absence(client: Any, scheduler: str) -> Iterator[None]:
    """Say in one line when there is no worker for a while: work would wait for ever without a word."""

    lonely_since = time.monotonic()

    def look() -> None:
        nonlocal lonely_since
        if client.scheduler_info()["workers"]:
            lonely_since = time.monotonic()
        elif time.monotonic() - lonely_since > LONELY_AFTER:
            print(f"no worker at scheduler {scheduler} yet; waiting for one", file=sys.stderr, flush=True)
            lonely_since = float("inf")

    with every_second(look):
        yield


class _Cluster(Executor):
    """dask's executor, whose workers first agree with this process, and whose errors are one line."""

    def __init__(self, executor: Executor, scheduler: str, agreement: tuple[int, str | None]):
        self._executor, self._scheduler, self._agreement = executor, scheduler, agreement
        # dask's own futures until they are done: while one is held, a result that dies with its worker is made anew.
        self._inner: dict[Future, Future] = {}

    def submit(self, function, /, *args) -> Future:
        """A function by its name, which workers import, and plain values: what a worker cannot read it never begins."""
        outer: Future = Future()
        name = (function.__module__, function.__qualname__)
        inner = self._executor.submit(_call_by_name(), *self._agreement, *name, *args)

        def pass_on(done: Future) -> None:
            if not outer.set_running_or_notify_cancel():
                return  # cancelled by whoever submitted it
            error = self._lost() if done.cancelled() else done.exception()
            if error is None:
                outer.set_result(done.result())
            else:
                outer.set_exception(self._translated(error))

        self._inner[outer] = inner
        outer.add_done_callback(self._forget)
        inner.add_done_callback(pass_on)
        return outer

    def _forget(self, outer: Future) -> None:
        inner = self._inner.pop(outer)
        if outer.cancelled():
            inner.cancel()

    def _lost(self) -> TrainingError:
        return TrainingError(
            f"the connection to scheduler {self._scheduler} was lost: start again (finished epochs are kept)"
        )

    def _translated(self, error: BaseException) -> BaseException:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            deaths = "1 worker" if error.allowed_failures == 0 else f"{error.allowed_failures + 1} workers"
            return TrainingError(
                f"{deaths} died of one and the same call, of too little memory perhaps: give them more (finished "
                "epochs are kept)"
            )
        return TrainingError(str(error)) if isinstance(error, ImportError) else error


def _call_by_name() -> Callable:
    """A function for workers that may have another version of this package, or none: it travels as its code."""

    def call_by_name(version: int, token: str | None, module: str, name: str, *args) -> Any:
        import importlib
        import platform

        try:
            agree = importlib.import_module("lib.run.engines").agree
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"the worker on {platform.node()} has another version of this package, or none ({error}): install the "
                "same package for all workers"
            ) from None
        agree(version, token)
        return function(*args)

    return call_by_name


def agree(version: int, token: str | None) -> None:
    """Raise, in a worker, unless it has the version of the package, and the folder, of whoever submitted a call."""
    if version != config.TRAINING_VERSION:
        raise ConfigError(
            f"the worker on {platform.node()} has training version {config.TRAINING_VERSION} of this package, and it "
            f"was asked for version {version}: install the same package for all workers"
        )
    if token is not None and not appears(Path(token), SHARED_WITHIN):
        raise StoreError(
            f"the worker on {platform.node()} does not see what is written to {Path(token).parent}: workers must have "
            "that folder in common with whoever starts them"
        )


def appears(path: Path, within: float) -> bool:
    """Whether a file is there, or comes within so many seconds: another machine may see it late on a network."""
    deadline = time.monotonic() + within
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
        if path.parent.is_dir():
            os.listdir(path.parent)  # has a network file system look again
    return True


@contextmanager
def _token(folder: Path) -> Iterator[str]:
    """A new file in a folder, by whose name those who share it tell that they do."""
    path = folder.expanduser().resolve() / f".token-{uuid.uuid4().hex}"
    write_atomically(path, b"")
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)
