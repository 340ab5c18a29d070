"""The run store without any network: atomic writes, locks, checksums, resuming, and what the disk may do to it."""

import dataclasses
import errno
import json
import os
import random
import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import CHECKOUT, member, run_python, start_python
from safetensors import safe_open
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from lib.config import canonical_json
from lib.data.datasets import load_dataset
from lib.run import files as files_module
from lib.run import store as store_module
from lib.run.files import sha256
from lib.run.store import DamagedRun, RunStore, StoreError, folder_size, last_written, write_atomically

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
    """Write what a trainer would, up to before epoch `stop`; returns the run and the epochs that it trained."""
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
    """All files but what says when it was made."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    found.pop("manifest.json", None)
    return found


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(bytes(content))


def only_damaged(root):
    (folder,) = RunStore(root).damaged()
    return folder


# Writing


def test_write_atomically_replaces_the_content_and_leaves_nothing_else(tmp_path):
    for content in (b"old", b"newer"):
        write_atomically(tmp_path / "deep" / "file", content)
        assert (tmp_path / "deep" / "file").read_bytes() == content
    assert os.listdir(tmp_path / "deep") == ["file"]


def test_write_atomically_gives_the_permissions_of_any_new_file(tmp_path):
    write_atomically(tmp_path / "file", b"content")
    (tmp_path / "other").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_write_atomically_crash_leaves_the_old_content(tmp_path, monkeypatch, step, failure):
    write_atomically(tmp_path / "file", b"old")

    def crash(*args):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, step, crash)
        with pytest.raises((StoreError, KeyboardInterrupt)):
            write_atomically(tmp_path / "file", b"newer")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_write_atomically_syncs_before_it_renames(tmp_path, monkeypatch):
    steps = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(store_module.os, name, lambda *a, n=name, f=function: (steps.append(n), f(*a))[1])
    write_atomically(tmp_path / "file", b"content")
    assert steps == ["fsync", "replace"]


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "choose another")])
def test_write_atomically_failure_is_one_line_and_leaves_no_file(tmp_path, monkeypatch, number, hint):
    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store_module.os, "fsync", fail)
    with pytest.raises(StoreError) as caught:
        write_atomically(tmp_path / "file", b"content")
    reason = os.strerror(number)
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'file'}: {reason}; {hint}")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("below", ["a_file", "/proc/runs"])
def test_store_that_cannot_be_written_is_one_line(tmp_path, below):
    (tmp_path / "a_file").write_text("not a folder")
    root = tmp_path / below / "runs"
    run = RunStore(root).run(CONFIG)
    with pytest.raises(StoreError, match=r"^cannot write .*; choose another") as caught, run.lock():
        pass
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match=r"^cannot write .*config.json: .*; choose another"):
        run.write_epoch(0, checkpoint(0), {}, None)
    assert list(RunStore(root).runs()) == []
    assert not run.is_complete()


# A run


def test_run_complete_has_its_files_and_reads_back(tmp_path):
    run, trained = pretend_training(tmp_path)
    assert trained == [1, 2, 3]
    assert run.folder == tmp_path / "digits" / "small_cnn" / CONFIG.key
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(FILES)
    fresh = RunStore(tmp_path).run(CONFIG)
    assert fresh.is_complete()
    fresh.open()
    for epoch in range(4):
        for name, expected in checkpoint(epoch).items():
            np.testing.assert_array_equal(fresh.read_epoch(epoch)[name], expected)
    history = fresh.read_history()
    assert list(history) == ["epoch", "train_loss", "b", "a"]
    assert history.to_dict("records") == [row(epoch) for epoch in (1, 2, 3)]
    fresh.verify()
    assert json.loads((run.folder / "config.json").read_text()) == dataclasses.asdict(CONFIG)


@pytest.mark.parametrize("stop", [1, 2, 3])
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
    real = os.fsync
    for allowed in range(writes + 1):
        root = tmp_path / str(allowed)
        left = [allowed]

        def full(handle, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(store_module.os, "fsync", full)
            if allowed == writes:
                assert pretend_training(root)[1] == [1, 2, 3]
                continue
            with pytest.raises(StoreError, match="No space left on device; free some space") as caught:
                pretend_training(root)
        assert "\n" not in str(caught.value)
        done = max(0, (allowed - 3) // 2)
        run, trained = pretend_training(root)
        assert trained == list(range(done + 1, 4))
        assert contents(run.folder) == contents(whole.folder)


def test_run_real_file_size_limit_is_one_line(tmp_path, compiled):
    script = """
