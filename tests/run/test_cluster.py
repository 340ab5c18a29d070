"""Members on a dask cluster: a real scheduler and two worker processes, whatever befalls them, give the same bits."""

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
from helpers import assert_same, checkpoints, experiment, finished_checkpoints, train

from lib import config
from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.run import engines
from lib.run.engines import TrainingError, open_engine
from lib.run.store import RunStore, StoreError
from lib.training import ensemble
from lib.training.ensemble import train_ensemble

#: Of what two members of 20 epochs leave.
LONG_FILES = 2 * 21


class Cluster:
    """A scheduler in a process of its own, and workers of one thread, without a nanny that would start them again."""

    def __init__(self, folder):
        self.folder, self.workers, self.started = folder, [], 0
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        options += ["--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
        self.scheduler = self._start("dask_scheduler", *options)
        with self.client(scheduler_file=str(file)) as client:
            self.address = client.scheduler.address

    def client(self, *where, **options):
        return Client(*where or (() if options else (self.address,)), set_as_default=False, timeout=30, **options)

    def start_worker(self):
        self.started += 1
        name = f"worker-{self.started}"
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1"]
        folder = self.folder / name
        folder.mkdir()
        options += ["--name", name, "--local-directory", str(folder)]
        self.workers.append(self._start("dask_worker", self.address, *options, cwd=folder))

    def wait_for_workers(self):
        with self.client() as client:
            client.wait_for_workers(len(self.workers), timeout=60)

    def run(self, function, *arguments):
        """Call a function in every worker."""
        with self.client() as client:
            return list(client.run(function, *arguments).values())

    def stop(self):
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, program, *options, cwd=None):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
        log = (self.folder / f"{program}.log").open("ab")
        with log:
            return subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(2):
            started.start_worker()
        started.wait_for_workers()
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
    """400 digits to train on, as a file."""
    digits = load_dataset("digits")
    arrays = {"x_train": digits.train.images[:400], "y_train": digits.train.labels[:400]}
    np.savez(folder / "few_digits.npz", x_test=digits.test.images, y_test=digits.test.labels, **arrays)


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


# Results


def test_members_on_a_cluster_are_the_same_to_the_bit(cluster, tmp_path, monkeypatch, capfd):
    few_digits(tmp_path)
    # A path that means something here alone: workers run in other folders.
    monkeypatch.chdir(tmp_path)
    settings = {"dataset": "few_digits.npz", "num_members": 3}
    one = train(tmp_path / "one", **settings)
    capfd.readouterr()
    other = train_ensemble(experiment(**settings), scheduler=cluster.address, store="other")
    assert_same(other, one)
    assert ": 6 of 6 epochs, in " in capfd.readouterr().err
    assert not list((tmp_path / "other").glob(".token*"))
    before = checkpoints("other")
    assert_same(train_ensemble(experiment(**settings), scheduler=cluster.address, store="other"), one)
    assert checkpoints("other") == before


def test_member_of_a_killed_worker_goes_on_in_another_from_its_last_epoch(cluster, tmp_path):
    few_digits(tmp_path)
    chosen = experiment(dataset=str(tmp_path / "few_digits.npz"), num_members=2, epochs=20)
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(train_ensemble, chosen, scheduler=cluster.address, store=tmp_path / "runs")
        while len(busy(tmp_path / "runs")) < 2:
            assert not result.done()
            time.sleep(0.01)
        # Both workers, so that nothing is written while what they have finished is looked at.
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
    cluster.workers.remove(victim)
    cluster.start_worker()
    cluster.wait_for_workers()


def busy(root):
    """Members that have finished an epoch and are not complete."""
    return [run for run in RunStore(root).runs() if run.finished_epochs() > 1 and not run.is_complete()]


# What workers and client must have in common


def set_version(version):
    config.TRAINING_VERSION = version


def test_worker_with_another_version_is_refused(cluster, tmp_path):
    cluster.run(set_version, 99)
    try:
        with pytest.raises(ConfigError) as caught:
            train_ensemble(experiment(), scheduler=cluster.address, store=tmp_path)
    finally:
        cluster.run(set_version, config.TRAINING_VERSION)
    found = one_line(caught)
    assert "has training version 99 of this package" in found
    assert f"asked for version {config.TRAINING_VERSION}" in found
    assert not list(tmp_path.rglob("*"))


def forget(name):
    delattr(ensemble, name)


def reload_ensemble():
    importlib.reload(ensemble)


def test_worker_whose_package_lacks_something_is_refused(cluster, tmp_path):
    cluster.run(forget, "_train_task")
    try:
        with pytest.raises(TrainingError, match="another version of this package") as caught:
            train_ensemble(experiment(), scheduler=cluster.address, store=tmp_path)
    finally:
        cluster.run(reload_ensemble)
    one_line(caught)
    assert not list(tmp_path.rglob("epoch_*"))


