"""The parameters that a notebook declares, as read without running it and as checked when it runs."""

import ast
import re

import nbformat
import papermill
import pytest
from click.testing import CliRunner
from conftest import NOTEBOOKS, ROOT, SCOREBOARD
from helpers import notebook
from papermill.cli import papermill as papermill_command

from lib.errors import ConfigError
from lib.findings import FINDINGS
from lib.notebook.parameters import NotebookSource, check_names, check_parameters, check_types, experiments_of
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is not a Jupyter notebook"),
        ("[]", "is not a Jupyter notebook"),
        ('{"cells": 3}', "is not a Jupyter notebook"),
        ('{"cells": [{"cell_type": "code", "source": "", "metadata": []}]}', "is not a Jupyter notebook"),
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


def finding_of(source):
    return FINDINGS[source.path.stem.partition("_")[2]]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_refuse_what_their_statistics_cannot_do(path):
    source = NotebookSource.read(path)
    with pytest.raises(ConfigError, match=r"num_members must be at least [23] on this page"):
        experiments_of(finding_of(source), source.defaults | {"num_members": 1})


def test_names_and_types_that_are_not_allowed():
    with pytest.raises(ConfigError, match=r"^unknown parameter 'sed'; did you mean 'seed'\?"):
        check_names(["sed"], {"seed": "int"})
    with pytest.raises(ConfigError, match=r"^parameter 'seed' must be int, got '1'"):
        check_types({"seed": "1"}, {"seed": "int"}, {"seed": None})
    with pytest.raises(ConfigError, match=r"^the type of parameter 'seed' must be one of str, int,.* got dict"):
        check_types({"seed": None}, {"seed": "dict"}, {"seed": None})
    for value, annotation in ((0.5, "float"), (11, "int")):
        with pytest.raises(ConfigError, match=rf"^parameter 'rate' must be {annotation}, got None$"):
            check_types({"rate": None}, {"rate": annotation}, {"rate": value})
    for value, annotation in (
        (1000.0, "int"),
        (True, "int"),
        ("false", "bool"),
        (1, "bool"),
        ("[a]", "list"),
        (3, "str"),
    ):
        with pytest.raises(ConfigError, match=rf"^parameter 'one' must be {annotation}, got {re.escape(repr(value))}"):
            check_types({"one": value}, {"one": annotation}, {})
    check_types({"seed": None, "rate": 1}, {"seed": "int", "rate": "float"}, {"seed": None, "rate": 0.5})
    check_types({"num_corrupted": None}, {"num_corrupted": "int"}, {"num_corrupted": 40})


