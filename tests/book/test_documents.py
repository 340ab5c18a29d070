"""The commands in README, pages and notebooks are valid and work, and the files they name exist."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from conftest import NOTEBOOKS, ROOT, SCOREBOARD
from helpers import commands, subset, write_image_folder
from papermill.cli import papermill

from lib.data.datasets import load_dataset
from lib.findings import FINDINGS
from lib.notebook.parameters import NotebookSource, accepted, check_names, check_types, experiments_of
from lib.run.engines import check_engine

DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "book/rerun.md", "book/cluster.md")
}


def documented(program: str) -> list[str]:
    return commands(DOCUMENTS.values(), program)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A working directory that looks like a checkout, with images in `path/to`."""
    for name in ("notebooks", "book", "lib", "Makefile", "_config.yml", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    few = subset(40)
    images = write_image_folder(few, tmp_path / "path" / "to" / "images", 40, 40)
    (images / "val").rename(images / "test")
    arrays = {"x_train": few.train.images, "x_test": few.test.images}
    labels = {"y_train": few.train.labels, "y_test": few.test.labels}
    np.savez(tmp_path / "path" / "to" / "images.npz", **arrays, **labels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return tmp_path


def given_by(options: list[str]) -> dict:
    """The parameters given by papermill options."""
    given, words = {}, iter(options)
    for option in words:
        assert option in ("-p", "-y")
        given |= yaml.safe_load(next(words)) if option == "-y" else {next(words): yaml.safe_load(next(words))}
    return given


def assert_allowed(line: str) -> dict:
    """Assert that a papermill command gives known parameters with valid values, and return them."""
    _, notebook, _, *options = shlex.split(line)
    given, source = given_by(options), NotebookSource.read(ROOT / notebook)
    check_names(given, accepted(source.annotations))
    check_types(given, accepted(source.annotations), source.defaults)
    check_engine(given.get("engine"), given.get("jobs"), given.get("scheduler"))
    if source.path != SCOREBOARD:
        experiments_of(FINDINGS[source.path.stem.partition("_")[2]], source.defaults | given)
    return given


@pytest.mark.parametrize("line", [line for line in documented("papermill") if "--help-notebook" not in line])
def test_documented_papermill_line_is_allowed(line, checkout):
    given = assert_allowed(line)
    if "dataset" in given:
        assert len(load_dataset(given["dataset"]).test.images) == 40


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_line_of_a_notebook_is_allowed(path):
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    (line,) = commands(prose, "papermill")
    assert shlex.split(line)[1] == f"notebooks/{path.name}"
    assert_allowed(line)


def test_documented_papermill_line_tells_the_parameters(checkout):
    (line,) = [line for line in documented("papermill") if "--help-notebook" in line]
    assert "num_members: int" in CliRunner().invoke(papermill, shlex.split(line)[1:]).output


@pytest.mark.parametrize("line", documented("python"))
def test_documented_python_line_works(line, checkout, executed_notebooks, monkeypatch):
    _, *words = shlex.split(line)
    if "sweep" in words and "--dry-run" not in words:
        words.append("--dry-run")  # executing a sweep is tested elsewhere
    (checkout / "out.ipynb").symlink_to(executed_notebooks / "notebooks" / NOTEBOOKS[0].name)
    option, *arguments = words
    monkeypatch.delitem(sys.modules, "lib.__main__", raising=False)  # runpy warns if another test has imported it
    monkeypatch.setattr(sys, "argv", words if option != "-m" else arguments)
    run = runpy.run_path if option != "-m" else runpy.run_module
    with pytest.raises(SystemExit) as ended:
        run(sys.argv[0], run_name="__main__", **({"alter_sys": True} if option == "-m" else {}))
    assert not ended.value.code


@pytest.mark.parametrize("line", documented("make"))
def test_documented_make_target_exists(line, checkout):
    # Building the book and running the tests exercise the rules; this only checks that targets and files exist.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([*shlex.split(line), "--dry-run"], env=os.environ | {"PATH": path}, check=True, timeout=60)


@pytest.mark.parametrize("line", documented("dask"))
def test_documented_dask_line_has_options_that_there_are(line):
    _, program, *words = shlex.split(line)
    command = import_module(f"distributed.cli.dask_{program}").main
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", ["README.md", "lib/assets/README.md"])
def test_relative_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target


def test_readme_lists_every_notebook():
    readme = DOCUMENTS["README.md"]
    assert [path.stem for path in NOTEBOOKS if f"notebooks/{path.name}" not in readme] == []
