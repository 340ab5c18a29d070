"""`python -m lib`: what it shows, what it removes, and one line for every error."""

import json
import os
import re
import shutil
import sys

import pytest
from conftest import NOTEBOOKS
from helpers import member, subset

from lib import __main__ as command_line
from lib.data.datasets import DATASETS
from lib.data.sources import SOURCES
from lib.run.store import RunStore
from lib.training.trainer import train_members

DATA = subset(150)


RESNET = {"dataset": DATA, "epochs": 2, "architecture": "resnet8_v1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with three complete members and one incomplete one, of two architectures."""
    store = RunStore(tmp_path_factory.mktemp("trained"))
    for config in (member(0, dataset=DATA, epochs=1), member(1, dataset=DATA, epochs=1), member(**RESNET)):
        train_members([config], DATA, [store.run(config)])
    store.run(member(1, **RESNET)).write_epoch(0, {"weights": DATA.train.images.astype("f4")}, {}, None)
    return store.root


@pytest.fixture
def filled(trained, tmp_path):
    """A copy of that store, the folder of its complete member of two epochs, and the incomplete run."""
    store = RunStore(shutil.copytree(trained, tmp_path / "runs"))
    return store, store.run(member(**RESNET)).folder, store.run(member(1, **RESNET))


def call(monkeypatch, capsys, *arguments, answer=None):
    """Exit code, stdout and stderr of `python -m lib ...` in this process."""
    monkeypatch.setattr(sys, "argv", ["python -m lib", *map(str, arguments)])
    if answer is not None:
        read, write = os.pipe()
        os.write(write, answer.encode())
        os.close(write)
        monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    code = command_line.main()
    if answer is not None:
        sys.stdin.close()
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def lib(monkeypatch, capsys):
    return lambda *arguments, answer=None: call(monkeypatch, capsys, *arguments, answer=answer)


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}


# runs list


def test_list_shows_one_row_for_members_with_the_same_settings(filled, lib):
    code, out, err = lib("runs", "list", "--runs-dir", filled[0].root)
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["dataset", "architecture", "members", "epochs", "seed", "size", "written"]
    assert len(rows) == 3
    assert rows[0].split()[:6] == ["digits", "resnet8_v1", "1", "complete,", "1", "incomplete"]
    assert rows[1].split()[:7] == ["digits", "small_cnn", "2", "complete,", "0", "incomplete", "1"]
    assert rows[2].endswith(f"in {filled[0].root}")


def test_list_with_keys_shows_every_member(filled, lib):
    _, out, _ = lib("runs", "list", "--keys", "--runs-dir", filled[0].root)
    rows = out.splitlines()[1:-1]
    assert len(rows) == 4
    assert sum("complete" in row for row in rows) == 3
    assert sum("epoch 0 of 2" in row for row in rows) == 1
    for run in filled[0].runs():
        assert run.folder.name[:12] in out
        assert run.folder.name not in out


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_runs_folder_missing_is_no_error(tmp_path, lib, command):
    code, out, err = lib("runs", command, "--runs-dir", tmp_path / "nowhere")
    assert (code, out, err) == (0, f"no runs in {tmp_path / 'nowhere'}\n", "")
    assert not (tmp_path / "nowhere").exists()


# runs verify


def test_verify_whole_store_changes_nothing(filled, lib):
    before = snapshot(filled[0].root)
    assert lib("runs", "verify", "--runs-dir", filled[0].root) == (0, "4 runs are intact\n", "")
    assert snapshot(filled[0].root) == before


def test_verify_names_the_damaged_file_and_exits_with_one(filled, lib):
    store, folder, _ = filled
    path = folder / "history.csv"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    before = snapshot(store.root)
    code, out, err = lib("runs", "verify", "--runs-dir", store.root)
    assert code == 1
    assert out == f"{folder}: history.csv does not match its checksum\n"
    assert err.startswith("error: 1 of ")
    assert err.count("\n") == 1
    assert snapshot(store.root) == before


# runs prune


def test_prune_removes_what_is_incomplete_or_damaged_only(filled, lib):
    store, folder, run = filled
    with pytest.warns(UserWarning, match="set aside"):
        damaged = next(one for one in store.runs() if one.folder == folder).set_aside("a test")
    code, out, err = lib("runs", "prune", "--yes", "--runs-dir", store.root)
    assert (code, err) == (0, "")
    assert "damaged" in out
    assert out.splitlines()[-1] == "removed 2 folders"
    assert not damaged.exists()
    assert not run.folder.exists()
    assert sum(one.is_complete() for one in store.runs()) == 2
    assert lib("runs", "prune", "--yes", "--runs-dir", store.root)[1] == "nothing to remove\n"