def look_elsewhere(here, there):
    """In a worker: another folder lies where whoever submits has the store, as on a disk of the worker's own."""

    class Elsewhere(type(Path())):
        def __new__(cls, path):
            return Path(str(path).replace(here, there))

    engines.Path = Elsewhere
    ensemble.RunStore = lambda root: RunStore(Elsewhere(root))


def look_here():
    engines.Path, ensemble.RunStore = Path, RunStore


def test_store_that_workers_do_not_share_is_noticed_and_nothing_trained(cluster, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    cluster.run(look_elsewhere, str(tmp_path / "here"), str(there))
    try:
        with pytest.raises(StoreError) as caught:
            train_ensemble(experiment(), scheduler=cluster.address, store=tmp_path / "here")
    finally:
        cluster.run(look_here)
    assert f"does not see what is written to {tmp_path}" in one_line(caught)
    assert not list(tmp_path.rglob("epoch_*"))
    assert not list(tmp_path.rglob(".token*"))


def test_run_that_is_not_seen_after_training_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "SEEN_WITHIN", 0.3)
    monkeypatch.setattr(ensemble, "_train_task", lambda *_: None)
    with pytest.raises(StoreError, match="was trained just now and is not seen here") as caught:
        train(tmp_path)
    one_line(caught)


def test_dataset_that_a_worker_does_not_have_is_one_line(cluster, tmp_path, monkeypatch):
    few_digits(tmp_path)
    path = str(tmp_path / "few_digits.npz")
    load_dataset(path)
    # The caller has it in memory; to the workers it is gone.
    monkeypatch.setattr(ensemble, "load_dataset", lambda *_: load_dataset("digits"))
    Path(path).unlink()
    with pytest.raises(ValueError, match=r"unknown dataset .*few_digits.npz") as caught:
        train_ensemble(experiment(dataset=path), scheduler=cluster.address, store=tmp_path)
    one_line(caught)


# Schedulers that are not there


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("what", ["nobody listens", "no such host", "something else listens"])
def test_address_without_a_scheduler_is_one_line(tmp_path, monkeypatch, capfd, what):
    # Looking for 5 s, and 1 s more for a name that is looked up, is well within the 10 s that a reader waits.
    assert engines.CONNECT_TIMEOUT <= 5
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if what == "something else listens" else free_port()
        host = "no-such-host.invalid" if what == "no such host" else "127.0.0.1"
        with pytest.raises(TrainingError, match=rf"^no dask scheduler answers at tcp://{host}:{port} ") as caught:
            train_ensemble(experiment(), scheduler=f"tcp://{host}:{port}", store=tmp_path)
    one_line(caught)
    assert "Traceback" not in capfd.readouterr().err
    assert not list(tmp_path.rglob("*"))


def test_scheduler_without_workers_is_said_and_one_that_dies_is_one_line(deserted, monkeypatch, capfd):
    monkeypatch.setattr(engines, "LONELY_AFTER", 0.1)
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT", 1)
    with open_engine("dask", None, 1, deserted.address) as executor:
        future = executor.submit(os.getpid)
        said, deadline = "", time.monotonic() + 30
        while "no worker" not in said and time.monotonic() < deadline:
            time.sleep(0.1)
            said += capfd.readouterr().err
        assert said == f"no worker at scheduler {deserted.address} yet; waiting for one\n"
        deserted.scheduler.kill()
        with pytest.raises(TrainingError, match=f"^the connection to scheduler {deserted.address} was lost") as caught:
            future.result(timeout=60)
        one_line(caught)


# Stopped


def leave_a_mark(path):
    time.sleep(1)
    Path(path).touch()


def submit_and_interrupt(address, folder):
    with open_engine(None, None, 20, address) as executor:
        for number in range(20):
            executor.submit(leave_a_mark, str(folder / str(number)))
        while not list(folder.iterdir()):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)


def test_interrupt_cancels_what_is_queued(cluster, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        submit_and_interrupt(cluster.address, tmp_path)
    with cluster.client() as client:
        while any(client.processing().values()):
            time.sleep(0.1)
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0
    assert len(list(tmp_path.iterdir())) < 10


# Workers that are started here


def of_worker():
    """What training depends on in a worker."""
    import multiprocessing

    import torch

    names = [*engines.WORKER_ENVIRONMENT, "OMP_NUM_THREADS"]
    return torch.get_num_threads(), multiprocessing.current_process().daemon, {name: os.environ[name] for name in names}


def test_local_workers_have_one_thread_and_a_worker_that_always_dies_is_one_line(capfd):
    environment = dict(os.environ)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), open_engine("dask", 1, 2) as executor:
        found = executor.submit(of_worker).result(timeout=120)
        assert found == (1, False, engines.WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": "1"})
        with pytest.raises(TrainingError, match=r"^1 worker died of one and the same call, of too little") as caught:
            executor.submit(os._exit, 1).result(timeout=60)
        one_line(caught)
        assert executor.submit(sum, [1, 2]).result(timeout=120) == 3
    assert dict(os.environ) == environment
    assert capfd.readouterr().err == ""
