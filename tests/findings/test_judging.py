"""Verdicts, and claims judged by arrays."""

import math

import numpy as np
import pytest

from lib.findings import CLAIMS
from lib.findings.claim import Criterion
from lib.findings.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, judge, judge_estimate, verdict
from lib.metrics.intervals import Estimate, bootstrap

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}


def interval(low, high, value=None):
    return Estimate((low + high) / 2 if value is None else value, low, high, 2000, "members")


@pytest.mark.parametrize(
    ("operator", "low", "high", "expected"),
    [
        (">=", 0.8, 0.9, REPRODUCED),  # the threshold itself meets it
        (">=", 0.7, 0.8, INCONCLUSIVE),
        (">=", 0.6, 0.79, NOT_REPRODUCED),
        ("<=", 0.7, 0.8, REPRODUCED),
        ("<=", 0.8, 0.9, INCONCLUSIVE),
        ("<=", 0.81, 0.9, NOT_REPRODUCED),
        (">", 0.81, 0.9, REPRODUCED),
        (">", 0.8, 0.9, INCONCLUSIVE),  # the threshold itself fails it
        (">", 0.7, 0.8, NOT_REPRODUCED),
        ("<", 0.7, 0.79, REPRODUCED),
        ("<", 0.7, 0.8, INCONCLUSIVE),
        ("<", 0.8, 0.9, NOT_REPRODUCED),
        ("==", 0.8, 0.8, REPRODUCED),
        ("==", 0.7, 0.9, INCONCLUSIVE),
        ("==", 0.8, 0.9, INCONCLUSIVE),
        ("==", 0.9, 0.9, NOT_REPRODUCED),
        ("==", 0.81, 0.9, NOT_REPRODUCED),
    ],
)
def test_verdict_truth_table(operator, low, high, expected):
    assert verdict(interval(low, high), Criterion(operator, 0.8)) == expected


@pytest.mark.parametrize("operator", [">=", "<=", "<", ">", "=="])
@pytest.mark.parametrize("position", range(3))
def test_verdict_nan_anywhere_is_inconclusive(operator, position):
    numbers = [0.8, 0.8, 0.8]
    numbers[position] = math.nan
    assert verdict(Estimate(*numbers, 2000, "images"), Criterion(operator, 0.8)) == INCONCLUSIVE


@pytest.mark.parametrize(("count", "expected"), [(0, REPRODUCED), (1, NOT_REPRODUCED)])
def test_verdict_deterministic_count(count, expected):
    assert verdict(bootstrap(lambda: count), Criterion("==", 0)) == expected


def test_judge_known_claim():
    judged = judge_estimate("independent/orthogonal", interval(0.02, 0.1), CONTEXT)
    assert judged.claim is CLAIMS["independent/orthogonal"]
    assert judged.verdict == REPRODUCED
    assert judged.context == CONTEXT


def test_judge_unknown_claim_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"^unknown claim 'independent/orthogonl'; did you mean 'independent/orthogonal'"
    ):
        judge_estimate("independent/orthogonl", interval(0, 0), CONTEXT)


def test_judge_computes_the_statistic_of_the_claim_from_arrays():
    weights = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    judged = judge("independent/orthogonal", CONTEXT, "0123", weights=weights)
    assert (judged.estimate.value, judged.estimate.unit) == (0, "members")
    assert (judged.verdict, judged.commit) == (REPRODUCED, "0123")
