"""A page: its parameters, its experiments, what it trains and judges, and its provenance."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import assert_same
from IPython.core.formatters import DisplayFormatter

from lib.errors import ConfigError
from lib.findings.judging import MET, NOT_MET, Result, known
from lib.findings.records import read_results, write_result
from lib.metrics.intervals import count
from lib.notebook import page as page_module
from lib.notebook import tables
from lib.notebook.page import open_page, open_records
from lib.presets import PRESETS
from lib.run.provenance import commit
from lib.subspaces.methods import METHODS

NOTEBOOK_CELL = """preset: str = "smoke"  # size
dataset: str = None  # data
architecture: str = None  # network
architectures: list = None  # networks
num_members: int = None  # runs
epochs: int = None  # epochs
seed: int = None  # seed
runs_dir: str = None  # store
results_dir: str = None  # verdicts
data_dir: str = None  # data
engine: str = None  # engine
scheduler: str = None  # scheduler
jobs: int = None  # jobs
scales: list = None  # scales
num_samples: int = None  # samples
num_images: int = None  # images
learning_rate: float = None  # rate
"""


class Shell:
    """The parts of IPython's shell that a page needs."""

    def __init__(self, values: dict):
        self.user_ns = values
        self.display_formatter = DisplayFormatter()

    def run_line_magic(self, *_: str) -> None:
        pass


@pytest.fixture
def open_with(monkeypatch, tmp_path):
    """A function that opens the page of a finding as in a notebook with the given parameters."""

    def open_page_with(finding: str = "trajectories", **parameters):
        namespace: dict = {}
        cell = NOTEBOOK_CELL + ("rank: int = None  # directions\n" if "rank" in parameters else "")
        exec(cell, namespace)
        namespace |= {"runs_dir": str(tmp_path / "runs")} | parameters | {"In": [cell]}
        shell = Shell(namespace)
        monkeypatch.setattr(page_module, "get_ipython", lambda: shell)
        with plt.rc_context():
            return open_page(finding)

    return open_page_with


def shown_tables(monkeypatch) -> dict:
    """A dictionary of the tables that pages show from now on, by name."""
    shown: dict = {}
    for module in (page_module, tables):
        monkeypatch.setattr(module, "show", lambda table, name, **_: shown.update({name: table}))
    return shown


def test_open_page_follows_the_preset_and_the_finding(open_with):
    experiment = open_with(epochs=2).experiment
    assert (experiment.dataset, experiment.epochs, experiment.num_members) == ("digits", 2, 3)
    chains = open_with("sgmcmc", learning_rate=0.05).experiment
    assert (chains.cycles, chains.epochs, chains.learning_rate) == (3, 6, 0.05)
    assert open_with("independent").networks == ["small_cnn", "resnet8_v1"]
    assert open_with("independent", architectures=["medium_cnn"]).networks == ["medium_cnn"]


def test_settings_are_beside_those_of_the_paper(open_with, monkeypatch):
    shown = shown_tables(monkeypatch)
    open_with("sgmcmc", architectures=["resnet18"]).settings()
    chains = shown["settings"].set_index("setting")
    assert chains.loc["epochs", "resnet18"] == "6 (paper: 150)"
    assert chains.loc["noisy epochs of a cycle", "resnet18"] == "1 (paper: 5)"
    assert chains.loc["optimiser", "resnet18"] == "sgd"
    open_with().settings()
    assert "cycles" not in shown["settings"]["setting"].tolist()


def test_page_trains_again_and_keeps_nothing(open_with):
    page = open_with(num_members=2, epochs=1, engine="sequential")
    again = page.train_again()
    assert list(page.store.runs()) == []
    assert page.keys == {}
    kept = page.train()
    assert_same(again, kept)
    assert page.keys == {"small_cnn": kept.keys}


