"""The dask engine: an executor on a running scheduler, on Slurm jobs, or on worker processes of this machine.

dask is imported only where it is used, because it is slow to import and an optional extra.
"""

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lib.errors import ConfigError, OneLineError
from lib.run.files import StoreError, appears, write_atomically

#: Makes glibc keep memory that a training step frees for the next one: returning and requesting it again took a third
#: of the time of a step of a small network. Other C libraries ignore these variables.
WORKER_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}

#: Seconds to wait for a scheduler's answer.
CONNECT_TIMEOUT = 5

#: Seconds without any worker before a message is printed.
SAY_AFTER = 10.0

#: Seconds that a worker waits for a file that this process has just written to their shared folder.
SHARED_WITHIN = 5.0


class TrainingError(OneLineError):
    """Work stopped for a reason other than its settings."""


@contextmanager
def open_cluster(scheduler: str, jobs: int | None, tasks: int, shared: str | Path | None) -> Iterator[Executor]:
    """Open the executor of `lib.run.engines.open_engine` for a scheduler, once there is a worker.

    `jobs` is the number of worker processes for `local`, or of jobs for `slurm` (`None`: one worker per task).
    """
    with ExitStack() as stack:
        address: Any = scheduler
        if scheduler == "local":
            address = stack.enter_context(_local_cluster(jobs))
        elif scheduler == "slurm":
            address = stack.enter_context(_slurm_cluster(jobs, tasks))
        client = stack.enter_context(_connect(address))
        try:
            try:
                client.wait_for_workers(1, timeout=SAY_AFTER)
            except TimeoutError:
                print(f"no worker at scheduler {scheduler} yet; waiting for one", file=sys.stderr, flush=True)
                client.wait_for_workers(1)
            client.get_versions(check=True, packages=["ensemble-landscapes", "torch"])  # warns of other versions
            if shared is not None:
                _check_shared(client, Path(shared).expanduser().resolve())
        except OSError:
            raise _lost(scheduler) from None
        # Not pure: a call with equal arguments runs again instead of returning the earlier result or error.
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)  # cancels unfinished tasks
        yield _OneLineExecutor(executor, scheduler)


@contextmanager
def _connect(address: Any) -> Iterator[Any]:
    from distributed import Client, Security
    from distributed.core import rpc
    from distributed.utils import LoopRunner

    async def ask() -> None:
        arguments = Security().get_connection_args("client")
        async with rpc(address, timeout=CONNECT_TIMEOUT, connection_args=arguments) as server:
            kind = (await asyncio.wait_for(server.identity(), CONNECT_TIMEOUT))["type"]
        if kind != "Scheduler":
            raise ValueError(f"it is a {kind}")

    try:
        if isinstance(address, str):
            # A client would wait forever if something else listens there. In a thread, as a notebook has its own loop.
            LoopRunner(asynchronous=False).run_sync(ask)
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split()) or "it is silent"
        raise TrainingError(f"no dask scheduler answers at {address} within {CONNECT_TIMEOUT} s ({reason})") from None
    with client:
        yield client


def _check_shared(client: Any, folder: Path) -> None:
    """Raise unless all current workers see a file that this process writes to the folder."""
    token = folder / f".token-{uuid.uuid4().hex}"
    write_atomically(token, b"")
    try:
        client.run_on_scheduler(appears, str(token), 0)  # it deserialises tasks, so it needs the package
        seen = client.run(appears, str(token), SHARED_WITHIN)
    except OSError:
        raise
    except Exception as error:
        raise _another_version(error) from None
    finally:
        token.unlink(missing_ok=True)
    for worker, sees in seen.items():
        if not sees:
            raise StoreError(
                f"the worker at {worker} does not see what is written to {folder}: workers and this process "
                "must share that folder"
            )


@contextmanager
def _local_cluster(workers: int | None) -> Iterator[Any]:
    """Start single-threaded worker processes on this machine."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
        # Processes that decode images are children of a worker, and daemons may not have children.
        "distributed.worker.daemon": False,
    }
    # Restores the environment of this process, in which dask leaves the variables it sets for its workers.
    with patch.dict(os.environ), dask.config.set(settings):
        # No memory limit, as with loky.
        options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0, "silence_logs": "CRITICAL"}
        # No dashboard; without this address dask would still need a fixed port for it.
        options |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
        with LocalCluster(n_workers=workers, host="127.0.0.1", **options) as cluster:
            yield cluster


def check_slurm() -> None:
    """Raise a `ConfigError` if Slurm, or its section of dask's configuration, is missing."""
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
def _slurm_cluster(jobs: int | None, tasks: int) -> Iterator[Any]:
    """Start Slurm jobs as configured in dask, with one worker per process and one thread per worker."""
    import dask
    from dask_jobqueue import SLURMCluster

    given = dask.config.get("jobqueue.slurm")
    processes = given["processes"] or given["cores"]
    environment = WORKER_ENVIRONMENT | {"DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    cluster = SLURMCluster(
        processes=processes,
        job_script_prologue=[*given["job-script-prologue"], *(f"export {n}={v}" for n, v in environment.items())],
        # The last --nthreads counts; the remaining cores are for processes that decode images.
        worker_extra_args=[*given["worker-extra-args"], "--nthreads", "1"],
        scheduler_options={"dashboard": False, "dashboard_address": ":0"} | given["scheduler-options"],
    )
    with cluster:
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(cluster.job_script())
            file.flush()
            # Tested first, because a refusal is not reported once jobs are submitted.
            done = subprocess.run(["sbatch", "--test-only", file.name], capture_output=True, text=True)
        if done.returncode != 0:
            raise ConfigError(f"Slurm rejected the job described in jobqueue.slurm: {' '.join(done.stderr.split())}")
        cluster.scale(jobs=jobs or -(-tasks // processes))
        yield cluster


class _OneLineExecutor(Executor):
    """dask's executor with one-line errors."""

    def __init__(self, executor: Executor, scheduler: str):
        self._executor, self._scheduler = executor, scheduler

    def submit(self, function, /, *args) -> Future:
        """Submit a function that workers import by its name, with plain values as arguments."""
        outer: Future = Future()
        inner = self._executor.submit(call_by_name, function.__module__, function.__qualname__, *args)

        def pass_on(done: Future) -> None:
            if done.cancelled():
                outer.set_exception(_lost(self._scheduler))
            elif error := done.exception():
                outer.set_exception(_translated(error))
            else:
                outer.set_result(done.result())

        # Keep a reference until then: dask reruns what dies with its worker only if its future still exists.
        outer.inner = inner
        inner.add_done_callback(pass_on)
        return outer


def call_by_name(module: str, name: str, *args) -> Any:
    """Import a function in a worker and call it; a failed import while dask reads messages would end the worker."""
    return getattr(importlib.import_module(module), name)(*args)


def _lost(scheduler: str) -> TrainingError:
    return TrainingError(f"the connection to scheduler {scheduler} was lost: start again (finished epochs are kept)")


def _another_version(error: Exception) -> TrainingError:
    problem = " ".join(str(error).split())
    return TrainingError(
        f"the scheduler or a worker has another version of this package, or none ({problem}): "
        "install the same version everywhere"
    )


def _translated(error: BaseException) -> BaseException:
    from distributed import KilledWorker

    if isinstance(error, ImportError):
        return _another_version(error)
    if isinstance(error, KilledWorker):
        return TrainingError(
            "several workers died of the same task, perhaps out of memory: give them more memory (finished epochs are "
            "kept)"
        )
    return error
