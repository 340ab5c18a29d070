"""`book/execute.py`: one notebook executed for the book, or one line that says why not."""

import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_notebook

PARAMETERS = """preset: str = "quick"  # size
number: int = 0  # what is divided by
results_dir: str = None  # verdicts
"""
WORK = """from pathlib import Path
Path(results_dir, "verdict.txt").write_text(f"{preset} {1 / number}")
"""


@pytest.fixture
def run(tmp_path):
    """Executes the notebook with a parameter file of that content; returns what is said on stderr, and the status."""
    notebook = new_notebook(
        cells=[
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell(WORK),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "one.ipynb")

    def execute(content: str) -> tuple[str, int]:
        (tmp_path / "params.yaml").write_text(content)
        command = [sys.executable, ROOT / "book" / "execute.py", "notebooks/one.ipynb", "build/notebooks/one.ipynb"]
        command += ["--preset", "smoke", "--params", "params.yaml"]
        done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return done.stderr, done.returncode

    return execute


def test_notebook_and_its_verdicts_are_in_the_build_folder(run, tmp_path):
    assert run("number: 4")[1] == 0
    assert (tmp_path / "build" / "claims" / "one" / "verdict.txt").read_text() == "smoke 0.25"
    executed = nbformat.read(tmp_path / "build" / "notebooks" / "one.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3]
    before = (tmp_path / "build" / "notebooks" / "one.ipynb").read_bytes()

    said, code = run("number: 0")
    assert code == 1
    assert "notebooks/one.ipynb: ZeroDivisionError: division by zero (cell 3; see build/notebooks/one.failed" in said
    assert (tmp_path / "build" / "notebooks" / "one.failed.ipynb").exists()
    assert (tmp_path / "build" / "notebooks" / "one.ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("numbr: 4", "unknown parameter 'numbr'; did you mean 'number'?"),
        ("preset: smok", "unknown preset 'smok'; did you mean 'smoke'?"),
        ("- 4", "params.yaml must hold lines `name: value`, got a list"),
    ],
)
def test_parameters_that_are_wrong_are_one_line_and_nothing_is_written(run, tmp_path, content, line):
    said, code = run(content)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(line)
    assert not (tmp_path / "build").exists()