def test_page_remembers_the_members_of_all_its_experiments(open_with):
    page = open_with(num_members=2, epochs=1, engine="sequential")
    first, second = (page.train(seed=seed) for seed in (0, 1))
    page.train()
    assert page.keys == {"small_cnn": [*first.keys, *second.keys]}


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_page_predicts_every_checkpoint_and_the_final_ones(open_with, architecture):
    """A network predicts the same to the bit alone, among others, and as its own sample at scale 0."""
    page = open_with(architecture=architecture, num_members=2, epochs=1, engine="sequential", num_images=30)
    runs = page.train()
    probs = page.predict(runs)
    assert probs.shape == (2, 2, 30, 10)
    np.testing.assert_array_equal(page.predict_final(runs), probs[:, -1])
    assert page.predict_final(runs, page.test.images[:5]).shape == (2, 5, 10)
    sampler = page.sampler(runs, "ensemble")
    for run, (_, expected) in zip(runs, probs, strict=True):
        for base in (sampler.samples(run, "random", np.zeros(1)), sampler.checkpoints(run, 1)):
            np.testing.assert_array_equal(base.predict(sampler.model, page.test.images), [expected])


def test_page_computes_statistics_once(open_with, monkeypatch):
    page = open_with(architecture="resnet8_v1", num_members=2, epochs=1, engine="sequential", num_images=30)
    runs = page.train()
    probs, fresh = page.predict_final(runs), page_module.fresh_statistics
    monkeypatch.setattr(page_module, "fresh_statistics", None)
    np.testing.assert_array_equal(page.predict_final(runs), probs)
    # Other weights under the same keys, as when another machine has trained the run, have their own statistics.
    monkeypatch.setattr(page_module, "fresh_statistics", fresh)
    assert not np.array_equal(page.predict_weights(runs, runs.final[::-1]), probs)


def test_page_samples_by_preset_or_parameter(open_with):
    def sampler(study, **parameters):
        page = open_with(preset="paper", dataset="digits", epochs=8, **parameters)
        (member, *_) = page.experiment.members(page.dataset.name, page.dataset.content_hash)
        return page.sampler([SimpleNamespace(member=member)], study), page

    plane, page = sampler("plane")
    scales = {"random": 70.0, "dropout": 0.1, "diagonal-gaussian": 10.0, "low-rank-gaussian": 6.0}
    assert (plane.rank, plane.standardized, plane.margin, plane.scales) == (4, False, 0.06, scales)
    assert plane.statistics_images == len(page.dataset.train.images)
    assert sampler("ensemble")[0].scales == {"random": 10.0}
    given, _ = sampler("plane", rank=2, scales=[None, None, 5, None, 2, *[None] * (len(METHODS) - 5)])
    assert (given.rank, given.scales) == (2, scales | {"diagonal-gaussian": 5.0, "random-pca": 2.0})


def test_page_counts_samples_and_images_by_preset_or_parameter(open_with):
    page = open_with()
    assert page.num_samples("plane") == PRESETS["smoke"]["samples"]["plane"]["count"]
    assert len(page.test.labels) == len(page.dataset.test.labels)
    page = open_with(num_samples=7, num_images=30)
    assert (page.num_samples("plane"), len(page.test.images), len(page.test.labels)) == (7, 30, 30)


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
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"num_images": 398}, "num_images must be from 1 to 397 for digits, got 398"),
        ({"rank": 4}, "rank must be from 1 to 3, got 4"),
        ({"rank": 0}, "rank must be from 1 to 3"),
        ({"scales": [1, 2]}, f"scales must be {len(METHODS)}, a number or null for each of {', '.join(METHODS)}"),
        (
            {"scales": [1, 2, *[None] * (len(METHODS) - 2)]},
            "the scale of dropout must be a number above 0 and at most 0.99, got 2",
        ),
    ],
)
def test_open_page_refuses_with_one_line(open_with, tmp_path, parameters, line):
    with pytest.raises(ValueError, match=f"^{line}") as caught:
        open_with(**parameters)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"{type(caught.value).__name__}: {caught.value}"]
    assert not (tmp_path / "runs").exists()


def test_open_page_checks_whether_every_network_can_be_trained(open_with, monkeypatch):
    checked = []
    monkeypatch.setattr(page_module, "check_training", lambda experiment, _: checked.append(experiment.architecture))
    open_with("independent")
    assert checked == ["small_cnn", "resnet8_v1"]


def test_page_judges_shows_and_records(open_with, tmp_path, capsys):
    page = open_with("independent", results_dir=str(tmp_path / "claims"))
    page.settings()
    page.judge("independent/orthogonal", "resnet8_v1", weights=np.eye(3))
    page.verdicts()
    page.provenance()
    (judged,) = read_results(tmp_path / "claims")
    assert [judged] == page.results
    assert (judged.verdict, judged.commit, judged.context["architecture"]) == (MET, commit(), "resnet8_v1")


