"""The engine dask: an executor on a scheduler that runs, on jobs of Slurm, or on worker processes of this machine.

dask is imported only where it is used, as that takes a while and it is an extra.
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

#: Has glibc keep what a step frees for the next one: giving it back and fetching it again took a third of the time of a
#: step of a small network. Other C libraries do not know these names.
WORKER_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}

#: Seconds to wait for a scheduler's answer.
CONNECT_TIMEOUT = 5

#: Seconds without any worker after which this is said.
SAY_AFTER = 10.0

#: Seconds that a worker waits for a file which this process has just written to the folder that they share.
SHARED_WITHIN = 5.0


class TrainingError(OneLineError):
    """Work stopped for a reason that is not in its settings."""


@contextmanager
def open_cluster(scheduler: str, jobs: int | None, tasks: int, shared: str | Path | None) -> Iterator[Executor]:
    """The executor of `lib.run.engines.open_engine` for a scheduler; begins when there is a worker.

    `jobs` are worker processes of the scheduler `local`, and jobs of `slurm`, `None` for one worker a task.
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
            client.get_versions(check=True, packages=["ensemble-landscapes", "torch"])  # warns of others
            if shared is not None:
                _check_shared(client, Path(shared).expanduser().resolve())
        except OSError:
            raise _lost(scheduler) from None
        # Not pure: a call with equal arguments is another call, and not the result, or the error, of the one before.
        executor = client.get_executor(pure=False)
        stack.callback(executor.shutdown, wait=False)  # cancels what is not done
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
            # A client would wait for ever for whoever else listens there. In a thread, as a notebook has its own loop.
            LoopRunner(asynchronous=False).run_sync(ask)
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split()) or "it is silent"
        raise TrainingError(f"no dask scheduler answers at {address} within {CONNECT_TIMEOUT} s ({reason})") from None
    with client:
        yield client


def _check_shared(client: Any, folder: Path) -> None:
    """Raise unless all workers that are there see a file that this process writes to a folder."""
    token = folder / f".token-{uuid.uuid4().hex}"
    write_atomically(token, b"")
    try:
        client.run_on_scheduler(appears, str(token), 0)  # it reads what it passes on, and needs the package for it
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
                f"the worker at {worker} does not see what is written to {folder}: workers must have that folder in "
                "common with whoever starts them"
            )


@contextmanager
def _local_cluster(workers: int | None) -> Iterator[Any]:
    """Worker processes of one thread each on this machine."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
        # Processes that decode images are children of a worker, which daemons may not have.
        "distributed.worker.daemon": False,
    }
    # The environment of this process is restored, where dask leaves what it sets for its workers.
    with patch.dict(os.environ), dask.config.set(settings):
        # Without a limit of its own to memory, as loky has none.
        options = {"threads_per_worker": 1, "processes": True, "memory_limit": 0, "silence_logs": "CRITICAL"}
        # Without a dashboard, which it would still want a fixed port for.
        options |= {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
        with LocalCluster(n_workers=workers, host="127.0.0.1", **options) as cluster:
            yield cluster


def check_slurm() -> None:
    """Raise a `ConfigError` where Slurm, or its part of dask's configuration, is missing."""
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
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(cluster.job_script())
            file.flush()
            # Once a job is submitted, its refusal is not heard.
            done = subprocess.run(["sbatch", "--test-only", file.name], capture_output=True, text=True)
        if done.returncode != 0:
            raise ConfigError(f"Slurm refuses the job of jobqueue.slurm: {' '.join(done.stderr.split())}")
        cluster.scale(jobs=jobs or -(-tasks // processes))
        yield cluster


class _OneLineExecutor(Executor):
    """dask's executor, whose errors are one line."""

    def __init__(self, executor: Executor, scheduler: str):
        self._executor, self._scheduler = executor, scheduler

    def submit(self, function, /, *args) -> Future:
        """A function that workers import by its name, and plain values."""
        outer: Future = Future()
        inner = self._executor.submit(call_by_name, function.__module__, function.__qualname__, *args)

        def pass_on(done: Future) -> None:
            if done.cancelled():
                outer.set_exception(_lost(self._scheduler))
            elif error := done.exception():
                outer.set_exception(_translated(error))
            else:
                outer.set_result(done.result())

        # Held until then: dask makes anew what dies with its worker only for whoever still wants it.
        outer.inner = inner
        inner.add_done_callback(pass_on)
        return outer


def call_by_name(module: str, name: str, *args) -> Any:
    """Call a function in a worker, which imports it here: where dask reads messages a failure would end the worker."""
    return getattr(importlib.import_module(module), name)(*args)


def _lost(scheduler: str) -> TrainingError:
    return TrainingError(f"the connection to scheduler {scheduler} was lost: start again (finished epochs are kept)")


def _another_version(error: Exception) -> TrainingError:
    problem = " ".join(str(error).split())
    return TrainingError(
        f"the scheduler or a worker has another version of this package, or none ({problem}): install the same for all"
    )


def _translated(error: BaseException) -> BaseException:
    from distributed import KilledWorker

    if isinstance(error, ImportError):
        return _another_version(error)
    if isinstance(error, KilledWorker):
        return TrainingError(
            "workers died of one and the same call, of too little memory perhaps: give them more (finished epochs are "
            "kept)"
        )
    return error
