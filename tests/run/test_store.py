"""The store: which runs exist and are intact, what is set aside or removed, and arrays that are computed once."""

import dataclasses
import errno
import json
import os
import shutil
import threading
import time

import numpy as np
import pytest
from helpers import CHECKOUT, flip, member, write_run
from safetensors import safe_open

from lib.config import canonical_json
from lib.run import files, runs
from lib.run.files import StoreError, sha256, write_atomically
from lib.run.store import RunStore, default_runs_dir, folder_size, last_written

CONFIG = member(epochs=2)


def times(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


# Runs


def test_store_lists_complete_and_incomplete_runs_in_order(tmp_path):
    configs = [member(number, epochs=3) for number in range(3)]
    for config, epochs in zip(configs, (None, 1, 0), strict=True):
        write_run(tmp_path, config, epochs)
    found = list(RunStore(tmp_path).runs())
    assert sorted(run.config.key for run in found) == [run.config.key for run in found]
    assert {run.config: run.finished_epochs() for run in found} == dict(zip(configs, (3, 1, 0), strict=True))
    assert [run.config for run in found if run.is_complete()] == [configs[0]]


def test_store_verify_names_what_is_damaged_and_changes_nothing(tmp_path):
    one, other, unfinished = (
        write_run(tmp_path, member(number), epochs) for number, epochs in enumerate((None, None, 1))
    )
    assert RunStore(tmp_path).verify() == {}
    flip(other / "epoch_001.safetensors", 100)
    (one / "config.json").write_text("{")
    (unfinished / "resume.safetensors").unlink()
    before = times(tmp_path)
    assert RunStore(tmp_path).verify() == {
        one: "config.json is missing or cannot be read",
        other: "epoch_001.safetensors does not match its checksum",
        unfinished: "manifest.json is missing",
    }
    assert times(tmp_path) == before


def test_store_leaves_out_what_is_not_a_run(tmp_path):
    folder = write_run(tmp_path, CONFIG)
    shutil.copytree(folder, folder.with_name("copy of a run"))
    shutil.copytree(folder, folder.with_name(f"{CONFIG.key}.damaged"))
    (tmp_path / "digits" / "notes.txt").write_text("mine")
    store = RunStore(tmp_path)
    assert [run.folder for run in store.runs()] == [folder]
    assert store.unreadable() == []
    assert [path.name for path in store.damaged()] == [f"{CONFIG.key}.damaged"]
    assert list(RunStore(tmp_path / "nothing").runs()) == RunStore(tmp_path / "nothing").derived() == []


@pytest.mark.parametrize(
    "change", [{"architecture": "medium_cnn"}, {"seed": 7}, {"seed": "0"}, {"learning_rate": None}]
)
def test_config_that_is_not_that_of_its_folder_is_no_run(tmp_path, change):
    folder = write_run(tmp_path, CONFIG)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(CONFIG) | change))
    assert list(RunStore(tmp_path).runs()) == []
    assert RunStore(tmp_path).unreadable() == [folder]


def test_run_with_settings_of_a_newer_version_is_refused_and_stays(tmp_path):
    folder = write_run(tmp_path, CONFIG)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(CONFIG) | {"label_smoothing": 0.1}))
    for call in (RunStore(tmp_path).verify, RunStore(tmp_path).unreadable):
        with pytest.raises(StoreError, match=r"that this version does not know, label_smoothing; update the project$"):
            call()


def test_remove_deletes_a_run_but_not_one_in_training(tmp_path):
    folder, store = write_run(tmp_path, CONFIG), RunStore(tmp_path)
    with store.run(CONFIG).lock():
        assert store.remove(folder) is False
        assert store.run(CONFIG).is_complete()
    assert store.remove(folder) is True
    assert not folder.exists()
    with pytest.raises(StoreError, match=r"^cannot remove .*: No such file or directory$"):
        store.remove(folder)


def test_store_root_is_absolute_and_expands_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert RunStore("runs").root == tmp_path / "runs"
    assert RunStore("~/runs").root == tmp_path / "home" / "runs"
    assert not (tmp_path / "runs").exists()
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    assert RunStore().root == default_runs_dir() == tmp_path
    monkeypatch.setenv("RUNS_DIR", "")
    assert RunStore().root == CHECKOUT / "runs"


