"""What page 12 says of all verdicts."""

from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT

from lib.findings import CLAIMS, FINDINGS
from lib.findings.judging import judge_estimate
from lib.metrics.intervals import Estimate
from lib.notebook import scoreboard, tables
from lib.run.provenance import commit


def record(claim="independent/orthogonal", value=0.05, seed=0, epochs=2, network="small_cnn"):
    context = {"dataset": "digits", "architecture": network, "preset": "smoke", "seed": seed, "epochs": epochs}
    judged = judge_estimate(claim, Estimate(value, value, value, 2000, "members"), context)
    return replace(judged, folder=f"02_independent-seed_{seed}-epochs_{epochs}-0123456789ab")


def test_counts_are_by_dataset_network_and_preset():
    table = scoreboard.counts([record(), record(value=0.5), record(seed=1), record(network="resnet8_v1")])
    assert table["network"].tolist() == ["small_cnn", "resnet8_v1"]
    assert table[["reproduced", "inconclusive", "not reproduced"]].to_numpy().tolist() == [[2, 0, 1], [1, 0, 0]]


def test_verdicts_say_what_tells_runs_apart():
    alone = scoreboard.verdicts([record()])
    several = scoreboard.verdicts([record(), record(seed=1), record(epochs=4)])
    assert several.columns.difference(alone.columns).tolist() == ["parameters", "seed"]
    assert several["parameters"].tolist() == ["epochs_2", "epochs_2", "epochs_4"]
    assert several["seed"].tolist() == [0, 1, 0]


def test_seeds_are_gathered_and_flips_marked():
    agreed = [record(value=value, seed=seed) for seed, value in enumerate((0.01, 0.03))]
    split = [record(value=value, seed=seed, epochs=4) for seed, value in enumerate((0.05, 0.05, 0.5))]
    first, second = scoreboard.over_seeds([*agreed, *split, record(epochs=6)]).to_dict("records")
    assert (first["parameters"], first["seeds"], first["mean"], first["deviation"]) == ("epochs_2", 2, "0.020", "0.014")
    assert (first["agree"], first[""]) == ("2 of 2", "2 reproduced")
    assert (second["agree"], second[""]) == ("2 of 3", "flips: 2 reproduced, 1 not reproduced")


def test_one_seed_makes_no_row():
    assert scoreboard.over_seeds([record(), record(epochs=4)]).empty


@pytest.mark.parametrize("finding", [one for one in FINDINGS.values() if one.notebook != "09_harder"])
def test_every_page_judges_its_claims_and_says_how_to_read_them(finding):
    page = ROOT / "notebooks" / f"{finding.notebook}.ipynb"
    claims = [claim for claim in CLAIMS.values() if claim.finding == finding.name]
    assert claims
    for first in {claim.id.split("/")[0] for claim in claims}:
        assert f"{first}/" in page.read_text()
    assert len(scoreboard.remarks(page)) > 2
    assert all("\n" not in item for item in scoreboard.remarks(page))


def test_remarks_of_a_page_are_shown_once_with_the_claims_that_failed(monkeypatch):
    shown = []
    monkeypatch.setattr(scoreboard, "display", lambda given: shown.append(given.data))
    failed = [record(value=0.5), record("independent/equidistant", 0.3), record("trajectories/modes", 1.0)]
    scoreboard.show_remarks([*failed, *failed])
    (text,) = shown
    assert text.startswith("**Page 2**: `independent/orthogonal`, `independent/equidistant`\n\n- ")
    assert "Page 1" not in text
    scoreboard.show_remarks([record()])
    assert shown[1] == "All claims were reproduced."


def test_origins_of_verdicts_count_those_of_other_commits(monkeypatch):
    shown: list[pd.DataFrame] = []
    monkeypatch.setattr(tables, "show", lambda table, name: shown.append(table))
    scoreboard.show_origins([replace(record(), commit=name) for name in (commit(), "", commit())])
    rows = dict(zip(shown[0][""], shown[0]["value"], strict=True))
    assert rows["made by other commits"] == "1 of 3 verdicts by a commit that is not known"
    assert (rows["verdicts"], rows["presets"]) == (3, "smoke")
