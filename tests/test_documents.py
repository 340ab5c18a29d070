"""What README, two pages and the notebooks tell people to type is run, and what they point to is there."""

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
from conftest import NOTEBOOKS, ROOT, SCOREBOARD
from PIL import Image

from lib.data import load_dataset

BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
SMALL = {"preset": "smoke", "epochs": "2", "num_members": "2", "engine": "sequential"}


def documents() -> dict[str, str]:
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "book/rerun.md", "book/cluster.md")
    }
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return texts


def commands(program: str) -> list[str]:
    """Every line of every bash block that begins with a program's name, each once."""
    lines = [line for text in documents().values() for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in dict.fromkeys(lines) if line.startswith(f"{program} ")]


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
    lines = commands("papermill")
    assert len(lines) > 6
    executions = []
    for number, line in enumerate(lines):
        extra = [] if "--help-notebook" in line else [*small(line), "-p", "runs_dir", str(checkout / "runs")]
        executions.append((here(line).replace("out.ipynb", f"out{number}.ipynb"), checkout, *extra))
    # What reads the verdicts of the others comes when they are done.
    last = [given for given in executions if SCOREBOARD.name in given[0]]
    problems = []
    for batch in ([given for given in executions if given not in last], last):
        with ThreadPoolExecutor(2) as pool:
            problems += [problem for problem in pool.map(lambda given: run(*given), batch) if problem]
    assert problems == []


@pytest.mark.parametrize("command", commands("python"))
def test_documented_python_line_works(command, checkout):
    more = ["--runs-dir", str(checkout / "runs")] if " runs " in command else []
    if " sweep " in command and "--dry-run" not in command:
        more = ["--dry-run"]  # what it does is tested elsewhere, in a store that is not the user's
    assert run(command, checkout, *more) == ""


@pytest.mark.parametrize("command", commands("make"))
def test_documented_make_target_exists(command, checkout):
    # The rules themselves run whenever the book or the tests do; here it matters that targets and files exist.
    assert run(command, checkout, "--dry-run") == ""


@pytest.mark.parametrize("command", commands("dask"))
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
    readme = documents()["README.md"]
    assert [path.stem for path in NOTEBOOKS if f"notebooks/{path.name}" not in readme] == []