import resource, signal, sys
from helpers import train
from lib.run.store import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    train(sys.argv[1], num_members=1)
except StoreError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    code, out, err = run_python(script, tmp_path, env=environment)
    assert code == 0, err
    assert out.startswith("cannot write ")
    assert out.count("\n") == 1
    assert "resume.safetensors: File too large" in out
    assert not list(tmp_path.rglob("*.tmp"))


def test_run_leftovers_of_a_crash_are_cleaned(tmp_path):
    run, _ = pretend_training(tmp_path, stop=2)
    leftover = run.folder / ".epoch_002.safetensors.x1y2.tmp"
    leftover.write_bytes(b"half")
    (run.folder / "epoch_002.safetensors").write_bytes(b"written, but its epoch was not finished")
    run, trained = pretend_training(tmp_path)
    assert trained == [2, 3]
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(FILES)


def test_run_crash_between_manifest_and_clean_up_is_complete(tmp_path, monkeypatch):
    def crash(self, missing_ok=False):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module.Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            pretend_training(tmp_path)
    run = RunStore(tmp_path).run(CONFIG)
    assert run.is_complete()
    run.verify()


# Damage


@pytest.mark.parametrize("name", FILES)
def test_damage_one_bit_anywhere_is_noticed(tmp_path, name):
    run, _ = pretend_training(tmp_path)
    path = run.folder / name
    whole = path.read_bytes()
    numbers = random.Random(name)
    for _ in range(60):
        flip(path, numbers.randrange(len(whole)), numbers.randrange(8))
        with pytest.raises(DamagedRun, match=name.replace(".", r"\.")):
            RunStore(tmp_path).run(CONFIG).verify()
        path.write_bytes(whole)
    RunStore(tmp_path).run(CONFIG).verify()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncate", "empty", "delete", "append"])
def test_damage_to_a_whole_file_is_noticed(tmp_path, name, damage):
    run, _ = pretend_training(tmp_path)
    path = run.folder / name
    whole = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes({"truncate": whole[:-1], "empty": b"", "append": whole + b"x"}[damage])
    with pytest.raises(DamagedRun, match=name.replace(".", r"\.")):
        RunStore(tmp_path).run(CONFIG).verify()


def test_damage_one_bit_anywhere_in_the_resume_state_is_noticed(tmp_path):
    run, _ = pretend_training(tmp_path, stop=3)
    path = run.folder / "resume.safetensors"
    whole = path.read_bytes()
    numbers = random.Random(0)
    for position in [*range(0, len(whole), 7), *(numbers.randrange(len(whole)) for _ in range(60))]:
        flip(path, position, numbers.randrange(8))
        with pytest.raises(DamagedRun, match=r"resume\.safetensors"):
            RunStore(tmp_path).run(CONFIG).verify()
        path.write_bytes(whole)
    RunStore(tmp_path).run(CONFIG).verify()


@pytest.mark.parametrize(
    "name", ["resume.safetensors", "config.json", "epoch_000.safetensors", "epoch_002.safetensors"]
)
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
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
    assert only_damaged(tmp_path / "runs").name == f"{CONFIG.key}.damaged"


def test_damage_twice_keeps_both_folders(tmp_path):
    for _ in range(3):
        run, _ = pretend_training(tmp_path)
        with pytest.warns(UserWarning, match="damaged run set aside"):
            run.set_aside("a test")
    names = [folder.name.removeprefix(CONFIG.key) for folder in RunStore(tmp_path).damaged()]
    assert sorted(names) == [".2.damaged", ".3.damaged", ".damaged"]