def test_size_and_age_are_those_of_all_files_below(tmp_path):
    assert folder_size(tmp_path) == last_written(tmp_path) == 0
    write_atomically(tmp_path / "a", b"123")
    write_atomically(tmp_path / "deep" / "b", b"4567")
    os.utime(tmp_path / "a", (1000, 1000))
    os.utime(tmp_path / "deep" / "b", (2000, 2000))
    assert folder_size(tmp_path) == 7
    assert last_written(tmp_path) == 2000
    assert (folder_size(tmp_path / "a"), last_written(tmp_path / "a")) == (3, 1000)


# Derived arrays

RECIPE = {"members": ["a", "b"], "steps": 3, "version": 1}


def arrays():
    return {"weights": np.arange(12, dtype=np.float32).reshape(3, 4), "labels": np.array([1, 2])}


def never():
    raise AssertionError("computed again")


def fill(root, recipe=RECIPE, kind="line"):
    """Store `arrays` and return their file."""
    before = set(RunStore(root).derived())
    RunStore(root).cached(kind, recipe, arrays)
    (path,) = set(RunStore(root).derived()) - before
    return path


def assert_arrays(found):
    assert sorted(found) == sorted(arrays())
    for name, expected in arrays().items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype


def test_cached_computes_once_for_each_recipe_and_kind(tmp_path):
    paths = {fill(tmp_path), fill(tmp_path, RECIPE | {"version": 2}), fill(tmp_path, {}), fill(tmp_path, kind="plane")}
    assert sorted(paths) == RunStore(tmp_path).derived()
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))
    # The order of the recipe's names does not matter.
    assert_arrays(RunStore(tmp_path).cached("line", dict(reversed(RECIPE.items())), never))


def test_cached_file_is_where_it_says_and_holds_its_recipe(tmp_path):
    path = fill(tmp_path)
    assert path.parent == tmp_path / ".derived" / "line"
    assert os.listdir(path.parent) == [path.name]
    with safe_open(path, framework="np") as file:
        content = file.metadata()["recipe"]
    assert content == canonical_json({"kind": "line", "recipe": RECIPE})
    assert path.stem == sha256(content.encode())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.array([True, False]),
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
        assert found.dtype == np.asarray(array).dtype


@pytest.mark.parametrize("damage", ["flip", "another"])
def test_cached_damaged_file_is_set_aside(tmp_path, damage):
    path, another = fill(tmp_path), fill(tmp_path, kind="plane")
    whole = path.read_bytes()
    if damage == "flip":
        flip(path, len(whole) - 1)
    else:
        path.write_bytes(another.read_bytes())
    assert list(RunStore(tmp_path).verify()) == [path]
    with pytest.warns(
        UserWarning, match=r"damaged arrays set aside as .*\.safetensors\.damaged \(.*\); they are computed again$"
    ) as caught:
        assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert RunStore(tmp_path).verify() == {}
    (aside,) = RunStore(tmp_path).damaged()
    assert RunStore(tmp_path).remove(aside) is True


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


def test_cached_failing_computation_leaves_nothing(tmp_path):
    def compute():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunStore(tmp_path).cached("line", RECIPE, compute)
    assert RunStore(tmp_path).derived() == []
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, arrays))


def test_cached_reads_where_nothing_can_be_written_and_fails_before_it_computes(tmp_path, monkeypatch):
    fill(tmp_path)

    def fail(*args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(runs.FileLock, "acquire", fail)
    monkeypatch.setattr(files.Path, "open", fail)
    assert_arrays(RunStore(tmp_path).cached("line", RECIPE, never))
    with pytest.raises(StoreError, match="Read-only file system; choose another folder"):
        RunStore(tmp_path).cached("plane", RECIPE, never)


def test_derived_arrays_are_no_runs_and_stay_while_they_are_computed(tmp_path):
    folder, path, store = write_run(tmp_path, CONFIG), fill(tmp_path), RunStore(tmp_path)
    (path.parent / "notes.safetensors").write_text("mine")
    assert store.derived() == [path]
    assert [run.folder for run in store.runs()] == [folder]
    assert store.unreadable() == store.damaged() == []
    assert store.verify() == {}
    assert store.remove(path) is True
    removed = []

    def compute():
        removed.append(store.remove(path))
        return arrays()

    assert_arrays(store.cached("line", RECIPE, compute))
    assert removed == [False]
