"""A run written without training: its files, resuming, damage, and locks."""

import dataclasses
import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from helpers import flip, member
from safetensors.numpy import save

from lib.run import files, runs
from lib.run.files import DamagedRun, StoreError, read_with_digest
from lib.run.store import RunStore

CONFIG = member(epochs=3)
FILES = ["config.json", *(f"epoch_{epoch:03d}.safetensors" for epoch in range(4)), "history.csv", "manifest.json"]


def checkpoint(epoch):
    numbers = np.random.default_rng(epoch)
    return {
        "weights": numbers.normal(size=50).astype(np.float32),
        "statistics": numbers.normal(size=4).astype(np.float32),
    }


def row(epoch):
    return {"epoch": epoch, "train_loss": 1 / (3 + epoch), "b": 0.1 * epoch, "a": 1e-300 / epoch}


def pretend_training(root, config=CONFIG, stop=None):
    """Write what a trainer would, up to but not including epoch `stop`; return the run and the trained epochs."""
    run, trained = RunStore(root).run(config), []
    with run.lock():
        done = run.resume()
        if done is None:
            run.write_epoch(0, checkpoint(0), {}, None)
        elif done.epoch > 0:
            np.testing.assert_array_equal(done.optimizer["layer/exp_avg"], checkpoint(100 + done.epoch)["weights"])
            np.testing.assert_array_equal(done.checkpoint["weights"], checkpoint(done.epoch)["weights"])
        for epoch in range(done.epoch + 1 if done else 1, config.epochs + 1):
            if epoch == stop:
                return run, trained
            state = {"layer/exp_avg": checkpoint(100 + epoch)["weights"], "layer/step": np.float32(epoch)}
            run.write_epoch(epoch, checkpoint(epoch), state, row(epoch))
            trained.append(epoch)
        run.finish({"device": "cpu"})
    return run, trained