def test_format_newer_is_refused_with_one_line(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "FORMAT", store_module.FORMAT + 1)
        run, _ = pretend_training(tmp_path)
    for method in (RunStore(tmp_path).run(CONFIG).open, RunStore(tmp_path).run(CONFIG).verify):
        with pytest.raises(
            StoreError, match=r"has store format 2, this version reads 1; update the project$"
        ) as caught:
            method()
        assert not isinstance(caught.value, DamagedRun)
        assert "\n" not in str(caught.value)
    assert run.folder.exists()


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


def test_lock_that_would_outlive_its_process_is_refused(tmp_path, monkeypatch):
    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.warns(UserWarning, match="flock"), pytest.raises(StoreError, match="its file system has no flock"):
        RunStore(tmp_path).run(CONFIG).lock().__enter__()
    assert not list(tmp_path.rglob("*.lock"))


def test_lock_of_another_member_is_another(tmp_path):
    with RunStore(tmp_path).run(CONFIG).lock(), RunStore(tmp_path).run(member(1, epochs=3)).lock():
        pass


def test_lock_dies_with_its_process(tmp_path):
    script = """
import os, signal, sys
from helpers import member
from lib.run.store import RunStore
with RunStore(sys.argv[1]).run(member(epochs=3)).lock():
    os.kill(os.getpid(), signal.SIGKILL)
"""
    code, _, _ = run_python(script, tmp_path, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])})
    assert code == -9
    with RunStore(tmp_path).run(CONFIG).lock():
        pass


def test_remove_deletes_a_run_but_not_one_in_training(tmp_path):
    run, _ = pretend_training(tmp_path)
    with run.lock():
        assert RunStore(tmp_path).run(CONFIG).remove() is False
        assert run.is_complete()
    assert run.remove() is True
    assert not run.folder.exists()
    assert list(RunStore(tmp_path).runs()) == []


def test_remove_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"^cannot remove .*: No such file or directory$"):
        RunStore(tmp_path).run(CONFIG).remove()


# Derived arrays

RECIPE = {"members": ["a", "b"], "steps": 3, "version": 1}


def arrays():
    return {"weights": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": np.array([1, 2])}


def never():
    raise AssertionError("computed again")


def fill(root, recipe=RECIPE, kind="line"):
    """Keep `arrays`; returns their file."""
    before = set(RunStore(root).derived())
    RunStore(root).cached(kind, recipe, arrays)
    (path,) = set(RunStore(root).derived()) - before
    return path


def assert_arrays(found):
    assert list(found) == sorted(arrays())
    for name, expected in arrays().items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype


def test_cached_computes_once(tmp_path):
    calls = []
    for _ in range(3):
        assert_arrays(RunStore(tmp_path).cached("line", RECIPE, lambda: calls.append(1) or arrays()))
    assert len(calls) == 1
    # The order of the recipe's names is no part of it.
    assert_arrays(RunStore(tmp_path).cached("line", dict(reversed(RECIPE.items())), never))


def test_cached_other_recipe_or_kind_is_another(tmp_path):
    paths = {
        fill(tmp_path),
        fill(tmp_path, RECIPE | {"version": 2}),
        fill(tmp_path, {}),
        fill(tmp_path, RECIPE, "plane"),
    }
    assert len(paths) == 4
    assert sorted(paths) == RunStore(tmp_path).derived()


def test_cached_file_is_where_it_says_and_holds_its_recipe(tmp_path):
    path = fill(tmp_path)
    assert path.parent == tmp_path / ".derived" / "line"
    assert os.listdir(path.parent) == [path.name]
    with safe_open(path, framework="np") as file:
        content = file.metadata()["recipe"]
    assert json.loads(content) == {"kind": "line", "recipe": RECIPE}
    assert content == canonical_json({"kind": "line", "recipe": RECIPE})
    assert path.stem == sha256(content.encode())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.arange(3, dtype=">f8"),
        np.array([True, False]),
        np.array(2.5),
        np.float16(1.5),
        np.zeros((2, 0, 3)),
        [[1, 2], [3, 4]],
    ],
)
def test_cached_arrays_come_back_the_same_computed_or_read(tmp_path, array):
    for compute in (lambda: {"array": array}, never):
        found = RunStore(tmp_path).cached("line", RECIPE, compute)["array"]
        np.testing.assert_array_equal(found, array)
        assert found.shape == np.shape(array)
        assert found.dtype == np.asarray(array).dtype.newbyteorder("=")
        assert found.flags.writeable
    assert RunStore(tmp_path).cached("nothing", RECIPE, dict) == {}


