"""Many members: whoever trains them, in parallel, killed, interrupted or damaged, they are the same to the bit."""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, checkpoints, experiment, finished_checkpoints, flip, processes_of_group, subset, train

from lib.data.datasets import DatasetError, load_dataset
from lib.errors import ConfigError
from lib.models.lockstep import CannotStack
from lib.run.engines import TrainingError
from lib.run.store import RunStore, StoreError
from lib.training import ensemble
from lib.training.ensemble import Runs, train_ensemble

LONG_FILES = 2 * 13
#: Starts a process in milliseconds, as it has imported everything already.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["helpers", "lib.training.ensemble", "sklearn.datasets"])


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Settings of two members of 12 epochs on 400 images."""
    path = tmp_path_factory.mktemp("data") / "few_digits.npz"
    digits = load_dataset("digits")
    train, test = (digits.train.images[:400], digits.train.labels[:400]), (digits.test.images, digits.test.labels)
    np.savez(path, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1])
    return {"num_members": 2, "epochs": 12, "dataset": str(path)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store of two small_cnn, and their trajectories."""
    root = tmp_path_factory.mktemp("trained")
    return root, train(root)


@pytest.fixture(scope="module")
def long_trained(tmp_path_factory, long):
    return train(tmp_path_factory.mktemp("long"), **long)


def test_batch_of_which_batch_norm_has_no_deviation_is_told_before_anything_is_written(tmp_path, monkeypatch):
    images, labels = np.zeros((22, 4, 4), np.uint8), np.arange(22) % 2
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = {"dataset": str(tmp_path / "own.npz"), "validation_size": 2, "batch_size": 19}
    begun = []
    monkeypatch.setattr(ensemble, "open_engine", lambda *_: begun.append(_))  # None is no context manager
    with pytest.raises(
        ConfigError, match=r"^batch_size 19 leaves a batch of one image, too few for the BatchNorm of resnet8_v1"
    ):
        train(tmp_path / "runs", architecture="resnet8_v1", **data)
    assert begun == []
    for other in ({"sampling": "replacement"}, {"batch_size": 18}, {"architecture": "small_cnn"}):
        with pytest.raises(TypeError):
            train(tmp_path / "runs", **{"architecture": "resnet8_v1"} | data | other)
    assert len(begun) == 3
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("has", [True, False])
def test_bf16_without_instructions_for_it_is_told_before_training(tmp_path, monkeypatch, capsys, has):
    monkeypatch.setattr(ensemble, "has_bfloat16", lambda device: has)
    monkeypatch.setattr(ensemble, "open_engine", None)
    with pytest.raises(TypeError):
        train(tmp_path, precision="bf16")
    assert capsys.readouterr().err.startswith("bf16 will be slower than float32") != has


def wait_for_checkpoints(root, count, process):
    """Wait until a store has `count` checkpoint files."""
    deadline = time.monotonic() + 240  # importing PyTorch takes a minute on a busy machine
    while len(checkpoints(root)) < count:
        assert process.exitcode is None
        assert time.monotonic() < deadline
        time.sleep(0.002)


# Results


def test_ensemble_gives_one_trajectory_a_member_in_order(trained):
    _, trajectories = trained
    assert [one.member.order for one in trajectories] == [0, 1]
    assert not np.array_equal(trajectories[0].final, trajectories[1].final)


def test_runs_stack_their_members_and_slice_to_runs(trained):
    _, runs = trained
    for name in ("weights", "final"):
        stacked = getattr(runs, name)
        assert stacked.dtype == np.float32
        assert np.array_equal(stacked, [getattr(one, name) for one in runs])
    assert runs.weights.ndim == 3
    assert np.array_equal(runs.val_accuracies, [one.history["val_accuracy"] for one in runs])
    assert runs.keys == [one.member.key for one in runs]
    last = runs[1:]
    assert isinstance(last, Runs)
    assert len(last) == 1
    assert last[0] is runs[1]


def test_ensemble_asked_again_only_reads(trained, monkeypatch):
    root, trajectories = trained
    before = checkpoints(root)
    monkeypatch.setattr(ensemble, "open_engine", None)
    assert_same(train(root), trajectories)
    assert checkpoints(root) == before


def test_ensemble_of_more_members_trains_only_the_new(tmp_path, trained):
    root, trajectories = trained
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    before = checkpoints(tmp_path)
    more = train(tmp_path, num_members=4)
    assert_same(more[:2], trajectories)
    after = checkpoints(tmp_path)
    assert {path: after[path] for path in before} == before
    assert len(after) == 2 * len(before)
    assert_same(train(tmp_path, num_members=1), trajectories[:1])


@pytest.mark.slow
def test_ensemble_is_the_same_in_workers(tmp_path):
    chosen = experiment(num_members=3, epochs=1, architecture="resnet8_v1")
    one = train_ensemble(chosen, engine="sequential", store=tmp_path / "one")
    assert_same(train_ensemble(chosen, engine="loky", jobs=2, store=RunStore(tmp_path / "two")), one)


def test_error_in_a_worker_is_the_callers(tmp_path):
    with pytest.raises(ConfigError, match=r"^training diverged in epoch 1; learning_rate 1e\+30 is too high$"):
        train_ensemble(experiment(learning_rate=1e30), engine="loky", jobs=2, store=tmp_path)  # reuses workers
    assert all(not run.is_complete() for run in RunStore(tmp_path).runs())


# Damage