def test_page_writes_tables_of_numbers_beside_its_verdicts(open_with, tmp_path):
    table = pd.DataFrame({"number": ["accuracy"], "value": [0.1234567]})
    open_with(results_dir=str(tmp_path / "claims")).record("estimates", table)
    (row,) = pd.read_csv(tmp_path / "claims" / "trajectories" / "estimates.csv").to_dict("records")
    assert row == {
        "number": "accuracy",
        "value": 0.123457,
        "dataset": "digits",
        "preset": "smoke",
        "network": "small_cnn",
    }


def test_paths_are_expanded_and_checked_before_anything_is_trained(open_with, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_with(results_dir="~/claims", runs_dir="~/runs").folder == tmp_path / "claims"
    for name in ("runs_dir", "results_dir", "data_dir", "dataset"):
        with pytest.raises(ConfigError, match=f"^{name} must be a path on this machine, got the address s3://bucket$"):
            open_with(**{name: "s3://bucket"})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^results_dir must be a writable folder"):
        open_with(results_dir=str(tmp_path / "file" / "claims"))


def shown_provenance(page, monkeypatch) -> dict[str, str]:
    """The rows of a page's provenance table."""
    shown = shown_tables(monkeypatch)
    page.provenance()
    table = shown["provenance"]
    return dict(zip(table[""], table["value"], strict=True))


def test_provenance_counts_the_runs_and_arrays_of_other_commits(open_with, monkeypatch):
    with monkeypatch.context() as earlier:
        for module in ("lib.training.trainer", "lib.run.store"):
            earlier.setattr(f"{module}.commit", lambda: "0123456789ab")
        page = open_with(num_members=2, epochs=1, engine="sequential")
        page.train()
        page.store.cached("numbers", {}, lambda: {"one": np.ones(1)})
    page = open_with(num_members=3, epochs=1, engine="sequential", seed=None)
    page.train()
    for recipe in ({}, {"other": 1}):
        page.store.cached("numbers", recipe, lambda: {"one": np.ones(1)})
    rows = shown_provenance(page, monkeypatch)
    by = "by commit 0123456789ab"
    assert rows["made by other commits"] == f"2 of 3 runs {by}; 1 of 2 derived arrays {by}"
    assert rows["seeds"] == "0; first weights 0, 1, 2; order of the data 0, 1, 2"
    assert rows["small_cnn runs, by key"] == ", ".join(key[:8] for key in page.trained)
    assert rows["commit"] == commit()


def test_provenance_of_one_commit_says_so(open_with, monkeypatch):
    rows = shown_provenance(open_with(), monkeypatch)
    assert rows["made by other commits"] == "nothing"
    assert {"preset", "parameters given", "data", "device", "versions", "run"} <= set(rows)


RECORDS_CELL = "runs_dir: str = None  # store\nrecords_dir: str = None  # verdicts\ncsv: str = None  # numbers\n"


@pytest.fixture
def open_records_with(monkeypatch, tmp_path):
    """A function that reads the records as in a notebook with the given parameters."""

    def opened(**parameters):
        values = {"runs_dir": str(tmp_path / "runs"), "records_dir": None, "csv": None} | parameters
        shell = Shell(values | {"In": [RECORDS_CELL]})
        monkeypatch.setattr(page_module, "get_ipython", lambda: shell)
        with plt.rc_context():
            return open_records()

    return opened


def record(claim="independent/orthogonal", value=0.05):
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    return Result(known(claim), count(value), context)


def test_records_are_those_of_the_store_or_of_a_folder(open_records_with, tmp_path):
    with pytest.raises(ConfigError, match=r"^no verdicts in .*claims: run the other notebooks first"):
        open_records_with()
    write_result(record(), tmp_path / "runs" / "claims")
    write_result(record(value=0.5), tmp_path / "other" / "02")
    assert [one.verdict for one in open_records_with()] == [MET]
    csv = tmp_path / "new" / "numbers.csv"
    results = open_records_with(records_dir=str(tmp_path / "other"), csv=str(csv))
    assert [one.verdict for one in results] == [NOT_MET]
    assert pd.read_csv(csv)["value"].tolist() == [0.5]


def test_records_that_are_broken_are_one_line(open_records_with, tmp_path):
    path = write_result(record(), tmp_path / "runs" / "claims")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="not a claim's record") as caught:
        open_records_with()
    assert "\n" not in str(caught.value)