def test_cached_one_bit_anywhere_is_noticed_and_set_aside(tmp_path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        flip(path, position, position % 8)
        assert list(RunStore(tmp_path).verify()) == [path]
        with pytest.warns(UserWarning, match="damaged arrays set aside as") as caught:
            assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))
        assert len(caught) == 1
        assert list(RunStore(tmp_path).verify()) == []
        (aside,) = RunStore(tmp_path).damaged()
        assert aside.name == f"{path.name}.damaged"
        assert RunStore(tmp_path).remove_leftover(aside) is True
        path.write_bytes(whole)
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))


@pytest.mark.parametrize(
    "damage", ["truncate", "empty", "append", "text", "plain", "bfloat16", "float8", "another", "folder"]
)
def test_cached_damaged_or_foreign_file_is_set_aside(tmp_path, damage):
    path, another = fill(tmp_path), fill(tmp_path, RECIPE, "plane")
    whole = path.read_bytes()
    contents = {
        "truncate": whole[:-1],
        "empty": b"",
        "append": whole + b"x",
        "text": b"not safetensors at all",
        "plain": save(arrays()),
        "bfloat16": save_torch({"weights": torch.zeros(3, dtype=torch.bfloat16)}),
        "float8": save_torch({"weights": torch.zeros(3, dtype=torch.float8_e4m3fn)}),
        "another": another.read_bytes(),
    }
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(contents[damage])
    assert list(RunStore(tmp_path).verify()) == [path]
    with pytest.warns(
        UserWarning, match=r"damaged arrays set aside as .*\.safetensors\.damaged \(.*\); they are computed again$"
    ) as caught:
        assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))
    assert RunStore(tmp_path).verify() == {}


def test_cached_damage_twice_keeps_both_files(tmp_path):
    for _ in range(2):
        fill(tmp_path).write_bytes(b"")
        with pytest.warns(UserWarning, match="damaged arrays set aside"):
            RunStore(tmp_path).cached("line", RECIPE, arrays)
        for path in RunStore(tmp_path).derived():
            path.unlink()
    endings = [path.name.split(".", 1)[1] for path in RunStore(tmp_path).damaged()]
    assert endings == ["safetensors.2.damaged", "safetensors.damaged"]


def test_cached_two_threads_compute_once(tmp_path):
    calls, found = [], []

    def compute():
        calls.append(1)
        time.sleep(0.2)
        return arrays()

    def want():
        found.append(RunStore(tmp_path).cached("line", RECIPE, compute))

    threads = [threading.Thread(target=want) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 3
    for one in found:
        assert_arrays(one)


CACHING = """
import json, sys
import numpy as np
from lib.run.store import RunStore
def compute():
    print("computing", flush=True)
    sys.stdin.readline()
    return {"weights": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": np.array([1, 2])}
RunStore(sys.argv[1]).cached("line", json.loads(sys.argv[2]), compute)
"""


def start_caching(root):
    """A process that has begun to compute `arrays`, and goes on once it reads a line."""
    process = start_python(CACHING, root, json.dumps(RECIPE), stdin=subprocess.PIPE)
    assert process.stdout.readline() == "computing\n"
    return process


def test_cached_waits_for_another_process_that_computes(tmp_path):
    process = start_caching(tmp_path)
    timer = threading.Timer(0.2, lambda: print("go on", file=process.stdin, flush=True))
    timer.start()
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))
    timer.join()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


