"""Page 12, which summarises all verdicts."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT

from lib.findings import CLAIMS, FINDINGS
from lib.findings.judging import Result, known
from lib.metrics.intervals import Estimate
from lib.notebook import scoreboard, tables
from lib.run.provenance import commit
from lib.subspaces.methods import METHODS


def record(claim="independent/disagree", value=0.5, seed=0, epochs=2, network="small_cnn"):
    context = {"dataset": "digits", "architecture": network, "preset": "smoke", "seed": seed, "epochs": epochs}
    judged = Result(known(claim), Estimate(value, value, value, "jackknife", members=5), context)
    return replace(judged, folder=f"02_independent-seed_{seed}-epochs_{epochs}-0123456789ab")


def test_counts_are_of_sentences_by_dataset_network_and_preset():
    methods = [record(f"subspaces/{method}/closer", 0.5) for method in METHODS]
    results = [record(), record(value=0.05, seed=1), record(network="resnet8_v1"), *methods]
    table = scoreboard.counts([*results, record("independent/orthogonal")])
    assert table["network"].tolist() == ["small_cnn", "resnet8_v1"]
    assert table[["holds here", "does not hold here"]].to_numpy().tolist() == [[2, 1], [1, 0]]
    assert str(table["does not hold here"][1]) == "0"  # a count, not 0.000000


def test_false_verdicts_are_one_in_forty_of_those_that_an_interval_decided():
    undecided = replace(record(), estimate=Estimate(0.5, math.nan, math.nan))
    text = scoreboard.false_verdicts([record()] * 40 + [undecided, record("independent/orthogonal")])
    assert text.startswith("Of the 40 verdicts that an interval decided, at most 1.0 are expected to be false")


def test_verdicts_say_what_tells_runs_apart():
    alone = scoreboard.verdicts([record()])
    several = scoreboard.verdicts([record(), record(seed=1), record(epochs=4)])
    assert several.columns.difference(alone.columns).tolist() == ["parameters", "seed"]
    assert several["parameters"].tolist() == ["epochs_2", "epochs_2", "epochs_4"]
    assert several["seed"].tolist() == [0, 1, 0]


def test_seeds_are_gathered_and_flips_marked():
    agreed = [record(value=value, seed=seed) for seed, value in enumerate((0.51, 0.53))]
    split = [record(value=value, seed=seed, epochs=4) for seed, value in enumerate((0.5, 0.5, 0.1))]
    largest = [record("independent/orthogonal", seed=seed) for seed in (0, 1)]
    first, second = scoreboard.over_seeds([*agreed, *split, record(epochs=6), *largest]).to_dict("records")
    assert (first["parameters"], first["seeds"], first["mean"], first["deviation"]) == ("epochs_2", 2, "0.520", "0.014")
    assert (first["agree"], first[""]) == ("2 of 2", "2 holds here")
    assert (second["agree"], second[""]) == ("2 of 3", "flips: 2 holds here, 1 does not hold here")


def test_one_seed_makes_no_row():
    assert scoreboard.over_seeds([record(), record(epochs=4)]).empty


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=FINDINGS)
def test_every_page_judges_its_claims(finding):
    page = (ROOT / "notebooks" / f"{finding.notebook}.ipynb").read_text()
    claims = [claim for claim in CLAIMS.values() if claim.finding == finding.name]
    assert claims
    for first in {claim.id.split("/")[0] for claim in claims}:
        assert f"{first}/" in page


def test_origins_of_verdicts_count_those_of_other_commits(monkeypatch):
    shown: list[pd.DataFrame] = []
    monkeypatch.setattr(tables, "show", lambda table, name: shown.append(table))
    scoreboard.show_origins([replace(record(), commit=name) for name in (commit(), "", commit())])
    rows = dict(zip(shown[0][""], shown[0]["value"], strict=True))
    assert rows["made by other commits"] == "1 of 3 verdicts by a commit that is not known"
    assert (rows["verdicts"], rows["presets"]) == (3, "smoke")
