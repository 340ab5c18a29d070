"""Sweeps: executed once for many tests, killed, stopped, and laid out on a page."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from urllib.parse import unquote

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import NOTEBOOKS
from helpers import CHECKOUT, notebook, subset

from lib.errors import OneLineError
from lib.findings import claims
from lib.plots import sweep as plots
from lib.sweep import execution, sweep_page
from lib.sweep import plan as sweep
from lib.sweep.forecast import Forecast
from lib.sweep.grid import Grid

PAGE = NOTEBOOKS[0]

#: A notebook that does to its processes what its parameters say; it needs no package but Python's own.
VICTIM = """number: int = 0  # of the cell
how: str = None  # what happens
marks: str = None  # folder of marks
"""
DEED = """
import os, signal, time
from pathlib import Path
first = not Path(marks, f"{number}-{how}").exists()
Path(marks, f"{number}-{how}").write_text(str(os.getpid()))
if how == "kills its worker" or (how == "kills its worker once" and first):
    os.kill(os.getppid(), signal.SIGKILL)
if how == "kills its kernel":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "waits":
    time.sleep(300)
if how == "raises":
    raise ValueError("two\\nlines")
"""


def values(folder, **more):
    """A small grid on page 1; the store is beside the sweep's folder."""
    small = {"preset": "smoke", "dataset": "digits", "epochs": 1, "num_images": 40, "runs_dir": str(folder / "runs")}
    return small | more


def perform(planned):
    with execution.open_folder(planned.folder):
        execution.run(planned)
        sweep_page.write(planned)
    return planned