def test_cached_lock_and_leftovers_of_a_dead_process_do_not_matter(tmp_path):
    process = start_caching(tmp_path)
    process.kill()
    process.communicate()
    path = fill(tmp_path)
    path.unlink()
    for name in (path.name, "another"):
        (path.parent / f".{name}.x1y2.tmp").write_bytes(b"half")
    assert fill(tmp_path) == path
    assert sorted(os.listdir(path.parent)) == [".another.x1y2.tmp", path.name]


def test_cached_may_be_asked_for_while_another_is_computed(tmp_path):
    def inner():
        return {"twice": 2 * RunStore(tmp_path).cached("line", RECIPE, arrays)["labels"]}

    np.testing.assert_array_equal(RunStore(tmp_path).cached("plane", RECIPE, inner)["twice"], [2, 4])


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt])
def test_cached_failing_computation_leaves_nothing(tmp_path, failure):
    def compute():
        raise failure

    with pytest.raises(failure):
        RunStore(tmp_path).cached("line", RECIPE, compute)
    assert RunStore(tmp_path).derived() == []
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))


@pytest.mark.parametrize("below", ["a_file", "/proc/runs"])
def test_cached_where_nothing_can_be_written_is_one_line_before_it_computes(tmp_path, below):
    (tmp_path / "a_file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"^cannot write .*; choose another folder") as caught:
        RunStore(tmp_path / below / "runs").cached("line", RECIPE, never)
    assert "\n" not in str(caught.value)


def test_cached_reads_where_nothing_can_be_written(tmp_path, monkeypatch):
    fill(tmp_path)

    def fail(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(store_module.FileLock, "acquire", fail)
    monkeypatch.setattr(files_module.Path, "open", fail)
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))
    with pytest.raises(StoreError, match="Read-only file system; choose another folder"):
        RunStore(tmp_path).cached("plane", RECIPE, never)


def test_cached_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device; free some space") as caught:
            RunStore(tmp_path).cached("line", RECIPE, arrays)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / ".derived" / "line") == []
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))


@pytest.mark.parametrize("kind", ["", "Line", "a/b", "..", ".a", "a b", "line\n", "-rf"])
def test_cached_kind_that_is_no_name_is_refused(tmp_path, kind):
    with pytest.raises(ValueError, match=r"^kind must be lower-case letters, digits, - and _, got "):
        RunStore(tmp_path).cached(kind, RECIPE, never)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("value", [np.zeros(2), np.int64(1), float("nan"), {1, 2}, b"bytes"])
def test_cached_recipe_that_is_not_json_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"^recipe of line must hold JSON values only: .") as caught:
        RunStore(tmp_path).cached("line", {"value": value}, never)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["a"]), np.zeros(2, complex), None])
def test_cached_what_is_no_array_of_numbers_is_refused(tmp_path, array):
    with pytest.raises(
        ValueError, match=r"^compute of line must return arrays of numbers by name, got a of "
    ) as caught:
        RunStore(tmp_path).cached("line", RECIPE, lambda: {"a": array})
    assert "\n" not in str(caught.value)
    assert RunStore(tmp_path).derived() == []


def test_default_folder_is_that_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert RunStore().root == tmp_path
    monkeypatch.setenv("RUNS_DIR", "")
    assert RunStore().root == CHECKOUT / "runs"


def test_derived_arrays_are_no_runs(tmp_path):
    run, _ = pretend_training(tmp_path)
    path, another = fill(tmp_path), fill(tmp_path, {})
    (path.parent / "notes.safetensors").write_text("mine")
    store = RunStore(tmp_path)
    assert store.derived() == sorted([path, another])
    assert [found.folder for found in store.runs()] == [run.folder]
    assert store.unreadable() == store.damaged() == []
    assert store.verify() == {}
    flip(another, -1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert store.verify() == {another: f"{another.name} has another checksum"}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert RunStore(tmp_path / "nothing").derived() == []


def test_derived_arrays_can_be_removed_unless_they_are_computed_just_now(tmp_path):
    path = fill(tmp_path)
    assert RunStore(tmp_path).remove_leftover(path) is True
    assert RunStore(tmp_path).derived() == []
    removed = []

    def compute():
        removed.append(RunStore(tmp_path).remove_leftover(path))
        return arrays()

    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, compute))
    assert removed == [False]
    path.unlink()
    with pytest.raises(StoreError, match=r"^cannot remove .*: No such file or directory$"):
        RunStore(tmp_path).remove_leftover(path)


