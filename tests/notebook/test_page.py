"""The parameter check and the tables around a notebook's science."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import ROOT
from helpers import assert_same
from IPython.core.formatters import DisplayFormatter

from lib.config import PRESETS
from lib.errors import ConfigError
from lib.findings import claims
from lib.findings.claims import Estimate
from lib.notebook import page as notebook
from lib.notebook.page import check_parameters, open_page
from lib.run.provenance import commit
from lib.run.store import StoreError
from lib.subspaces.methods import METHODS

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


@pytest.mark.parametrize(
    ("name", "value"),
    [("preset", "smoke"), ("num_members", 3), ("rate", 1), ("flag", True), ("architectures", ["a"]), ("rate", None)],
)
def test_check_parameters_right_type(name, value):
    assert check_parameters([CELL], VALUES | {name: value})[name] == value


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("preset", 3, "str"),
        ("num_members", "three", "int"),
        ("num_members", 1000.0, "int"),
        ("num_members", True, "int"),
        ("rate", "1e-2", "float"),
        ("flag", "false", "bool"),
        ("flag", 1, "bool"),
        ("architectures", "[small_cnn]", "list"),
    ],
)
def test_check_parameters_wrong_type(name, value, kind):
    with pytest.raises(ConfigError, match=rf"^parameter '{name}' must be {kind}, got {value!r}".replace("[", r"\[")):
        check_parameters([CELL], VALUES | {name: value})


def test_check_parameters_unknown_name_from_papermill():
    with pytest.raises(ConfigError, match=r"^unknown parameter 'num_member'; did you mean 'num_members'\?"):
        check_parameters([CELL, "# Parameters\nnum_member = 3\n"], VALUES)


def test_check_parameters_known_name_from_papermill():
    check_parameters(["%matplotlib inline", CELL, "# Parameters\nnum_members = 3\n"], VALUES)


def test_check_parameters_reads_the_last_parameters_cell():
    check_parameters([CELL, "# Parameters\nnum_member = 3\n", CELL], VALUES)


def test_check_parameters_without_cell():
    with pytest.raises(ConfigError, match="no parameters cell"):
        check_parameters(["x = 1"], {})


NOTEBOOK_CELL = """preset: str = "smoke"  # size
dataset: str = None  # data
architecture: str = None  # network
num_members: int = None  # runs
epochs: int = None  # epochs
seed: int = None  # seed
runs_dir: str = None  # store
results_dir: str = None  # verdicts
data_dir: str = None  # data
engine: str = None  # engine
jobs: int = None  # jobs
rank: int = None  # directions
scales: list = None  # scales
num_samples: int = None  # samples
num_images: int = None  # images
learning_rate: float = None  # rate
"""


class Shell:
    """What a page needs of the shell of its notebook."""

    def __init__(self, values: dict):
        self.user_ns = values
        self.display_formatter = DisplayFormatter()

    def run_line_magic(self, *_: str) -> None:
        pass


@pytest.fixture
def open_with(monkeypatch, tmp_path):
    """A function that opens a page as in a notebook with those parameters."""

    def open_page_with(min_members: int = 1, study: str | None = None, **parameters):
        values: dict = {"runs_dir": str(tmp_path / "runs")} | parameters
        namespace: dict = {}
        exec(NOTEBOOK_CELL, namespace)
        namespace |= values | {"In": [NOTEBOOK_CELL]}
        shell = Shell(namespace)
        monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
        with plt.rc_context():
            return open_page(min_members, study=study)

    return open_page_with


def test_open_page_follows_the_preset(open_with):
    page = open_with(epochs=2)
    assert (page.experiment.dataset, page.experiment.epochs, page.experiment.num_members) == ("digits", 2, 3)


def test_open_page_of_a_study_follows_it(open_with):
    page = open_with(study="chains", learning_rate=0.05)
    assert (page.experiment.cycles, page.experiment.epochs, page.experiment.learning_rate) == (3, 6, 0.05)
    assert open_with().experiment.cycles == 0


def test_settings_of_a_study_are_beside_those_of_the_paper(open_with, monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "show", lambda table, name: shown.append(table.set_index("setting")))
    open_with(study="chains", architecture="resnet18").settings()
    open_with().settings()
    chains, ordinary = shown
    assert chains.loc["epochs"].tolist() == [6, 150]
    assert chains.loc["noisy epochs of a cycle"].tolist() == [1, 5]
    assert "cycles" not in ordinary.index


def test_page_trains_again_and_keeps_nothing(open_with):
    page = open_with(num_members=1, epochs=1, engine="sequential", jobs=None)
    (again,) = page.train_again(page.experiment)
    assert list(page.store.runs()) == []
    assert page.keys == {}
    (kept,) = page.train(page.experiment)
    assert_same([again], [kept])
    assert page.keys == {"small_cnn": [kept.member.key]}


def test_page_remembers_the_members_of_all_its_experiments(open_with):
    page = open_with(num_members=1, epochs=1, engine="sequential")
    (first,), (second,) = (page.train(replace(page.experiment, seed=seed)) for seed in (0, 1))
    page.train(page.experiment)
    assert page.keys == {"small_cnn": [first.member.key, second.member.key]}


def test_page_counts_samples_and_images_by_preset_or_parameter(open_with):
    page = open_with()
    assert page.num_samples("plane") == PRESETS["smoke"]["num_samples"]["plane"]
    assert len(page.test.labels) == len(page.dataset.test.labels)
    page = open_with(num_samples=7, num_images=30)
    assert (page.num_samples("plane"), len(page.test.images), len(page.test.labels)) == (7, 30, 30)
    with pytest.raises(ConfigError, match=r"^num_samples must be at least 1, got 0"):
        open_with(num_samples=0).num_samples("ensemble")
    with pytest.raises(ConfigError, match=r"^num_images must be from 1 to 397 for digits, got 398"):
        _ = open_with(num_images=398).test


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"preset": "quik"}, "unknown preset 'quik'; did you mean 'quick'"),
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'"),
        ({"architecture": "small_cn"}, "unknown architecture 'small_cn'; did you mean 'small_cnn'"),
        ({"num_members": 0}, "num_members must be an integer at least 1, got 0"),
        ({"num_members": 1}, "num_members must be at least 2 on this page"),
        ({"epochs": -1}, "epochs must be an integer at least 1, got -1"),
        ({"seed": -1}, "seed must be an integer at least 0, got -1"),
        ({"engine": "lokey"}, "unknown engine 'lokey'; did you mean 'loky'"),
        ({"jobs": 0}, "jobs must be an integer at least 1, got 0"),
        ({"rank": 4}, "rank must be from 1 to 3, one less than the epochs, got 4"),
        ({"rank": 0}, "rank must be from 1 to 3"),
        ({"scales": [1, 2]}, f"scales must be {len(METHODS)}, of {', '.join(METHODS)}"),
        (
            {"scales": [1, 2, *[None] * (len(METHODS) - 2)]},
            "the scale of dropout must be a number above 0 and at most 0.99, got 2",
        ),
    ],
)
def test_open_page_refuses_with_one_line(open_with, tmp_path, parameters, line):
    with pytest.raises(ValueError, match=f"^{line}") as caught:
        open_with(min_members=2, **parameters)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"{type(caught.value).__name__}: {caught.value}"]
    assert not (tmp_path / "runs").exists()


def test_page_shows_settings_verdicts_and_provenance(open_with, tmp_path, capsys):
    page = open_with(results_dir=str(tmp_path / "claims"))
    page.settings()
    page.judge("independent/orthogonal", Estimate(0.05, 0.02, 0.08, 2000, "members"), page.experiment)
    page.verdicts()
    page.provenance()
    assert [result.verdict for result in page.results] == ["reproduced"]
    assert [result.commit for result in claims.read_results(tmp_path / "claims")] == [commit()]
    assert len(list((tmp_path / "claims").rglob("*.json"))) == 1


def shown_provenance(page, monkeypatch) -> dict[str, str]:
    """The rows of the table under a page."""
    tables = []
    monkeypatch.setattr(notebook, "show", lambda table, name: tables.append(table))
    page()
    return dict(zip(tables[0][""], tables[0]["value"], strict=True))


def test_provenance_counts_the_runs_and_arrays_of_other_commits(open_with, monkeypatch):
    with monkeypatch.context() as earlier:
        for module in ("lib.training.trainer", "lib.run.store"):
            earlier.setattr(f"{module}.commit", lambda: "0123456789ab")
        page = open_with(num_members=1, epochs=1, engine="sequential")
        page.train(page.experiment)
        page.store.cached("numbers", {}, lambda: {"one": np.ones(1)})
    page = open_with(num_members=2, epochs=1, engine="sequential", seed=None)
    page.train(page.experiment)
    for recipe in ({}, {"other": 1}):
        page.store.cached("numbers", recipe, lambda: {"one": np.ones(1)})
    rows = shown_provenance(page.provenance, monkeypatch)
    by = "by commit 0123456789ab"
    assert rows["made by other commits"] == f"1 of 2 runs {by}; 1 of 2 derived arrays {by}"
    assert rows["seeds"] == "0; first weights 0, 1; order of the data 0, 1"
    assert rows["small_cnn runs, by key"] == ", ".join(key[:8] for key in page.trained)
    assert rows["commit"] == commit()


def test_provenance_of_one_commit_says_so(open_with, monkeypatch):
    page = open_with(num_members=1, epochs=1, engine="sequential")
    page.train(page.experiment)
    rows = shown_provenance(page.provenance, monkeypatch)
    assert rows["made by other commits"] == "nothing"
    assert {"preset", "parameters given", "data", "device", "versions", "run"} <= set(rows)


def test_origins_of_verdicts_count_those_of_other_commits(monkeypatch):
    judged = [replace(record(), commit=name) for name in (commit(), "", commit())]
    rows = shown_provenance(lambda: notebook.show_origins(judged), monkeypatch)
    assert rows["made by other commits"] == "1 of 3 verdicts by a commit that is not known"
    assert (rows["verdicts"], rows["presets"]) == (3, "smoke")


def test_page_that_cannot_write_verdicts_names_the_parameter(open_with, tmp_path):
    (tmp_path / "file").write_text("")
    page = open_with(results_dir=str(tmp_path / "file" / "claims"))
    with pytest.raises(StoreError, match=r"the parameter results_dir says where verdicts go$"):
        page.judge("independent/orthogonal", Estimate(0.05, 0.02, 0.08, 2000, "members"), page.experiment)


RECORDS_CELL = "runs_dir: str = None  # store\nrecords_dir: str = None  # verdicts\n"


@pytest.fixture
def open_records_with(monkeypatch, tmp_path):
    """A function that reads the records as in a notebook with those parameters."""

    def opened(**parameters):
        values = {"runs_dir": str(tmp_path / "runs"), "records_dir": None} | parameters
        shell = Shell(values | {"In": [RECORDS_CELL]})
        monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
        with plt.rc_context():
            return notebook.open_records()

    return opened


def record(claim="independent/orthogonal", value=0.05):
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    return claims.judge(claim, Estimate(value, value, value, 2000, "members"), context)


def test_records_are_those_of_the_store_or_of_a_folder(open_records_with, tmp_path):
    with pytest.raises(ConfigError, match=r"^no verdicts in .*claims: run the other notebooks first"):
        open_records_with()
    claims.write_result(record(), tmp_path / "runs" / "claims")
    claims.write_result(record(value=0.5), tmp_path / "other" / "02")
    assert [one.verdict for one in open_records_with()] == ["reproduced"]
    assert [one.verdict for one in open_records_with(records_dir=str(tmp_path / "other"))] == ["not reproduced"]


def test_records_that_are_broken_are_one_line(open_records_with, tmp_path):
    path = claims.write_result(record(), tmp_path / "runs" / "claims")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="not a claim's record") as caught:
        open_records_with()
    assert "\n" not in str(caught.value)


def test_every_claim_has_a_page_that_is_there_and_says_how_to_read_it():
    for claim in claims.CLAIMS:
        page = ROOT / "notebooks" / f"{notebook.PAGES[claim.split('/')[0]]}.ipynb"
        assert f'"{claim.split("/")[0]}/' in page.read_text() or f'f\\"{claim.split("/")[0]}/' in page.read_text()
        assert len(notebook.remarks(page)) > 2
        assert all("\n" not in item for item in notebook.remarks(page))


def test_remarks_of_a_page_are_shown_once_with_the_claims_that_failed(monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", lambda given: shown.append(given.data))
    failed = [record(value=0.5), record("independent/equidistant", 0.3), record("trajectories/modes", 1.0)]
    notebook.show_remarks(failed)
    (text,) = shown
    assert text.startswith("**Page 2**: `independent/orthogonal`, `independent/equidistant`\n\n- ")
    assert "Page 1" not in text
    notebook.show_remarks([record()])
    assert shown[1] == "All claims were reproduced."


def test_badge_says_the_verdict_in_words():
    assert "✗ not reproduced" in notebook._badge("not reproduced")