def files(folder):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Three cells of page 1, two of which share members, and one of them fails; two workers."""
    folder = tmp_path_factory.mktemp("sweep")
    grid = Grid(values(folder, num_members=[2, 3]), include=[{"num_members": 4, "num_images": 5000}])
    return perform(sweep.plan(PAGE, grid, folder / "out", "loky", 2))


def test_cells_have_names_that_people_can_read(executed):
    for cell in executed.cells:
        assert re.fullmatch(r"[\w.,=+-]+-[0-9a-f]{12}", cell.name)
        assert f"num_members={cell.given['num_members']}," in cell.name
        assert "runs" not in cell.name


def test_complete_cells_are_executed_notebooks_with_their_verdicts(executed):
    for cell in executed.cells[:2]:
        content = json.loads(executed.notebook(cell).read_text())
        code = [one for one in content["cells"] if one["cell_type"] == "code"]
        assert all(one["execution_count"] for one in code)
        assert not [output for one in code for output in one["outputs"] if output["output_type"] == "error"]
        results = executed.results(cell)
        assert {one.claim.id.split("/")[0] for one in results} == {"trajectories"}
        assert len(results) == 3


def test_failed_cell_is_kept_with_its_line_and_the_others_went_on(executed):
    failed = executed.cells[2]
    assert executed.failures == {failed.name: "ConfigError: num_images must be from 1 to 397 for digits, got 5000"}
    assert executed.results(failed) is None
    assert not executed.notebook(failed).exists()
    assert "num_images must be from 1" in executed.failed(failed).read_text()
    kept = {path.name for path in (executed.folder / "notebooks").iterdir()}
    assert kept == {executed.notebook(cell).name for cell in executed.cells[:2]} | {executed.failed(failed).name}


def test_cells_share_members_and_the_store(executed):
    runs = list(executed.store.runs())
    assert sorted(run.config.order for run in runs) == [0, 1, 2, 3]
    assert all(run.is_complete() for run in runs)


def test_table_has_a_row_a_claim_and_cell(executed):
    table = pd.read_csv(executed.folder / "results.csv")
    assert len(table) == 6
    assert list(table.columns[:5]) == ["cell", "num_members", "epochs", "num_images", "claim"]
    for _, row in table.iterrows():
        (cell,) = [cell for cell in executed.cells if cell.name == row["cell"]]
        (result,) = [one for one in executed.results(cell) if one.claim.id == row["claim"]]
        assert row["num_members"] == cell.given["num_members"]
        assert row["verdict"] == result.verdict
        assert row["value"] == pytest.approx(result.estimate.value, nan_ok=True)


class Reader(HTMLParser):
    """Tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_page_is_self_contained_and_says_everything(executed):
    text = (executed.folder / "index.html").read_text()
    tags = Reader(text).tags
    assert "2 of 3 cells are complete" in text
    assert "num_images must be from 1 to 397" in text
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == 3 + 2 * 4  # panels, and the figures of both cells
    assert all(image["src"].startswith("data:image/") and len(image["alt"]) > 40 for image in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    assert all((executed.folder / unquote(link)).exists() for link in links if not link.startswith("#"))
    names = {attributes.get("id") for _, attributes in tags}
    assert all(link[1:] in names for link in links if link.startswith("#"))
    assert sum("notebooks/" in link for link in links) == 3


def test_same_sweep_again_starts_nothing_and_one_value_more_trains_only_what_is_new(executed, monkeypatch):
    folder = executed.folder.parent
    before = {kind: files(folder / kind) for kind in ("runs", "out/notebooks", "out/claims")}
    with monkeypatch.context() as patched:
        patched.setattr(execution, "open_engine", None)
        again = perform(sweep.plan(PAGE, Grid(values(folder, num_members=[3, 2, 3])), folder / "out", "loky", 2))
    assert {cell.name for cell in again.cells} == {cell.name for cell in executed.cells[:2]}
    assert before == {kind: files(folder / kind) for kind in before}

    more = sweep.plan(PAGE, Grid(values(folder, num_members=[2, 3, 5])), folder / "out", "sequential")
    expected = Forecast(more)
    assert [row[1:3] for row in expected.rows()] == [("complete", ""), ("complete", ""), ("to execute", "1 of 5")]
    assert expected.members == 1
    assert "as in 4 runs of the store" in " ".join(expected.summary())
    assert before == {kind: files(folder / kind) for kind in before}

    perform(more)
    after = {kind: files(folder / kind) for kind in before}
    for kind, old in before.items():
        assert old.items() <= after[kind].items()
    assert sorted(run.config.order for run in more.store.runs()) == [0, 1, 2, 3, 4]
    assert len(pd.read_csv(more.folder / "results.csv")) == 9


def test_damaged_result_is_executed_again(executed):
    cell = executed.cells[0]
    record = next((executed.folder / "claims" / cell.name).rglob("*.json"))
    content = record.read_bytes()
    for damaged in (content[:-9], b"[]", b"\xff"):
        record.write_bytes(damaged)
        assert executed.results(cell) is None
    record.write_bytes(content)
    assert len(executed.results(cell)) == 3
    whole = executed.notebook(cell).read_bytes()
    executed.notebook(cell).write_bytes(whole[:-100])
    assert executed.results(cell) is None
    executed.notebook(cell).write_bytes(whole)


# What a cell's name stands for


def test_name_follows_what_decides_the_result(tmp_path):
    def name(**more):
        (cell,) = sweep.plan(PAGE, Grid(values(tmp_path, **more)), tmp_path).cells
        return cell.name

    assert name() == name(seed=None)
    assert name(seed=1) != name(seed=2)
    assert name(architecture="small_cnn").partition("architecture=small_cnn")[1]


def test_cells_that_say_the_same_in_other_words_are_one(tmp_path):
    (path := tmp_path / "page.ipynb").write_text(notebook("rate: float = 1.0\ncount: int = 2"))
    planned = sweep.plan(path, Grid({"rate": [1, 1.0, None], "count": [2]}), tmp_path)
    assert [cell.given["rate"] for cell in planned.cells] == [1, None]


def test_name_is_a_file_name_whatever_the_values(tmp_path):
    (path := tmp_path / "page.ipynb").write_text(notebook("text: str = None\nwords: list = None"))
    grid = Grid({"text": ["../../etc/passwd", "a" * 500, "{x} 'ü'", ""], "words": ["b", "c"]})
    names = [cell.name for cell in sweep.plan(path, grid, tmp_path).cells]
    assert len(set(names)) == 4
    for name in names:
        assert re.fullmatch(r"text=[\w.,=+-]*-[0-9a-f]{12}", name, re.ASCII)
        assert len(name) <= sweep.NAME_LENGTH + 13


def test_other_code_or_data_of_ones_own_is_another_cell(tmp_path):
    def name(*cells, **given):
        (path := tmp_path / "page.ipynb").write_text(notebook(*cells))
        return sweep.plan(path, Grid(given), tmp_path).cells[0].name

    assert name("a: int = 1", "b = 1", a=2) != name("a: int = 1", "b = 2", a=2)
    page = ('preset: str = "smoke"\ndataset: str = None\narchitecture: str = None\ndata_dir: str = None', "open_page()")
    found = set()
    for count in (100, 150):
        few = subset(count)
        train, test = few.train, few.test
        labels = {"y_train": train.labels, "y_test": test.labels}
        np.savez(tmp_path / "own.npz", x_train=train.images, x_test=test.images, **labels)
        found.add(name(*page, dataset=str(tmp_path / "own.npz")))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"results_dir": "x"}, "results_dir cannot be in a grid"),
        ({"runs_dir": ["a", "b"]}, "runs_dir must be the same in all cells"),
        ({"num_members": ["two"]}, "parameter 'num_members' must be int, got 'two'"),
        ({"num_members": [2, 0]}, "num_members must be an integer at least 1, got 0"),
        ({"num_members": [2, 1]}, "num_members must be at least 2 on this page"),
        ({"num_members": 10**9}, "num_members must be at most"),
        ({"architecture": "small"}, "unknown architecture 'small'; did you mean 'small_cnn'?"),
        ({"preset": ["smoke", "smok"]}, "unknown preset 'smok'; did you mean 'smoke'?"),
        ({"engine": "loki"}, "unknown engine 'loki'; did you mean 'loky'?"),
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'?"),
    ],
)
def test_values_are_checked_before_anything_runs(tmp_path, more, line):
    with pytest.raises(OneLineError) as caught:
        sweep.plan(PAGE, Grid(values(tmp_path, **more)), tmp_path / "out")
    assert str(caught.value).startswith(line)
    assert list(tmp_path.iterdir()) == []