def test_prune_all_removes_everything(filled, lib):
    code, out, _ = lib("runs", "prune", "--all", "--yes", "--runs-dir", filled[0].root)
    assert (code, out.splitlines()[-1]) == (0, "removed 4 folders")
    assert list(filled[0].runs()) == []


def test_prune_dry_run_removes_nothing(filled, lib):
    before = snapshot(filled[0].root)
    code, out, _ = lib("runs", "prune", "--all", "--dry-run", "--runs-dir", filled[0].root)
    assert (code, snapshot(filled[0].root)) == (0, before)
    assert out.splitlines()[-1].startswith("would remove 4 folders, ")


def test_prune_asks_and_takes_no_for_an_answer(filled, lib):
    before = snapshot(filled[0].root)
    for answer in ("n\n", "\n", ""):
        code, _, err = lib("runs", "prune", "--all", "--runs-dir", filled[0].root, answer=answer)
        assert code == 1
        assert err.strip().endswith("error: stopped")
        assert snapshot(filled[0].root) == before
    code, out, _ = lib("runs", "prune", "--all", "--runs-dir", filled[0].root, answer="y\n")
    assert code == 0
    assert out.endswith("removed 4 folders\n")


def test_prune_leaves_a_run_in_training(filled, lib):
    store, _, run = filled
    with run.lock():
        code, out, _ = lib("runs", "prune", "--all", "--yes", "--runs-dir", store.root)
    assert (code, out.splitlines()[-1]) == (0, "removed 3 folders; 1 kept: in training")
    assert [one.folder for one in store.runs()] == [run.folder]


# claims


@pytest.fixture
def judged(tmp_path):
    """A store with the verdicts of two runs of notebooks, two and one, and one that cannot be read."""
    for run, claims in {"digits-a-smoke-1": ("x/one", "x/two"), "digits-a-smoke-2": ("x/one",)}.items():
        context = {"num_members": 3, "epochs": 4, "seed": int(run[-1])}
        for claim in claims:
            path = tmp_path / "claims" / claim / f"{run}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"context": context}))
    (tmp_path / "claims" / "x" / "broken.json").write_text("{")
    return tmp_path


def test_claims_list_shows_one_row_for_each_run_of_a_notebook(judged, lib):
    before = snapshot(judged)
    code, out, err = lib("claims", "list", "--runs-dir", judged)
    header, *rows = out.splitlines()
    assert (code, err, snapshot(judged)) == (0, "", before)
    assert header.split() == ["run", "members", "epochs", "seed", "verdicts", "written"]
    assert [row.split()[:-2] for row in rows] == [
        ["broken", "1"],
        ["digits-a-smoke-1", "3", "4", "1", "2"],
        ["digits-a-smoke-2", "3", "4", "2", "1"],
    ]


def test_claims_prune_removes_the_verdicts_of_one_run(judged, lib):
    assert lib("claims", "prune", "digits-a-smoke-1", "broken", "--yes", "--runs-dir", judged)[0] == 0
    assert [path.stem for path in judged.rglob("*.json")] == ["digits-a-smoke-2"]


def test_claims_prune_of_an_unknown_run_or_without_consent_removes_nothing(judged, lib):
    before = snapshot(judged)
    code, _, err = lib("claims", "prune", "broken", "digits-a-smoke-3", "--yes", "--runs-dir", judged)
    assert (code, snapshot(judged)) == (1, before)
    assert err.startswith("error: unknown run 'digits-a-smoke-3'; did you mean 'digits-a-smoke-2'? allowed: ")
    code, _, err = lib("claims", "prune", "broken", "--runs-dir", judged, answer="n\n")
    assert (code, snapshot(judged)) == (1, before)


@pytest.mark.parametrize("arguments", [["list"], ["prune", "digits-a-smoke-1"]])
def test_claims_without_a_record_are_no_error(tmp_path, lib, arguments):
    code, out, err = lib("claims", *arguments, "--runs-dir", tmp_path)
    assert (code, out, err) == (0, f"no records in {tmp_path / 'claims'}\n", "")


