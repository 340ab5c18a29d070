"""Sweeps over a notebook that trains nothing: complete, resumed, damaged, killed and stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from helpers import CHECKOUT, notebook, processes_of_group

from lib.findings.judging import Result, known
from lib.findings.records import write_result
from lib.metrics.intervals import Estimate
from lib.run.engines import TrainingError
from lib.sweep import execute
from lib.sweep.plan import plan

#: A notebook that writes a verdict, or kills its kernel, waits or fails as `deed` says; it needs only Python.
PARAMETERS = """number: int = 0  # of the cell
deed: str = None  # what happens
marks: str = None  # folder of marks, and of the record that is its verdict
results_dir: str = None
"""
DEED = """
import os, shutil, signal, time
from pathlib import Path
mark = Path(marks, f"{number}-{deed}")
first = not mark.exists()
mark.write_text(str(os.getpid()))
if deed == "kills its kernel once" and first:
    os.kill(os.getpid(), signal.SIGKILL)
if deed == "waits":
    time.sleep(300)
if deed == "raises":
    raise ValueError("two\\nlines")
shutil.copytree(Path(marks, "record"), results_dir, dirs_exist_ok=True)
"""


class Victims:
    """Sweeps over the notebook above, in one folder."""

    def __init__(self, folder):
        self.path, self.marks, self.folder = folder / "page.ipynb", folder / "marks", folder / "out {braces}"
        context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "seed": 3, "num_members": 2}
        judged = Result(known("independent/disagree"), Estimate(0.7, 0.6, 0.8, "jackknife"), context)
        write_result(judged, self.marks / "record")
        pd.DataFrame({"size": [1], "accuracy": [0.9]}).to_csv(
            self.marks / "record" / "independent" / "estimates.csv", index=False
        )
        content = json.loads(notebook(PARAMETERS, DEED))
        for cell in content["cells"]:
            cell |= {"execution_count": None, "outputs": []}
        content["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        self.path.write_text(json.dumps(content))

    def plan(self, *deeds, engine="sequential"):
        grid = [{"marks": str(self.marks), "number": number, "deed": deed} for number, deed in enumerate(deeds)]
        return plan([self.path], grid, self.folder, engine, 2)


def perform(planned):
    """Run a sweep, and return the error lines of failed cells by number."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(execute, "scoreboard", lambda sweep: None)  # which is slow
        failures = execute.run(planned)
    return {cell.given["number"]: failures[cell.name] for cell in planned.cells if cell.name in failures}


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    return Victims(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def executed(victims):
    """A sweep of three cells, and the error lines of those that failed."""
    planned = victims.plan(None, "kills its kernel once", "raises")
    left = planned.folder / "notebooks" / ".cell.123.running.ipynb"  # from a killed sweep
    left.parent.mkdir(parents=True)
    (planned.folder / execute.LOCK).touch()
    left.touch()
    return planned, perform(planned)


def test_cells_survive_those_that_fail_or_lose_their_kernel(executed):
    planned, failures = executed
    assert failures == {2: "ValueError: two lines"}
    failed = [cell.given["number"] in failures for cell in planned.cells]
    assert [planned.results(cell) is None for cell in planned.cells] == failed
    assert planned.missing(planned.cells[0]) == "complete"
    paths = [
        (planned.failed if bad else planned.notebook)(cell) for cell, bad in zip(planned.cells, failed, strict=True)
    ]
    assert sorted((planned.folder / "notebooks").iterdir()) == sorted(paths)
    assert "ValueError" in planned.failed(planned.cells[2]).read_text()
    content = json.loads(planned.notebook(planned.cells[0]).read_text())
    assert all(cell["execution_count"] for cell in content["cells"])


def test_tables_are_tidy(executed):
    planned, _ = executed
    table = planned.tables()["results"]
    assert list(table.columns) == [
        *["claim", "value", "low", "high", "verdict", "number", "deed"],
        *["dataset", "architecture", "seed", "epochs", "members", "notebook", "cell"],
    ]
    assert list(table["number"]) == [0, 1]
    row = table.iloc[1]
    assert list(row[:7]) == ["independent/disagree", 0.7, 0.6, 0.8, "holds here", 1, "kills its kernel once"]
    assert list(row[["dataset", "architecture", "seed", "members"]]) == ["digits", "small_cnn", 3, 2]
    assert list(row[["notebook", "cell"]]) == ["page", planned.cells[1].name]
    scores = pd.read_csv(planned.folder / "scores.csv")
    assert list(scores.columns) == ["size", "accuracy", "number", "deed", "notebook", "cell"]
    assert scores[["size", "accuracy", "number"]].to_numpy().tolist() == [[1, 0.9, 0], [1, 0.9, 1]]
    assert list(scores["cell"]) == [cell.name for cell in planned.cells[:2]]


def test_same_sweep_again_executes_only_what_is_new_or_damaged(executed, victims, monkeypatch):
    whole = victims.plan(None, None)
    assert whole.results(whole.cells[0]) is not None  # from the previous sweep
    assert perform(whole) == {}
    before = {path: path.stat().st_mtime_ns for path in whole.folder.glob("[nc]*/**/*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(execute, "execute_cell", None)
        assert perform(whole) == {}
    assert before == {path: path.stat().st_mtime_ns for path in before}

    record = next(whole.records(whole.cells[0]).rglob("*.json"))
    record.write_bytes(b"")
    other = whole.notebook(whole.cells[1]).stat().st_mtime_ns
    assert perform(whole) == {}
    assert len(whole.results(whole.cells[0])) == 1
    assert whole.notebook(whole.cells[1]).stat().st_mtime_ns == other


@pytest.mark.slow
def test_stopped_sweep_keeps_what_is_complete_and_leaves_nothing_else(tmp_path):
    victims = Victims(tmp_path)
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"marks: {victims.marks}\nnumber: 1\ndeed: [null, waits]\n")
    command = [sys.executable, "-m", "lib", "sweep", victims.path, grid, "--output", tmp_path / "out"]
    command += ["--engine", "loky", "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(list(map(str, command)), cwd=CHECKOUT, start_new_session=True, **pipes)
    deadline = time.monotonic() + 300
    while not ((victims.marks / "1-waits").exists() and list((tmp_path / "out" / "notebooks").glob("[!.]*.ipynb"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # like Ctrl-C, which goes to all processes of a terminal
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "error: stopped; the same command resumes"
    assert "Traceback" not in err
    assert out == ""
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 1
    assert len(list((tmp_path / "out" / "notebooks").iterdir())) == 1
    kernel = int((victims.marks / "1-waits").read_text())
    while processes_of_group(process.pid) or os.path.exists(f"/proc/{kernel}"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigterm_does_what_ctrl_c_does(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "_execute", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        execute.run(Victims(tmp_path).plan(None))
    assert signal.getsignal(signal.SIGTERM) == before


def test_worker_that_dies_stops_the_sweep_with_one_line(tmp_path, monkeypatch):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(execute, "execute_cell", die)
    with pytest.raises(TrainingError, match=r"^a worker died, .*: try again"):
        perform(Victims(tmp_path).plan(None, None, engine="loky"))


def test_cell_whose_kernel_is_killed_twice_says_so(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(execute, "execute_cell", lambda *_: calls.append(_) or execute.KILLED)
    assert perform(Victims(tmp_path).plan(None)) == {0: execute.KILLED}
    assert len(calls) == 2


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(execute.SweepError, match="is not empty and holds no sweep"), execute.open_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    for folder in (tmp_path / "mine", tmp_path / "mine" / "out"):
        with pytest.raises(execute.SweepError, match=r"^cannot write .*; choose another with --output$"):
            execute.open_folder(folder).__enter__()


def test_folder_of_another_sweep_is_one_line(tmp_path):
    with execute.open_folder(tmp_path / "out"), pytest.raises(execute.SweepError, match="another sweep is writing to"):
        execute.open_folder(tmp_path / "out").__enter__()


@pytest.mark.slow
def test_scoreboard_shows_the_verdicts_of_the_sweep(executed):
    planned, _ = executed
    execute.scoreboard(planned)
    assert "independent/disagree" in (planned.folder / "12_scoreboard.ipynb").read_text()