@pytest.mark.parametrize("name", ["epoch_000.safetensors", "manifest.json"])
def test_damaged_member_is_set_aside_with_one_warning_and_trained_again(tmp_path, trained, name):
    root, trajectories = trained
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    store = RunStore(tmp_path)
    whole, hurt = (store.run(one.member) for one in trajectories)
    flip(hurt.folder / name, (hurt.folder / name).stat().st_size // 2)
    before = checkpoints(whole.folder)
    with pytest.warns(UserWarning, match="damaged run set aside as") as caught:
        again = train(tmp_path)
    assert len(caught) == 1
    assert f"{hurt.folder.name}.damaged" in str(caught[0].message)
    assert_same(again, trajectories)
    assert [folder.name for folder in store.damaged()] == [f"{hurt.folder.name}.damaged"]
    assert checkpoints(whole.folder) == before
    assert store.verify() == {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(train(tmp_path), trajectories)


# Two at once


def test_two_processes_wanting_the_same_members_share_them(tmp_path, long, long_trained):
    started = [SERVER.Process(target=train, args=(tmp_path,), kwargs=long) for _ in range(2)]
    for process in started:
        process.start()
    seen = {}
    while any(process.exitcode is None for process in started):
        for path, identity in checkpoints(tmp_path).items():
            # A checkpoint that was written twice would have another inode or time.
            assert seen.setdefault(path, identity) == identity
        time.sleep(0.01)
    assert [process.exitcode for process in started] == [0, 0]
    seen |= checkpoints(tmp_path)
    assert len(seen) == LONG_FILES
    assert_same(train(tmp_path, **long), long_trained)


# Killed and interrupted


def test_killed_at_random_moments_goes_on_to_the_same_bits(tmp_path, long, long_trained):
    numbers = random.Random(0)
    finished = {}
    for count in (1, 16):
        process = SERVER.Process(target=train, args=(tmp_path,), kwargs=long)
        process.start()
        wait_for_checkpoints(tmp_path, count, process)
        time.sleep(numbers.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        now = checkpoints(tmp_path)
        assert {path: now[path] for path in finished} == finished
        finished = finished_checkpoints(tmp_path)
    assert len(finished) >= 14
    assert_same(train(tmp_path, **long), long_trained)
    now = checkpoints(tmp_path)
    assert {path: now[path] for path in finished} == finished
    assert len(now) == LONG_FILES
    assert RunStore(tmp_path).damaged() == []
    assert not list(tmp_path.rglob("*.tmp"))


def is_worker(number):
    try:
        return b"loky.backend.popen_loky_posix" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


ONE_LINE = 17  # exit status of a training that ended with a TrainingError of one line


def train_with_loky(root, settings):
    """Train in a process group of its own."""
    os.setsid()
    try:
        train_ensemble(experiment(**settings), engine="loky", jobs=2, store=root)
    except TrainingError as error:
        sys.exit(ONE_LINE if "\n" not in str(error) else 1)


@pytest.mark.slow
def test_loky_with_a_killed_worker_leaves_no_process_and_goes_on_to_the_same_bits(tmp_path, long, long_trained):
    process = SERVER.Process(target=train_with_loky, args=(tmp_path, long))
    process.start()
    wait_for_checkpoints(tmp_path, 6, process)
    os.kill(next(filter(is_worker, processes_of_group(process.pid))), signal.SIGKILL)
    process.join(60)
    assert process.exitcode == ONE_LINE
    deadline = time.monotonic() + 10
    while processes_of_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of_group(process.pid) == []
    finished = finished_checkpoints(tmp_path)
    assert len(finished) >= 4
    assert len(finished) < LONG_FILES
    assert_same(train(tmp_path, **long), long_trained)
    now = checkpoints(tmp_path)
    assert {path: now[path] for path in finished} == finished


def test_ensemble_data_that_changed_meanwhile_is_one_line(tmp_path, monkeypatch):
    """A worker that finds other data than the caller does not train on it under the caller's key."""
    loads = iter([load_dataset("digits"), subset(100)])
    monkeypatch.setattr(ensemble, "load_dataset", lambda *_: next(loads))
    with pytest.raises(DatasetError, match=r"^digits changed, or differs between machines: start again$"):
        train(tmp_path)
    assert not list(tmp_path.rglob("epoch_*"))


def test_ensemble_progress_counts_epochs_of_the_store(tmp_path, capfd):
    train(tmp_path)
    shown = capfd.readouterr().err
    assert "digits / small_cnn: 4 of 4 epochs, in 0:00:" in shown
    train(tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("problem", [torch.cuda.OutOfMemoryError("full"), CannotStack("odd")])
def test_members_that_do_not_fit_together_are_trained_in_halves(tmp_path, monkeypatch, problem):
    original, sizes = ensemble.train_members, []

    def at_most_two(configs, *rest):
        sizes.append(len(configs))
        if len(configs) > 2:
            raise problem
        original(configs, *rest)

    monkeypatch.setattr(ensemble, "train_members", at_most_two)
    data = load_dataset("digits")
    configs = experiment(num_members=5, epochs=1).members(data.name, data.content_hash)
    ensemble._train_task([asdict(config) for config in configs], "digits", None, None, str(tmp_path))
    assert sizes == [5, 2, 3, 1, 2]
    assert all(RunStore(tmp_path).run(config).is_complete() for config in configs)


def test_run_that_is_not_seen_after_training_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble, "SEEN_WITHIN", 0.3)
    monkeypatch.setattr(ensemble, "_train_task", lambda *_: None)
    with pytest.raises(StoreError, match=r"was just trained but is not visible here; [^\n]*$"):
        train(tmp_path)


def test_paths_of_data_mean_the_same_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, expected in (
        ("digits", "digits"),
        ("images.npz", f"{tmp_path}/images.npz"),
        ("imagefolder@32:a:b", f"imagefolder@32:{tmp_path}/a:b"),
        ("imagefolder:/a", "imagefolder:/a"),
    ):
        assert ensemble._absolute(given) == expected