def test_size_and_age_of_a_file_are_its_own(tmp_path):
    path = fill(tmp_path)
    os.utime(path, (1000, 1000))
    assert folder_size(path) == len(path.read_bytes())
    assert last_written(path) == 1000


# The store


def test_store_lists_complete_and_incomplete_runs_in_order(tmp_path):
    configs = [member(number, epochs=3) for number in range(3)]
    for config, stop in zip(configs, (None, 2, 1), strict=True):
        pretend_training(tmp_path, config, stop=stop)
    found = list(RunStore(tmp_path).runs())
    assert sorted(run.config.key for run in found) == [run.config.key for run in found]
    assert {run.config: run.finished_epochs() for run in found} == dict(zip(configs, (3, 1, 0), strict=True))
    assert [run.config for run in found if run.is_complete()] == [configs[0]]


def test_store_verify_names_what_is_damaged_and_changes_nothing(tmp_path):
    runs = [
        pretend_training(tmp_path, member(number, epochs=3), stop=stop)[0]
        for number, stop in enumerate((None, None, 2))
    ]
    assert RunStore(tmp_path).verify() == {}
    flip(runs[1].folder / "epoch_001.safetensors", 100)
    (runs[0].folder / "config.json").write_text("{")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert RunStore(tmp_path).verify() == {
        runs[0].folder: "config.json is missing or cannot be read",
        runs[1].folder: "epoch_001.safetensors has another checksum",
    }
    (runs[2].folder / "resume.safetensors").unlink()
    assert RunStore(tmp_path).verify()[runs[2].folder] == "manifest.json is missing"
    before.pop(runs[2].folder / "resume.safetensors")
    before.pop(runs[2].folder)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path in before} == before


def test_store_leaves_out_what_is_no_run(tmp_path):
    run, _ = pretend_training(tmp_path)
    shutil.copytree(run.folder, tmp_path / "digits" / "small_cnn" / "copy of a run")
    shutil.copytree(run.folder, tmp_path / "digits" / "small_cnn" / f"{CONFIG.key}.damaged")
    (tmp_path / "digits" / "notes.txt").write_text("mine")
    assert [found.folder for found in RunStore(tmp_path).runs()] == [run.folder]
    assert RunStore(tmp_path).unreadable() == []
    assert only_damaged(tmp_path).name == f"{CONFIG.key}.damaged"
    assert list(RunStore(tmp_path / "nothing").runs()) == []


def test_store_root_is_absolute_and_expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert RunStore("runs").root == tmp_path / "runs"
    assert RunStore("~/runs").root == tmp_path / "home" / "runs"
    assert RunStore().root == store_module.default_runs_dir()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["...npz", "..npz", ".locks.npz", "-rf.npz", "a b/../.. c.npz", "é\n.npz"])
def test_store_no_data_name_leads_out_of_it(tmp_path, name):
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    images, labels = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8), np.arange(20) % 2
    with open(path, "wb") as file:
        np.savez(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    dataset = load_dataset(str(path))
    folder = RunStore(tmp_path / "runs").run(member(dataset=dataset)).folder
    assert folder.resolve().is_relative_to(tmp_path / "runs")
    assert len(folder.relative_to(tmp_path / "runs").parts) == 3
    assert not folder.relative_to(tmp_path / "runs").parts[0].startswith(".")


def test_folder_size_is_the_sum_of_all_files(tmp_path):
    assert folder_size(tmp_path) == 0
    write_atomically(tmp_path / "a", b"123")
    write_atomically(tmp_path / "deep" / "b", b"4567")
    assert folder_size(tmp_path) == 7
