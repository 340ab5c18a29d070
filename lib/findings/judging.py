"""Judging claims from arrays: the estimate and the verdict in words."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lib.config import canonical_json
from lib.errors import unknown
from lib.findings.claim import CLAIMS, DESCRIPTION, IDENTITY, INFERENCE, Claim, Criterion
from lib.metrics.intervals import Estimate
from lib.metrics.power import holm, p_above, p_below

#: Verdicts, one line each: on an inference with the paper's data and network; with any others, or if the interval does
#: not decide; on a description and an identity.
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
HOLDS, FAILS, INCONCLUSIVE = "holds here", "does not hold here", "inconclusive"
MET, NOT_MET, IDENTICAL = "met by these runs", "not met by these runs", "true by construction"
VERDICTS = (REPRODUCED, HOLDS, INCONCLUSIVE, FAILS, NOT_REPRODUCED)

PAPERS_DATA = ("cifar10", "cifar10_holdout", "cifar100", "imagenet")
PAPERS_NETWORKS = ("small_cnn", "medium_cnn", "resnet20_v1", "resnet18", "resnet50_v2")


@dataclass(frozen=True)
class Result:
    """A judged claim.

    Attributes:
        claim: the claim that was judged.
        estimate: its statistic with the interval.
        context: what identifies the run: dataset, architecture, preset, and anything else that JSON can hold.
        commit: commit of the package that judged it, empty if unknown.
        folder: the folder that its record was found in (a sweep has one per run); empty if none.
    """

    claim: Claim
    estimate: Estimate
    context: dict[str, Any]
    commit: str = ""
    folder: str = ""

    @property
    def verdict(self) -> str:
        """One of `VERDICTS` for an inference, otherwise `MET`, `NOT_MET`, `INCONCLUSIVE` or `IDENTICAL`."""
        if self.claim.kind == IDENTITY:
            return IDENTICAL
        met = decided(self.estimate, self.claim.criterion)
        if met is None:
            return INCONCLUSIVE
        if self.claim.kind == DESCRIPTION:
            return MET if met else NOT_MET
        papers = self.context["dataset"] in PAPERS_DATA and self.context["architecture"] in PAPERS_NETWORKS
        if papers:
            return REPRODUCED if met else NOT_REPRODUCED
        return HOLDS if met else FAILS

    @property
    def in_size(self) -> bool | None:
        """Whether the interval, widened by the reading error, contains the paper's number; None if not comparable."""
        data = str(self.context["dataset"]).replace("cifar10_holdout", "cifar10")
        here = self.context["architecture"], data
        numbers = [one for one in self.claim.paper_values if (one.network, one.dataset) == here]
        ours = self.estimate.low, self.estimate.high
        found = [agree_in_size(ours, (one.low, one.high), one.error) for one in numbers]
        return None if not found or None in found else any(found)


def agree_in_size(ours: tuple[float, float], papers: tuple[float, float], error: float) -> bool | None:
    """Whether our interval, widened by the reading error, overlaps the number or range of the paper.

    None if we have no interval.
    """
    (low, high), (paper_low, paper_high) = ours, papers
    if not math.isfinite(low + high):
        return None
    return bool(low - error <= paper_high and high + error >= paper_low)


def judge(claim_id: str, context: Mapping[str, Any], commit: str = "", **arrays: Any) -> Result:
    """Judge the claim with this identifier from its statistic's arrays; `ValueError` if the claim is unknown."""
    claim = known(claim_id)
    return Result(claim, claim.statistic(**arrays), dict(context), commit)


def known(claim_id: str) -> Claim:
    """Return the claim with this identifier; `ValueError` if it is unknown."""
    if claim_id not in CLAIMS:
        raise ValueError(unknown("claim", claim_id, CLAIMS))
    return CLAIMS[claim_id]


def decided(estimate: Estimate, criterion: Criterion) -> bool | None:
    """Whether the whole interval meets (True) or fails (False) the criterion; None otherwise, or without interval."""
    low, high = estimate.low, estimate.high
    if not all(map(math.isfinite, (estimate.value, low, high))):
        return None
    # A bootstrap interval need not contain the value: the value must agree too, as a verdict must not contradict it.
    met = [criterion.met(one) for one in (estimate.value, low, high)]
    inside = low <= criterion.threshold <= high and low < high
    return None if any(met) != all(met) or (criterion.operator == "==" and inside) else all(met)


@dataclass(frozen=True)
class Sentence:
    """A sentence of the paper with all its results from one run, one result per method."""

    results: list[Result]

    @property
    def p(self) -> float:
        """The smallest Holm-adjusted p-value of "this method fails its criterion"; nan without intervals."""
        criterion = self.results[0].claim.criterion
        p_failing = p_below if criterion.operator.startswith(">") else p_above
        found = [p_failing(result.estimate, criterion.threshold) for result in self.results]
        adjusted = [value for value in holm(found) if math.isfinite(value)]
        return min(adjusted, default=math.nan)

    @property
    def verdict(self) -> str:
        """The methods' verdict if all agree; else a failure if one is significant (Holm), or inconclusive."""
        first, *others = [result.verdict for result in self.results]
        if all(verdict == first for verdict in others):
            return first
        failing = [result.verdict for result in self.results if result.verdict in (NOT_REPRODUCED, FAILS)]
        return failing[0] if failing and self.p <= (1 - self.results[0].estimate.level) / 2 else INCONCLUSIVE


def sentences(results: Iterable[Result], kinds: Collection[str] = (INFERENCE,)) -> list[Sentence]:
    """Group the results whose claims are of these `kinds` by sentence and run, in their original order."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        if result.claim.kind in kinds:
            place = result.claim.family, canonical_json(result.context), result.folder
            groups.setdefault(place, []).append(result)
    return [Sentence(own) for own in groups.values()]
