"""What a notebook says of its parameters without being run, and that it says the same when it is run."""

import ast
import re
import subprocess
import sys

import papermill
import pytest
from conftest import NOTEBOOKS, ROOT, SCOREBOARD
from helpers import notebook

from lib.config import Experiment
from lib.errors import ConfigError
from lib.notebook.parameters import NotebookSource, check_names, check_types
from lib.run.store import RunStore
from lib.sweep.grid import combinations, read_grid

PAGES = [path for path in NOTEBOOKS if path != SCOREBOARD]


@pytest.fixture
def read(tmp_path):
    def reader(text):
        path = tmp_path / "page.ipynb"
        path.write_text(text, encoding="utf-8")
        return NotebookSource.read(path)

    return reader


def test_source_has_parameters_in_their_order(read):
    source = read(notebook('preset: str = "smoke"  # size\nscales: list = [1, None]  # of samples', "%pip list\nx = 1"))
    assert source.annotations == {"preset": "str", "scales": "list"}
    assert source.defaults == {"preset": "smoke", "scales": [1, None]}
    assert source.experiments(source.defaults) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is not a Jupyter notebook"),
        ("[]", "is not a Jupyter notebook"),
        ('{"cells": 3}', "is not a Jupyter notebook"),
        ('{"cells": [{"cell_type": "code", "source": "", "metadata": []}]}', "is not a Jupyter notebook"),
        ("[" * 100_000, "is not a Jupyter notebook"),
        (notebook("a: int = 1", tags=()), "has no cell with the tag `parameters`"),
        (notebook("a = 1"), "must have lines `name: type = literal`"),
        (notebook("a: int"), "must have lines `name: type = literal`"),
        (notebook("a: int = b"), "must have lines `name: type = literal`"),
        (notebook("a: int = ("), "must have lines `name: type = literal`"),
        (notebook("import os"), "must have lines `name: type = literal`"),
    ],
)
def test_file_that_is_no_such_notebook_is_one_line(read, text, line):
    with pytest.raises(ConfigError, match=line) as caught:
        read(text)
    assert "page.ipynb" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_notebook_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^cannot read .*none\.ipynb: No such file"):
        NotebookSource.read(tmp_path / "none.ipynb")


def test_open_page_with_arguments_that_are_no_literals_is_one_line(read):
    source = read(notebook("a: int = 1", "page = notebook.open_page(min_members=count)"))
    with pytest.raises(ConfigError, match="must be literals"):
        source.experiments(source.defaults)


def test_open_page_takes_arguments_by_position_too(read):
    source = read(notebook('preset: str = "smoke"\narchitectures: list = None', 'page = open_page(2, "architectures")'))
    assert [one.architecture for one in source.experiments(source.defaults)] == ["small_cnn", "resnet8_v1"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_say_what_they_train(path):
    source = NotebookSource.read(path)
    experiments = source.experiments(source.defaults | {"preset": "smoke", "num_members": 5})
    study = {"10_randomness": "randomness", "11_sgmcmc": "chains"}.get(path.stem)
    for experiment in experiments:
        own = {"architecture": experiment.architecture, "num_members": 5}
        assert experiment == Experiment.from_preset("smoke", study, **own)
    assert source.trains_its_experiments() == (path.stem not in ("09_harder", "10_randomness"))
    assert source.trains_paths() == (path.stem == "06_tunnel")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_refuse_what_their_statistics_cannot_do(path):
    source = NotebookSource.read(path)
    with pytest.raises(ConfigError, match="num_members must be at least 2 on this page"):
        source.experiments(source.defaults | {"num_members": 1})


def test_names_and_types_that_are_not_allowed():
    with pytest.raises(ConfigError, match=r"^unknown parameter 'sed'; did you mean 'seed'\?"):
        check_names(["sed"], {"seed": "int"})
    with pytest.raises(ConfigError, match=r"^parameter 'seed' must be int, got '1'"):
        check_types({"seed": "1"}, {"seed": "int"})
    with pytest.raises(ConfigError, match=r"^the type of parameter 'seed' must be one of str, int,.* got dict"):
        check_types({"seed": None}, {"seed": "dict"})
    check_types({"seed": None, "rate": 1}, {"seed": "int", "rate": "float"})


# Parameter files and papermill's own commands

PARAMS = sorted((ROOT / "notebooks" / "params").glob("*.yaml"))

#: The figures of the paper with something to reproduce; the first is a drawing.
FIGURES = {
    *["2", "3", "4", "5", "6", "8", "9", "10", "S1", "S2", "S3", "S4", "S6"],
    "7 left",
    "7 right",
    "S5 left",
    "S5 right",
}


def notebook_of(params):
    """The notebook that a parameter file names."""
    (path,) = re.findall(rf"^# papermill (\S+) out.ipynb -f notebooks/params/{params.name}$", params.read_text(), re.M)
    return NotebookSource.read(ROOT / path)


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.stem)
def test_parameter_file_is_accepted_by_its_notebook(path):
    source = notebook_of(path)
    (given,) = combinations(*read_grid(path), source.annotations)
    check_types(given, source.annotations)
    experiments = source.experiments(source.defaults | given)
    assert {one.preset for one in experiments} == {"paper"}


def test_every_figure_of_the_paper_has_a_parameter_file():
    found = []
    for path in PARAMS:
        (said,) = re.findall(r"^# Figures? (.+?) of the paper:", path.read_text())
        found += re.split(", | and ", said)
    assert sorted(found) == sorted(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_reads_type_default_and_meaning_of_every_parameter(path):
    source = NotebookSource.read(path)
    inspected = papermill.inspect_notebook(str(path))
    assert list(inspected) == list(source.annotations)
    for name, said in inspected.items():
        assert said["inferred_type_name"] == source.annotations[name]
        assert ast.literal_eval(said["default"]) == source.defaults[name]
        assert len(said["help"]) > 3


def test_papermill_with_a_parameter_file_works_from_any_folder(tmp_path):
    given = {
        "preset": "smoke",
        "num_members": 2,
        "epochs": 1,
        "num_images": 20,
        "runs_dir": "runs",
        "engine": "sequential",
    }
    command = [sys.executable, "-m", "papermill", NOTEBOOKS[0], "out.ipynb", "-f", PARAMS[1]]
    command += [word for name, value in given.items() for word in ("-p", name, value)]
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out.ipynb", "runs"}
    assert len(list(RunStore(tmp_path / "runs").runs())) == 2
