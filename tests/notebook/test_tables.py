"""Verdicts as text."""

import math

import pytest

from lib.findings.judging import INCONCLUSIVE, REPRODUCED, judge_estimate
from lib.metrics.intervals import Estimate
from lib.notebook import tables
from lib.notebook.tables import claims_table

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}
COLUMNS = ["verdict", "claim", "the paper says", "architecture", "value", "95 % interval", "criterion", "statistic"]


def test_claims_table_text():
    results = [
        judge_estimate("independent/disagree", Estimate(0.71234, 0.65, 0.78, 2000, "members"), CONTEXT),
        judge_estimate("independent/orthogonal", Estimate(0.00123, math.nan, math.nan, 2000, "members"), CONTEXT),
        judge_estimate("trajectories/modes", Estimate(1.0, 1.0, 1.0, 0, "none"), CONTEXT),
    ]
    frame = claims_table(results)
    assert list(frame.columns) == COLUMNS
    assert frame["claim"].tolist() == ["independent/disagree", "independent/orthogonal", "trajectories/modes"]
    assert frame["value"].tolist() == ["0.712", "0.0012", "1"]
    assert frame["95 % interval"].tolist() == ["0.650 to 0.780", "–", "–"]
    assert frame["criterion"].tolist() == ["≥ 0.4", "≤ 0.1", "≥ 0.99"]
    assert frame["verdict"].tolist() == [REPRODUCED, INCONCLUSIVE, REPRODUCED]
    assert frame["the paper says"][0].endswith("errors are not shared (0.84 to 1.04, read off figure 6)")


@pytest.mark.parametrize(
    ("value", "expected"), [(-0.0, "0"), (3.0, "3"), (-0.25, "-0.250"), (123.4, "123"), (math.nan, "–")]
)
def test_claims_table_number(value, expected):
    estimate = Estimate(value, value, value, 2000, "images")
    assert claims_table([judge_estimate("independent/disagree", estimate, CONTEXT)])["value"][0] == expected


def test_claims_table_of_nothing_has_its_columns():
    assert list(claims_table([]).columns) == COLUMNS


def test_a_badge_says_the_verdict_in_words():
    assert "✗ not reproduced" in tables._badge("not reproduced")
