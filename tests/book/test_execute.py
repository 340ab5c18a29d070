"""`book/execute.py`: one notebook executed for the book, or one line that says why not."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from book.execute import execute

PARAMETERS = """preset: str = "quick"  # size
number: int = 0  # what is divided by
results_dir: str = None  # verdicts
"""
WORK = """from pathlib import Path
Path(results_dir, "verdict.txt").write_text(f"{preset} {1 / number}")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that executes the notebook with a parameter file and returns its error line, if any."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # `execute` sets it; monkeypatch restores it
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
    Path("notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells, metadata=kernel), "notebooks/one.ipynb")

    def executed(content: str) -> str | None:
        Path("params.yaml").write_text(content)
        try:
            execute(Path("notebooks/one.ipynb"), Path("build/notebooks/one.ipynb"), "smoke", Path("params.yaml"))
        except SystemExit as ended:
            return ended.code

    return executed


def test_notebook_and_its_verdicts_are_in_the_build_folder(run, tmp_path):
    assert run("number: 4") is None
    assert (tmp_path / "build" / "claims" / "one" / "verdict.txt").read_text() == "smoke 0.25"
    executed = nbformat.read(tmp_path / "build" / "notebooks" / "one.ipynb", as_version=4)
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3]
    before = (tmp_path / "build" / "notebooks" / "one.ipynb").read_bytes()

    line = "notebooks/one.ipynb: ZeroDivisionError: division by zero (cell 3; see build/notebooks/one.failed.ipynb)"
    assert run("number: 0") == line
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
    assert run(content).startswith(line)
    assert not (tmp_path / "build").exists()
