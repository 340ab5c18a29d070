"""Members on a dask cluster: a real scheduler and two worker processes give the same bits, whatever fails."""

import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client
from helpers import assert_same, checkpoints, experiment, finished_checkpoints, processes_of_group, train

from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.run import cluster as module
from lib.run.cluster import TrainingError, check_slurm
from lib.run.engines import open_engine
from lib.run.store import RunStore, StoreError
from lib.training.ensemble import train_ensemble


@pytest.fixture(autouse=True, scope="session")
def defaults_of_jobqueue():
    """Import dask_jobqueue, which adds defaults to dask's, before tests set any, but not when workers import this."""
    importlib.import_module("dask_jobqueue")


#: The number of checkpoint files of two members after 12 epochs.
LONG_FILES = 2 * 13


class Cluster:
    """A scheduler in a process of its own, and workers with one thread and no nanny that would restart them."""

    def __init__(self, folder):
        self.folder, self.workers = folder, []
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        options += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
        self.scheduler = self._start("dask_scheduler", *options)
        with Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client:
            self.address = client.scheduler.address

    def client(self):
        return Client(self.address, set_as_default=False, timeout=60)

    def start_workers(self, count):
        for number in range(count):
            folder = self.folder / f"worker-{number}"
            folder.mkdir()
            options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1"]
            options += ["--local-directory", str(folder)]
            self.workers.append(self._start("dask_worker", self.address, *options, cwd=folder))
        with self.client() as client:
            client.wait_for_workers(count, timeout=60)

    def stop(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, program, *options, cwd=None):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        with (self.folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with two workers."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        started.start_workers(2)
        yield started
    finally:
        started.stop()


@pytest.fixture
def deserted(tmp_path):
    """A scheduler without workers."""
    started = Cluster(tmp_path)
    yield started
    started.stop()


def few_digits(folder):
    """Write a file with 400 digits to train on."""
    digits = load_dataset("digits")
    arrays = {"x_train": digits.train.images[:400], "y_train": digits.train.labels[:400]}
    np.savez(folder / "few_digits.npz", x_test=digits.test.images, y_test=digits.test.labels, **arrays)


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


# A running cluster; the last of these tests kills one of its workers


def test_members_on_a_cluster_are_the_same_to_the_bit(cluster, tmp_path, monkeypatch, capfd):
    few_digits(tmp_path)
    # A relative path is only valid here: workers run in other folders.
    monkeypatch.chdir(tmp_path)
    settings = {"dataset": "few_digits.npz", "num_members": 3}
    one = train(tmp_path / "one", **settings)
    capfd.readouterr()
    other = train_ensemble(experiment(**settings), scheduler=cluster.address, store="other")
    assert_same(other, one)
    assert ": 6 of 6 epochs, in " in capfd.readouterr().err
    assert not list((tmp_path / "other").glob(".token*"))


def test_store_that_workers_do_not_share_is_noticed_and_nothing_trained(cluster, tmp_path):
    with cluster.client() as client:
        client.run(patch_appears, False)
        try:
            with pytest.raises(StoreError, match=f"does not see what is written to {tmp_path}") as caught:
                train_ensemble(experiment(), scheduler=cluster.address, store=tmp_path)
        finally:
            client.run(patch_appears, True)
    one_line(caught)
    assert not list(tmp_path.rglob("epoch_*"))
    assert not list(tmp_path.glob(".token*"))


def patch_appears(answer):
    """Make a worker see every file, or none."""
    from lib.run import files

    files.appears = lambda path, within: answer
    files.appears.__module__, files.appears.__qualname__ = "lib.run.files", "appears"


def test_workers_without_the_package_are_one_line(cluster, tmp_path, monkeypatch):
    def appears():
        pass

    # Workers do not find a function pickled by this name.
    appears.__module__, appears.__qualname__ = "lib.run.files", "appears_of_another_version"
    monkeypatch.setattr("lib.run.files.appears_of_another_version", appears, raising=False)
    monkeypatch.setattr(module, "appears", appears)
    with (
        pytest.raises(TrainingError, match=r"another version of this package, or none .*appears_of_ano") as caught,
        open_engine("dask", None, 1, cluster.address, tmp_path),
    ):
        pass
    one_line(caught)


def test_member_of_a_killed_worker_goes_on_in_another_from_its_last_epoch(cluster, tmp_path):
    few_digits(tmp_path)
    chosen = experiment(dataset=str(tmp_path / "few_digits.npz"), num_members=2, epochs=12)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(train_ensemble, chosen, scheduler=cluster.address, store=tmp_path / "runs")
        while len(busy(tmp_path / "runs")) < 2:
            assert not result.done()
            time.sleep(0.01)
        # Stop both workers, so that nothing is written while their finished checkpoints are looked at.
        for worker in cluster.workers:
            worker.send_signal(signal.SIGSTOP)
        assert len(busy(tmp_path / "runs")) == 2
        finished = finished_checkpoints(tmp_path / "runs")
        victim, other = cluster.workers
        victim.kill()
        other.send_signal(signal.SIGCONT)
        trajectories = result.result(timeout=60)
    assert victim.wait() == -signal.SIGKILL
    assert 4 <= len(finished) < LONG_FILES
    now = checkpoints(tmp_path / "runs")
    assert {path: now[path] for path in finished} == finished
    assert len(now) == LONG_FILES
    assert RunStore(tmp_path / "runs").damaged() == []
    assert_same(trajectories, train_ensemble(chosen, engine="sequential", store=tmp_path / "one"))


def busy(root):
    """Members that have checkpoints of at least two epochs and are not complete."""
    return [run for run in RunStore(root).runs() if run.finished_epochs() > 1 and not run.is_complete()]


# Missing schedulers


def test_address_where_something_else_listens_is_one_line(monkeypatch, capfd):
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with (
            pytest.raises(TrainingError, match=rf"^no dask scheduler answers at {address} ") as caught,
            open_engine("dask", None, 1, address),
        ):
            pass
    one_line(caught)
    assert "Traceback" not in capfd.readouterr().err


def test_scheduler_without_workers_is_said_and_one_that_dies_is_one_line(deserted, monkeypatch, capfd):
    monkeypatch.setattr(module, "SAY_AFTER", 0.1)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(deserted.start_workers, 1)
        with open_engine("dask", None, 1, deserted.address) as executor:
            assert capfd.readouterr().err == f"no worker at scheduler {deserted.address} yet; waiting for one\n"
            future = executor.submit(time.sleep, 60)
            with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
                deserted.scheduler.kill()
                with pytest.raises(
                    TrainingError, match=f"^the connection to scheduler {deserted.address} was lost"
                ) as caught:
                    future.result(timeout=60)
    one_line(caught)


# Workers that are started here


def of_worker():
    """The state of a worker that training depends on."""
    import multiprocessing

    import torch

    names = [*module.WORKER_ENVIRONMENT, "OMP_NUM_THREADS"]
    return torch.get_num_threads(), multiprocessing.current_process().daemon, {name: os.environ[name] for name in names}


def test_local_workers_have_one_thread_and_a_worker_that_always_dies_is_one_line(capfd):
    environment = dict(os.environ)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), open_engine("dask", 1, 2) as executor:
        found = executor.submit(of_worker).result(timeout=120)
        assert found == (1, False, module.WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": "1"})
        with pytest.raises(
            TrainingError, match=r"^several workers died of the same task, perhaps out of memory"
        ) as caught:
            executor.submit(os._exit, 1).result(timeout=60)
        one_line(caught)
        assert executor.submit(sum, [1, 2]).result(timeout=120) == 3
    assert dict(os.environ) == environment
    assert capfd.readouterr().err == ""


# Jobs of Slurm

#: Copies a job's script as Slurm does, because the submitter deletes it, and runs it here at once.
SBATCH = """#!/bin/sh
[ "$1" = --test-only ] && exit 0
cp "$1" "$0.$$"
setsid sh "$0.$$" >>"$0.log" 2>&1 &
echo $! >>"$0.jobs"
echo "Submitted batch job $!"
"""


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def test_slurm_that_is_not_there_or_not_configured_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^scheduler 'slurm' needs Slurm's command sbatch"):
        check_slurm()
    (tmp_path / "sbatch").touch(0o755)
    with pytest.raises(ConfigError, match=r"^scheduler 'slurm' needs cores and memory of a job in dask's config"):
        check_slurm()
    with dask.config.set({"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB"}):
        check_slurm()


def test_job_that_slurm_refuses_is_one_line(tmp_path, monkeypatch):
    write_program(tmp_path / "sbatch", "#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    message = r"^Slurm rejected the job described in jobqueue.slurm: sbatch: error: invalid partition$"
    settings = {"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB", "jobqueue.slurm.interface": "lo"}
    with dask.config.set(settings), pytest.raises(ConfigError, match=message), open_engine("dask", 1, 1, "slurm"):
        pass


@pytest.mark.slow
def test_members_in_jobs_of_slurm_are_the_same_to_the_bit(tmp_path, monkeypatch):
    """The jobs are real processes that run the script that Slurm would get; a script stands in for Slurm itself."""
    write_program(tmp_path / "sbatch", SBATCH)
    write_program(tmp_path / "scancel", "#!/bin/sh\nkill -TERM -- -$1\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    settings = {"cores": 2, "processes": 1, "memory": "4GB", "interface": "lo", "local-directory": str(tmp_path)}
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in settings.items()}):
        found = train_ensemble(experiment(), scheduler="slurm", jobs=2, store=tmp_path / "runs")
    assert_same(found, train(tmp_path / "one"))
    jobs = (tmp_path / "sbatch.jobs").read_text().split()
    assert len(jobs) == 2
    deadline = time.monotonic() + 60
    while any(processes_of_group(int(job)) for job in jobs):
        assert time.monotonic() < deadline
        time.sleep(0.1)
