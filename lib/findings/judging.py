"""A claim judged by arrays: its statistic, the interval of it, and the verdict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib.errors import unknown
from lib.findings.claim import CLAIMS, Claim, Criterion
from lib.metrics.intervals import Estimate, bootstrap

VERDICTS = REPRODUCED, INCONCLUSIVE, NOT_REPRODUCED = "reproduced", "inconclusive", "not reproduced"


@dataclass(frozen=True)
class Result:
    """A judged claim.

    Attributes:
        claim: what was claimed.
        estimate: its statistic with the interval.
        verdict: one of `VERDICTS`.
        context: of which run: dataset, architecture, preset, and whatever else JSON can hold.
        commit: of the package that judged it, empty if not known.
        folder: that its record was found in, as a sweep has one for each run; empty where there is none.
    """

    claim: Claim
    estimate: Estimate
    verdict: str
    context: dict[str, Any]
    commit: str = ""
    folder: str = ""


def judge(claim_id: str, context: Mapping[str, Any], commit: str = "", **arrays: Any) -> Result:
    """The claim of that name, judged by the arrays that its statistic takes; `ValueError` for an unknown one."""
    statistic = _known(claim_id).statistic(**arrays)
    estimate = bootstrap(statistic.function, members=statistic.members, images=statistic.images)
    return judge_estimate(claim_id, estimate, context, commit)


def judge_estimate(claim_id: str, estimate: Estimate, context: Mapping[str, Any], commit: str = "") -> Result:
    """The claim of that name with the verdict on an estimate."""
    claim = _known(claim_id)
    return Result(claim, estimate, verdict(estimate, claim.criterion), dict(context), commit)


def _known(claim_id: str) -> Claim:
    if claim_id not in CLAIMS:
        raise ValueError(unknown("claim", claim_id, CLAIMS))
    return CLAIMS[claim_id]


def verdict(estimate: Estimate, criterion: Criterion) -> str:
    """`REPRODUCED` when the whole interval meets the criterion, `NOT_REPRODUCED` when all of it fails.

    `INCONCLUSIVE` in between, and where there is no value or no interval.
    """
    low, high = estimate.low, estimate.high
    if not all(map(math.isfinite, (estimate.value, low, high))):
        return INCONCLUSIVE
    met = [criterion.met(low), criterion.met(high)]
    if all(met):
        return REPRODUCED
    inside = criterion.operator == "==" and low <= criterion.threshold <= high
    return INCONCLUSIVE if any(met) or inside else NOT_REPRODUCED
