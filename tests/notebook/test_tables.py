"""Verdicts as text."""

import math

import pytest

from lib.findings.judging import HOLDS, IDENTICAL, INCONCLUSIVE, MET, REPRODUCED, Result, known
from lib.metrics.intervals import Estimate, count
from lib.notebook import tables
from lib.notebook.tables import claims_table

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}
COLUMNS = ["verdict", "claim", "the paper says", "architecture", "value", "95 % interval", "criterion", "class"]


def result(claim, *numbers, context=CONTEXT, **facts):
    return Result(known(claim), Estimate(*numbers, "jackknife", **facts), context)


def test_claims_table_text():
    results = [
        result("independent/disagree", 0.71234, 0.65, 0.78, context=CONTEXT | {"dataset": "cifar10"}),
        result("independent/orthogonal-mean", 0.00123, math.nan, math.nan, members=3),
        result("independent/equidistant", 0.14, 0.08, 0.2, df=5.0, members=6),
        Result(known("trajectories/weights-align"), count(1), CONTEXT),
        Result(known("ensemble/brier"), count(-0.1), CONTEXT),
    ]
    frame = claims_table(results)
    assert list(frame.columns) == [*COLUMNS, "in size", "to decide"]
    assert frame["claim"].tolist() == [one.claim.id for one in results]
    assert frame["value"].tolist() == ["0.712", "0.0012", "0.140", "1", "-0.100"]
    assert frame["95 % interval"].tolist() == ["0.650 to 0.780", "–", "0.080 to 0.200", "–", "–"]
    assert frame["criterion"].tolist() == ["≥ 0.4", "≤ 0.1", "≤ 0.15", "≥ 0.8", "< 0"]
    assert frame["verdict"].tolist() == [REPRODUCED, INCONCLUSIVE, INCONCLUSIVE, MET, IDENTICAL]
    assert frame["class"].tolist() == ["inference"] * 3 + ["description", "identity"]
    assert frame["in size"].tolist() == ["another size than the paper's", "", "", "", ""]
    few = "no interval: at least 4 runs are needed"
    assert frame["to decide"].tolist()[:2] == ["", few]
    assert frame["to decide"][2].startswith("half-width 0.06; about ")
    assert claims_table([result("independent/disagree", 0.5, 0.45, 0.6)])["verdict"].tolist() == [HOLDS]


@pytest.mark.parametrize(
    ("value", "expected"), [(-0.0, "0"), (3.0, "3"), (-0.25, "-0.250"), (123.4, "123"), (math.nan, "–")]
)
def test_claims_table_number(value, expected):
    assert claims_table([result("independent/disagree", value, value, value)])["value"][0] == expected


def test_claims_table_leaves_out_columns_without_text():
    assert list(claims_table([result("independent/disagree", 0.5, 0.45, 0.6)]).columns) == COLUMNS
    assert claims_table([]).empty


def test_a_badge_says_the_verdict_in_words():
    assert "✗ not reproduced" in tables._badge("not reproduced")