# What a sweep would do


def test_forecast_measures_where_the_store_knows_nothing(tmp_path):
    expected = Forecast(sweep.plan(PAGE, Grid(values(tmp_path, num_members=[2, 3])), tmp_path / "out", jobs=2))
    assert [row[1:3] for row in expected.rows()] == [("to execute", "2 of 2"), ("to execute", "3 of 3")]
    assert expected.members == 3
    assert sum(expected.seconds.values()) > 0
    lines = expected.summary()
    assert lines[0] == "2 of 2 cells would be executed, 2 at a time"
    assert re.fullmatch(r"an epoch of small_cnn on digits: .* s, measured here", lines[2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stem", "line"), [("10_randomness", "members are not counted"), ("06_tunnel", "paths between members")]
)
def test_forecast_says_what_it_does_not_count(tmp_path, stem, line):
    (path,) = [path for path in NOTEBOOKS if path.stem == stem]
    grid = Grid({"preset": "smoke", "runs_dir": str(tmp_path / "runs")})
    assert line in " ".join(Forecast(sweep.plan(path, grid, tmp_path / "out")).summary())


def test_forecast_of_data_that_are_not_here_downloads_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.data.datasets.fetch", None)
    grid = Grid({"preset": "paper", "data_dir": str(tmp_path), "runs_dir": str(tmp_path / "runs")})
    expected = Forecast(sweep.plan(PAGE, grid, tmp_path / "out"))
    assert expected.rows()[0][1:] == ("to execute", "10 of 10", "a time not known")
    assert "not on this machine, and downloaded when a cell is executed: cifar10" in expected.summary()


# Processes that die


@pytest.fixture
def victims(tmp_path):
    """A function that plans a sweep of the notebook above: what happens in each cell."""
    path, marks = tmp_path / "victim.ipynb", tmp_path / "marks"
    marks.mkdir()
    content = json.loads(notebook(VICTIM, DEED))
    for cell in content["cells"]:
        cell |= {"execution_count": None, "outputs": []}
    content["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(json.dumps(content))

    def planned(*deeds, jobs=2):
        cells = [{"number": number, "how": how} for number, how in enumerate(deeds)]
        return sweep.plan(path, Grid({"marks": str(marks)}, include=cells), tmp_path / "out {braces}", "loky", jobs)

    planned.marks, planned.path = marks, path
    return planned


def test_cells_survive_the_workers_and_kernels_that_others_kill(victims, capfd):
    deeds = [None, "kills its worker", None, "kills its worker once", "kills its kernel", "raises"]
    done = perform(victims(*deeds))
    why = {cell.given["number"]: done.failures.get(cell.name) for cell in done.cells}
    died = "its process died twice, of too little memory perhaps"
    assert why == {0: None, 1: died, 2: None, 3: None, 4: died, 5: "ValueError: two lines"}
    assert [done.results(cell) is None for cell in done.cells] == [bool(line) for line in why.values()]
    assert not list((done.folder / "notebooks").glob(".*"))
    assert all(done.failed(cell).exists() == bool(why[cell.given["number"]]) for cell in done.cells)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 6
    assert all(re.match(r"[1-6]/6 \S+: (complete|failed)", line) for line in lines)


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_stopped_sweep_keeps_what_is_complete_and_stops_its_workers(victims, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(f"marks: {victims.marks}\ninclude: [{{number: 0}}, {{number: 1, how: waits}}]\n")
    command = [sys.executable, "-m", "lib", "sweep", victims.path, grid, "--output", tmp_path / "out"]
    command += ["--engine", "loky", "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(list(map(str, command)), cwd=CHECKOUT, start_new_session=True, **pipes)
    marks, notebooks = victims.marks, tmp_path / "out" / "notebooks"
    deadline = time.monotonic() + 300
    while not ((marks / "1-waits").exists() and list(notebooks.glob("[!.]*.ipynb"))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    other = subprocess.run(list(map(str, command)), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert re.fullmatch(r"error: another sweep is writing to .*\n", other.stderr)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.splitlines()[-1] == "error: stopped; the same command goes on where it was"
    assert "Traceback" not in err
    assert out.startswith("1 of 2 cells are complete")
    assert "not executed" in (tmp_path / "out" / "index.html").read_text()
    kernel = int((marks / "1-waits").read_text())
    while is_alive(kernel):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_workers_that_die_before_they_begin_are_one_line(victims, monkeypatch):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(execution, "execute_cell", die)
    with pytest.raises(sweep.SweepError, match="workers die before they begin"):
        perform(victims(None, None))


# Folders


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(sweep.SweepError, match="is not empty, and of no sweep"), execution.open_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(sweep.SweepError, match=r"^cannot write .*; choose another with --output$"):
            execution.open_folder(folder).__enter__()


# The page


def result(claim, value, low, high, architecture="small_cnn"):
    context = {"dataset": "digits", "architecture": architecture, "preset": "smoke"}
    return claims.judge(claim, claims.Estimate(value, low, high, 2000, "members"), context)


def layout_of(cells):
    return sweep_page.Layout.of(cells, {cell: number for number, cell in enumerate(cells, 7)})


def made(given, several):
    """Cells with results that were never executed."""
    return {
        sweep.Cell(f"cell-{number}", one, one, []): results
        for number, (one, results) in enumerate(zip(given, several, strict=True))
    }


def test_layout_is_along_the_parameter_of_most_values():
    given = [{"network": name, "count": count} for name in ("a", "b") for count in (10, 9, 2)]
    layout = layout_of(made(given, [[result("trajectories/modes", 1, 1, 1)]] * 6))
    assert (layout.label, layout.ticks, layout.series) == ("count", ["2", "9", "10"], ["network = a", "network = b"])
    assert list(layout.places.values()) == [2, 1, 0, 2, 1, 0]


def test_layout_has_a_series_a_network_that_a_cell_compares():
    both = [result("independent/orthogonal", 0.01, 0, 0.1, name) for name in ("small_cnn", "resnet8_v1")]
    cells = made([{"seed": 1}, {"seed": 2}], [both, both])
    layout = layout_of(cells)
    assert layout.series == ["small_cnn", "resnet8_v1"]
    assert [layout.series_of(next(iter(cells)), one) for one in both] == [0, 1]


def test_layout_of_too_many_series_is_along_the_cells():
    given = [{"a": a, "b": b, "c": c} for a in range(3) for b in range(3) for c in range(3)]
    layout = layout_of(made(given, [[result("trajectories/modes", 1, 1, 1)]] * 27))
    assert (layout.label, layout.series) == ("number of the cell", [""])
    assert layout.ticks == [str(number) for number in range(7, 34)]


def test_panel_shows_interval_verdict_and_criterion():
    values = [(0.95, 0.9, 1), (0.7, 0.6, 0.9), (0.1, 0, 0.2), (np.nan, np.nan, np.nan)]
    results = [result("trajectories/weights-align", *numbers) for numbers in values]
    figure = plots.claim_over_cells(results, [0, 1, 0, 1], [0, 0, 1, 1], ["2", "3"], "num_members")
    (axes,) = figure.axes
    drawn = [line.get_marker() for line in axes.lines]
    assert [marker for marker in drawn if marker != "None"] == ["o", "s", "X", "s"]
    intervals = [
        tuple(line.get_ydata()) for line in axes.lines if len(set(line.get_xdata())) == 1 < len(line.get_xdata())
    ]
    assert intervals[:3] == [(0.9, 1), (0.6, 0.9), (0, 0.2)]
    assert 0.8 in [line.get_ydata()[0] for line in axes.lines]
    assert [text.get_text() for text in axes.texts] == ["no value"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3"]
    low, high = axes.get_ylim()
    assert low < 0 < 1 < high
    plt.close(figure)


def test_table_of_no_results_is_empty():
    assert len(sweep_page.table({})) == 0