# datasets


def test_datasets_lists_the_registry_without_downloading(lib, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr("lib.data.sources.fetch", None)
    code, out, err = lib("datasets")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert list(rows) == list(DATASETS)
    for name, row in rows.items():
        assert row.endswith(DATASETS[name])
    assert " here " in rows["digits"]
    assert " not here " in rows["cifar10"]
    assert os.listdir(tmp_path) == []

    def row(name):
        return next(line for line in lib("datasets")[1].splitlines() if line.split()[0] == name)

    (tmp_path / "svhn").mkdir()
    for file in SOURCES["svhn"].files:
        assert " not here " in row("svhn")
        (tmp_path / "svhn" / file).touch()
    assert " not here " not in row("svhn")


# sweep

SMALL = "preset: smoke\nepochs: 1\nruns_dir: runs\n"


@pytest.fixture
def sweep(lib, tmp_path, monkeypatch):
    """A function that calls `python -m lib sweep` with a grid, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def called(text, *arguments, notebook=NOTEBOOKS[1], output="out"):
        (tmp_path / "grid.yaml").write_text(text)
        return lib("sweep", notebook, "grid.yaml", "--output", output, *arguments)

    return called


def test_sweep_dry_run_shows_cells_and_missing_members_and_writes_nothing(sweep, tmp_path):
    code, out, err = sweep(f"{SMALL}architectures: [small_cnn]\nnum_members: [2, 3]", "--dry-run")
    assert (code, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["cell", "members", "missing"]
    for row, count in zip(rows, ("2", "3"), strict=True):
        expected = f"02_independent-preset_smoke-architectures_small_cnn-num_members_{count}-epochs_1-"
        assert re.fullmatch(rf"{expected}[0-9a-f]{{12}}  {count} of {count}", row)
    assert os.listdir(tmp_path) == ["grid.yaml"]


@pytest.mark.parametrize(
    ("notebook", "output", "line"),
    [
        ("none.ipynb", "out", "cannot read none.ipynb: No such file or directory"),
        (NOTEBOOKS[1], "grid.yaml", r"cannot write .*grid.yaml: (File exists|Not a directory); choose another with"),
    ],
)
def test_sweep_without_its_files_is_one_line_and_writes_nothing(sweep, tmp_path, notebook, output, line):
    code, out, err = sweep(SMALL, notebook=notebook, output=output)
    assert (code, out) == (1, "")
    assert re.match(f"error: {line}", err)
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["grid.yaml"]
    assert (tmp_path / "grid.yaml").read_text() == SMALL


def test_sweep_goes_past_a_cell_that_fails_and_ends_with_a_table(sweep, tmp_path):
    notebook = tmp_path / "notebooks" / "victim.ipynb"
    notebook.parent.mkdir()
    cells = [
        {"cell_type": "code", "source": source, "metadata": {"tags": tags}, "execution_count": None, "outputs": []}
        for source, tags in (("number: int = 1  # to divide by", ["parameters"]), ("1 / number", []))
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}))
    code, out, err = sweep("number: [0, 2]", "--engine", "sequential", notebook=notebook)
    assert code == 1
    summary, header, row = out.splitlines()
    assert summary == f"1 of 2 cells are complete: {tmp_path / 'out' / 'results.csv'}"
    assert header.split() == ["failed", "cell", "why"]
    name, why = row.split(maxsplit=1)
    assert why == "ZeroDivisionError: division by zero"
    assert (tmp_path / "out" / "notebooks" / f"{name}.failed.ipynb").is_file()
    assert err.splitlines()[-1] == "error: 1 of 2 cells failed"
    again = sweep("number: [2]", notebook=notebook)
    assert again == (0, f"1 of 1 cells are complete: {tmp_path}/out/results.csv\n", "")


# Errors


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["runs"], ["runs", "lst"], ["runs", "list", "--key"], ["runs", "prune", "--old"]],
)
def test_call_not_allowed_is_one_line(lib, arguments):
    code, out, err = lib(*arguments)
    assert code != 0
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_store_error_is_one_line(filled, lib, monkeypatch):
    def fail(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lib.run.store.shutil.rmtree", fail)
    code, _, err = lib("runs", "prune", "--yes", "--runs-dir", filled[0].root)
    assert code == 1
    assert err == f"error: cannot remove {filled[2].folder}: Permission denied\n"
