"""What `make` rebuilds and what it refuses, in a small checkout with a fake Python that only records its calls."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT

PYTHON = """#!/bin/sh
case "$1" in
  book/execute.py) mkdir -p "$(dirname "$3")" && touch "$3" && echo "$2" >> executed;;
  book/build.py) mkdir -p "$3/html" && touch "$3/html/index.html";;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for file in ("notebooks/one.ipynb", "lib/a.py", "book/execute.py", "_config.yml", "requirements.txt"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, folder)
    (folder / "benchmarks").mkdir()
    install(folder / ".venv")
    return folder


def install(environment: Path) -> None:
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").write_text(PYTHON)
    (environment / "bin" / "python").chmod(0o755)
    (environment / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = /usr/bin/python3 -m venv {environment}\n")
    (environment / ".installed").touch()


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=folder, env=outside, capture_output=True, text=True, check=False)


def executed(folder: Path, *arguments: str) -> bool:
    """Whether `make book` executed the notebook."""
    (folder / "executed").unlink(missing_ok=True)
    done = make(folder, "book", *arguments)
    assert done.returncode == 0, done.stderr
    return (folder / "executed").exists()


def test_what_decides_a_result_decides_whether_it_is_made_again(checkout):
    assert executed(checkout)
    assert not executed(checkout)
    for name, text in (("a", "seed: 1"), ("b", "seed: 2")):
        (checkout / name).mkdir()
        (checkout / name / "mine.yaml").write_text(text)
        os.utime(checkout / name / "mine.yaml", (0, 0))
    for arguments in (["PARAMS=a/mine.yaml"], ["PARAMS=b/mine.yaml"], ["PARAMS=b/mine.yaml", "PRESET=smoke"]):
        assert executed(checkout, *arguments)
        assert not executed(checkout, *arguments)
    time.sleep(0.01)
    (checkout / "lib" / "a.py").touch()
    assert executed(checkout)


@pytest.mark.parametrize("dataset", ["images", "imagefolder@32:images  # mine", '"images"'])
def test_a_dataset_given_by_its_path_is_looked_at(checkout, dataset):
    (checkout / "images" / "cat").mkdir(parents=True)
    (checkout / "mine.yaml").write_text(f"preset: smoke\ndataset: {dataset}\n")
    arguments = ["PARAMS=mine.yaml"]
    assert executed(checkout, *arguments)
    assert not executed(checkout, *arguments)
    (checkout / "images" / "cat" / "1.png").write_bytes(b"1")
    assert executed(checkout, *arguments)
    assert not executed(checkout, *arguments)
    (checkout / "images" / "cat" / "1.png").write_bytes(b"22")
    assert executed(checkout, *arguments)


def test_environment_of_another_folder_is_made_anew(checkout, tmp_path):
    assert "Nothing to be done" in make(checkout, "setup").stdout
    copy = shutil.copytree(checkout, tmp_path / "copy")
    assert "python3 -m venv --clear .venv" in make(copy, "--dry-run", "setup").stdout
    shutil.rmtree(copy / ".venv")
    assert "python3 -m venv  .venv" in make(copy, "--dry-run", "setup").stdout
    install(tmp_path / "mine")
    assert executed(copy, f"VENV={tmp_path / 'mine'}")
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("name", ["PARAMS", "VENV"])
def test_blanks_in_a_path_are_one_line(checkout, name):
    done = make(checkout, "book", f"{name}=my file")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{name} must be a path without blanks, got my file" in done.stderr


def test_port_in_use_is_one_line_before_anything_is_built(checkout):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = make(checkout, "serve", f"PORT={taken.getsockname()[1]}")
        assert done.stdout == f"port {taken.getsockname()[1]} cannot be used: make PORT=8001 serve\n"
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (checkout / "executed").exists()
