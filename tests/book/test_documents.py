"""What README and two pages tell people to type is run, what notebooks tell is checked, and what is named is there."""

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
import yaml
from conftest import NOTEBOOKS, ROOT, SCOREBOARD
from helpers import commands
from PIL import Image

from lib.data.datasets import load_dataset
from lib.findings import FINDINGS
from lib.notebook.parameters import NotebookSource, check_names, check_types, experiments_of

SMALL = {"preset": "smoke", "epochs": "2", "num_members": "2", "engine": "sequential"}


DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "book/rerun.md", "book/cluster.md")
}


def documented(program: str) -> list[str]:
    return commands(DOCUMENTS.values(), program)


def images_of_ones_own(folder: Path) -> None:
    """Forty digits, as an .npz file and as a folder of PNG files."""
    digits = load_dataset("digits")
    arrays = {}
    for name, split in (("train", digits.train), ("test", digits.test)):
        arrays |= {f"x_{name}": split.images[:40], f"y_{name}": split.labels[:40]}
        for number, (image, label) in enumerate(zip(split.images[:40], split.labels[:40], strict=True)):
            path = folder / "images" / name / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    np.savez(folder / "images.npz", **arrays)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, executed_notebooks: Path) -> Path:
    """A folder that looks like a checkout from inside, with a run store of its own, images at path/to and a result."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "out.ipynb").symlink_to(executed_notebooks / "notebooks" / NOTEBOOKS[0].name)
    for name in ("notebooks", "book", "lib", "Makefile", "_config.yml", "requirements.txt", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    images_of_ones_own(folder / "path" / "to")
    return folder


def one_of_each_kind(lines: list[str]) -> list[str]:
    """Of the lines that give other values to the same parameters of the same notebook one; data are of many kinds."""
    kinds = {re.sub(r"(-p (?!dataset)\w+) \S+", r"\1", line): line for line in lines}
    assert len(kinds) > 5
    return list(kinds.values())


def small(command: str) -> list[str]:
    """What makes a papermill line small, of the parameters that its notebook has."""
    if "--help-notebook" in command:
        return []
    known = papermill.inspect_notebook(str(ROOT / shlex.split(command)[1]))
    chosen = SMALL | ({"engine": "dask"} if "-p scheduler" in command else {})
    return [word for name, value in chosen.items() if name in known for word in ("-p", name, value)]


def here(command: str) -> str:
    """The command with workers of this machine in place of a cluster."""
    return re.sub(r"scheduler (slurm|tcp://\S+)", "scheduler local", command)


def run(command: str, checkout: Path, *extra: str) -> str:
    """What is wrong with a command, or nothing."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.run(
        [*shlex.split(command), *extra],
        cwd=checkout,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        input="y\n",
    )
    return f"{command}: {process.stdout}{process.stderr}" if process.returncode != 0 else ""


def test_documented_papermill_lines_work(checkout):
    executions = []
    for number, line in enumerate(one_of_each_kind(documented("papermill"))):
        extra = [] if "--help-notebook" in line else [*small(line), "-p", "runs_dir", str(checkout / "runs")]
        executions.append((here(line).replace("out.ipynb", f"out{number}.ipynb"), checkout, *extra))
    with ThreadPoolExecutor(2) as pool:
        assert [problem for problem in pool.map(lambda given: run(*given), executions) if problem] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_line_of_a_notebook_passes_its_checks(path):
    prose = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    (line,) = commands(prose, "papermill")
    program, notebook, _, *words = shlex.split(line)
    assert (program, notebook) == ("papermill", f"notebooks/{path.name}")
    given = given_by(words)
    source = NotebookSource.read(path)
    check_names(given, source.annotations)
    check_types(given, source.annotations, source.defaults)
    if path != SCOREBOARD:
        experiments_of(FINDINGS[path.stem.partition("_")[2]], source.defaults | given)


def given_by(options: list[str]) -> dict:
    """The parameters that options of papermill give."""
    given, words = {}, iter(options)
    for option in words:
        assert option in ("-p", "-y")
        given |= yaml.safe_load(next(words)) if option == "-y" else {next(words): yaml.safe_load(next(words))}
    return given


@pytest.mark.parametrize("command", documented("python"))
def test_documented_python_line_works(command, checkout):
    more = ["--runs-dir", str(checkout / "runs")] if " runs " in command else []
    if " sweep " in command and "--dry-run" not in command:
        more = ["--dry-run"]  # what it does is tested elsewhere, in a store that is not the user's
    assert run(command, checkout, *more) == ""


@pytest.mark.parametrize("command", documented("make"))
def test_documented_make_target_exists(command, checkout):
    # The rules themselves run whenever the book or the tests do; here it matters that targets and files exist.
    assert run(command, checkout, "--dry-run") == ""


@pytest.mark.parametrize("command", documented("dask"))
def test_documented_dask_line_has_options_that_there_are(command):
    _, program, *words = shlex.split(command)
    module = f"distributed.cli.dask_{program}"
    known = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True).stdout
    assert [word for word in words if word.startswith("--") and not re.search(rf"{word}\b", known)] == []


@pytest.mark.parametrize("name", ["README.md", "lib/assets/README.md"])
def test_relative_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target


def test_readme_lists_every_notebook():
    readme = DOCUMENTS["README.md"]
    assert [path.stem for path in NOTEBOOKS if f"notebooks/{path.name}" not in readme] == []