def test_values_that_yaml_reads_otherwise_are_told_how_to_give_them():
    for name, kind, value, hint in (
        ("rate", "float", "1e-2", "in YAML a number has a point, and its exponent a sign: 1.0e-2"),
        ("dataset", "str", 2024, "with papermill: -r dataset 2024"),
        ("standardized", "bool", "true", "with papermill: -p standardized True"),
        ("scales", "list", "[1]", "with papermill: -y 'scales: [first, second]'"),
    ):
        with pytest.raises(ConfigError) as caught:
            check_types({name: value}, {name: kind}, {name: None})
        assert str(caught.value).endswith(f"; {hint}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_none_is_refused_where_it_says_nothing(path):
    source = NotebookSource.read(path)
    comments = dict(re.findall(r"^(\w+): .*  # (.*)", "\n".join(source.cells), re.MULTILINE))
    for name, value in source.defaults.items():
        if value is not None:
            try:
                check_types({name: None}, source.annotations, source.defaults)
            except ConfigError:
                assert "None" not in comments[name]
            else:
                assert "None: all" in comments[name]


def test_pages_that_look_at_the_end_of_runs_refuse_a_single_epoch():
    for path in PAGES:
        source = NotebookSource.read(path)
        if "rank" in source.annotations:
            with pytest.raises(ConfigError, match=r"^epochs must be at least 2 on this page"):
                experiments_of(finding_of(source), source.defaults | {"epochs": 1})


def test_network_that_is_given_twice_counts_once():
    source = NotebookSource.read(NOTEBOOKS[1])
    given = source.defaults | {"architectures": ["medium_cnn", "small_cnn", "medium_cnn"]}
    assert [one.architecture for one in experiments_of(finding_of(source), given)] == ["medium_cnn", "small_cnn"]


# In a notebook that runs

CELL = """preset: str = "quick"  # size
architectures: list = None  # networks
num_members: int = None  # runs
rate: float = 0.5  # a rate
flag: bool = False  # a flag
runs_dir: str = None  # store
"""
VALUES = dict.fromkeys(("architectures", "num_members", "runs_dir")) | {"preset": "quick", "rate": 0.5, "flag": False}


def test_check_parameters_returns_declared_ones():
    assert check_parameters(["import os", CELL], VALUES | {"other": 1}) == VALUES


def test_every_setting_of_an_experiment_is_a_parameter():
    passed = "# Parameters\noptimizer = 'sgd'\nweight_decay = 1\nvalidation_size = 9\n"
    given = check_parameters([CELL, passed], VALUES | {"optimizer": "sgd", "weight_decay": 1, "validation_size": 9})
    (experiment,) = experiments_of(FINDINGS["trajectories"], given | {"architecture": None})
    assert (experiment.optimizer, experiment.weight_decay, experiment.validation_size) == ("sgd", 1, 9)
    assert set(given) == {*VALUES, "optimizer", "weight_decay", "validation_size"}
    for line in ("architecture = 'small_cnn'", "varied = 'order'"):
        with pytest.raises(ConfigError, match=r"^unknown parameter"):
            check_parameters([CELL, f"# Parameters\n{line}"], VALUES)
    with pytest.raises(ConfigError, match=r"^parameter 'weight_decay' must be float, got 'high'"):
        check_parameters([CELL, "# Parameters\nweight_decay = 'high'"], VALUES | {"weight_decay": "high"})
    with pytest.raises(ConfigError, match=r"^unknown parameter 'optimizer'"):
        check_parameters(["runs_dir: str = None", "# Parameters\noptimizer = 'sgd'"], {"runs_dir": None})


def test_check_parameters_known_name_from_papermill():
    check_parameters(["%matplotlib inline", CELL, "# Parameters\nnum_members = 3\n"], VALUES)


def test_check_parameters_reads_the_last_parameters_cell():
    check_parameters([CELL, "# Parameters\nnum_member = 3\n", CELL], VALUES)


def test_check_parameters_without_cell():
    with pytest.raises(ConfigError, match="no parameters cell"):
        check_parameters(["x = 1"], {})


# Parameter files and papermill's own commands

PARAMS = sorted((ROOT / "notebooks" / "params").glob("*.yaml"))

#: The paper's figures that need more settings than preset paper; figure 1 is a drawing.
FIGURES = {
    *["2", "4", "5", "8", "9", "10", "S1", "S2", "S3", "S4", "S6"],
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
    check_types(given, source.annotations, source.defaults)
    experiments = experiments_of(finding_of(source), source.defaults | given)
    assert {one.preset for one in experiments} == {"paper"}


def test_every_figure_with_more_settings_than_preset_paper_has_a_parameter_file():
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


def test_papermill_with_a_parameter_file_works_from_any_folder(tmp_path, monkeypatch):
    """Page 1 up to the cell that trains."""
    page = nbformat.read(NOTEBOOKS[0], as_version=4)
    (last,) = [number for number, cell in enumerate(page.cells) if "runs = page.train()" in cell.source]
    del page.cells[last + 1 :]
    nbformat.write(page, tmp_path / "page.ipynb")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    given = {"preset": "smoke", "num_members": 2, "epochs": 1, "runs_dir": "runs", "engine": "sequential"}
    words = [tmp_path / "page.ipynb", "out.ipynb", "-f", PARAMS[1], "--no-progress-bar"]
    words += [word for name, value in given.items() for word in ("-p", name, value)]
    done = CliRunner().invoke(papermill_command, list(map(str, words)))
    assert done.exit_code == 0, done.output
    assert {path.name for path in elsewhere.iterdir()} == {"out.ipynb", "runs"}
    assert len(list(RunStore("runs").runs())) == 2