def contents(folder):
    """The contents of all files except the manifest, which has the time."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_run_complete_has_its_files_and_reads_back(tmp_path):
    run, trained = pretend_training(tmp_path)
    assert trained == [1, 2, 3]
    assert run.folder == tmp_path / "digits" / "small_cnn" / CONFIG.key
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(FILES)
    fresh = RunStore(tmp_path).run(CONFIG)
    assert fresh.is_complete()
    assert fresh.open() == {"device": "cpu"}
    for epoch in range(4):
        for name, expected in checkpoint(epoch).items():
            np.testing.assert_array_equal(fresh.read_epoch(epoch)[name], expected)
    history = fresh.read_history()
    assert list(history) == ["epoch", "train_loss", "b", "a"]
    assert history.to_dict("records") == [row(epoch) for epoch in (1, 2, 3)]
    fresh.verify()
    assert json.loads((run.folder / "config.json").read_text()) == dataclasses.asdict(CONFIG)


# Resuming


@pytest.mark.parametrize("stop", [1, 3])
def test_run_resumes_at_the_epoch_and_ends_the_same(tmp_path, stop):
    whole, _ = pretend_training(tmp_path / "whole")
    run, trained = pretend_training(tmp_path / "parts", stop=stop)
    assert not run.is_complete()
    assert run.finished_epochs() == stop - 1
    assert trained == list(range(1, stop))
    run.verify()
    run, trained = pretend_training(tmp_path / "parts")
    assert trained == list(range(stop, 4))
    assert contents(run.folder) == contents(whole.folder)
    assert list(RunStore(tmp_path / "parts").damaged()) == []


def test_run_failing_at_any_write_keeps_finished_epochs_and_ends_the_same(tmp_path, monkeypatch):
    whole, _ = pretend_training(tmp_path / "whole")
    # The configuration, two files for each of four checkpoints, the history and the manifest.
    writes = 1 + 4 * 2 + 2
    for allowed in range(writes):
        root, left = tmp_path / str(allowed), iter(range(allowed))

        def full(handle, left=left):
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            with pytest.raises(StoreError, match="No space left on device") as caught:
                pretend_training(root)
        assert "\n" not in str(caught.value)
        run, trained = pretend_training(root)
        assert trained == list(range(max(0, (allowed - 3) // 2) + 1, 4))
        assert contents(run.folder) == contents(whole.folder)


def test_run_leftovers_of_a_crash_are_cleaned(tmp_path):
    run, _ = pretend_training(tmp_path, stop=2)
    (run.folder / ".epoch_002.safetensors.x1y2.tmp").write_bytes(b"half")
    (run.folder / "epoch_002.safetensors").write_bytes(b"written, but its epoch was not finished")
    run, trained = pretend_training(tmp_path)
    assert trained == [2, 3]
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(FILES)


def test_run_of_the_first_version_without_a_format_is_read(tmp_path):
    run, _ = pretend_training(tmp_path, stop=2)
    path = run.folder / "resume.safetensors"
    arrays, metadata = read_with_digest(path)
    old = {name: value for name, value in metadata.items() if name not in ("format", "digest")}
    path.write_bytes(save(arrays, old | {"digest": files._digest(arrays, old)}))
    run.verify()
    assert run.resume().epoch == 1


# Damage


@pytest.mark.parametrize("name", [FILES[0], FILES[2], *FILES[-2:]])
def test_damage_anywhere_is_noticed(tmp_path, name):
    run, _ = pretend_training(tmp_path)
    path = run.folder / name
    whole = path.read_bytes()
    numbers = random.Random(name)

    def expect_damage():
        with pytest.raises(DamagedRun, match=name.replace(".", r"\.")):
            RunStore(tmp_path).run(CONFIG).verify()

    for _ in range(8):
        flip(path, numbers.randrange(len(whole)))
        expect_damage()
        path.write_bytes(whole)
    for content in (whole[:-1], b"", whole + b"x"):
        path.write_bytes(content)
        expect_damage()
    path.unlink()
    expect_damage()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("resume.safetensors", "flip"),
        ("resume.safetensors", "delete"),
        ("epoch_000.safetensors", "truncate"),
    ],
)
def test_damage_in_the_middle_of_training_is_set_aside_and_trained_again(tmp_path, name, damage):
    whole, _ = pretend_training(tmp_path / "whole")
    run, _ = pretend_training(tmp_path / "runs", stop=3)
    path = run.folder / name
    if damage == "flip":
        flip(path, path.stat().st_size // 2)
    elif damage == "truncate":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    with pytest.warns(UserWarning, match=r"damaged run set aside as .*\.damaged \(.*\); it is trained again") as caught:
        run, trained = pretend_training(tmp_path / "runs")
    assert len(caught) == 1
    assert trained == [1, 2, 3]
    assert contents(run.folder) == contents(whole.folder)
    (aside,) = RunStore(tmp_path / "runs").damaged()
    assert aside.name == f"{CONFIG.key}.damaged"


def test_damage_again_keeps_all_folders(tmp_path):
    for _ in range(3):
        run, _ = pretend_training(tmp_path, stop=1)
        with pytest.warns(UserWarning, match="damaged run set aside"):
            run.set_aside("a test")
    names = [folder.name.removeprefix(CONFIG.key) for folder in RunStore(tmp_path).damaged()]
    assert sorted(names) == [".2.damaged", ".3.damaged", ".damaged"]


# Locks


def test_lock_lets_one_at_a_time(tmp_path):
    order = []

    def hold(name):
        with RunStore(tmp_path).run(CONFIG).lock():
            order.append((name, "in"))
            time.sleep(0.1)
            order.append((name, "out"))

    threads = [threading.Thread(target=hold, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [what for _, what in order] == ["in", "out", "in", "out"]
    assert order[0][0] == order[1][0]
    with RunStore(tmp_path).run(CONFIG).lock(), RunStore(tmp_path).run(member(1, epochs=3)).lock():
        pass  # another member has its own lock


def test_lock_that_would_outlive_its_process_is_refused(tmp_path, monkeypatch):
    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.warns(UserWarning, match="flock"), pytest.raises(StoreError, match="its file system has no flock"):
        RunStore(tmp_path).run(CONFIG).lock().__enter__()
    assert not list(tmp_path.rglob("*.lock"))


def test_lock_dies_with_its_process(tmp_path):
    script = """
import os, signal, sys
from pathlib import Path
from lib.run.runs import locked
with locked(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    run = RunStore(tmp_path).run(CONFIG)
    done = subprocess.run([sys.executable, "-c", script, run.folder], cwd=ROOT, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert Path(runs.file_lock(run.folder).lock_file).exists()
    with run.lock():
        pass


@pytest.mark.parametrize("below", ["a_file", "/proc/runs"])
def test_store_that_cannot_be_written_is_one_line(tmp_path, below):
    (tmp_path / "a_file").write_text("not a folder")
    run = RunStore(tmp_path / below / "runs").run(CONFIG)
    with pytest.raises(StoreError, match=r"^cannot write .*; choose another") as caught, run.lock():
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match=r"^cannot write .*config.json: .*; choose another"):
        run.write_epoch(0, checkpoint(0), {}, None)
    assert not run.is_complete()
