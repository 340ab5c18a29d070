"""A sentence of the paper as a test: a statistic with its interval, a criterion fixed beforehand, a verdict.

    claim → bootstrap → judge → write_result (one JSON record a run) → read_results → table

The words and the criteria are those of `CLAIMS`; what the statistic is computed from is the caller's business.
"""

import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.config import canonical_json
from lib.errors import unknown
from lib.findings.criteria import CLAIMS, Claim, Criterion
from lib.run.files import DamagedRun, read_json, write_atomically

VERDICTS = REPRODUCED, INCONCLUSIVE, NOT_REPRODUCED = "reproduced", "inconclusive", "not reproduced"

#: Draws that `bootstrap` makes at most for each resample it was asked for: with more than nine of ten undefined, the
#: statistic has no interval worth the name.
DRAWS_PER_RESAMPLE = 10

TABLE_COLUMNS = [
    "claim",
    "architecture",
    "the paper says",
    "statistic",
    "value",
    "95 % interval",
    "criterion",
    "verdict",
]


@dataclass(frozen=True)
class Estimate:
    """A statistic's `value` and the ends of its interval, from so many `resamples` of `unit`.

    `unit` is "members", "images", "members and images", or "none" for a deterministic count, where both ends are the
    value. Where no interval can be given the ends are nan.
    """

    value: float
    low: float
    high: float
    resamples: int
    unit: str


def bootstrap(
    statistic: Callable[..., float],
    *,
    members: int | None = None,
    images: int | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile bootstrap interval over `members` networks, `images` images, or both.

    `statistic(members=..., images=...)`, with those of the two that were given, gets indices to compute from: all of
    them, in order, for the value, then `resamples` times as many drawn with replacement. With neither given it is a
    count without an interval. It says nan (or infinity) where it is undefined, as for a mean over pairs when one
    member was drawn every time: such a resample is drawn again, and when hardly any is defined, or members never
    vary among those that are (one member; the only pair of two), the ends are nan. Seeded by `seed` alone.
    """
    sizes = {name: size for name, size in (("members", members), ("images", images)) if size is not None}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, received {size}")
    unit = " and ".join(sizes) or "none"

    with warnings.catch_warnings():
        # numpy warns of the empty mean that an undefined resample is; nan says the same.
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(statistic(**{name: np.arange(size) for name, size in sizes.items()}))
        if not sizes:
            return Estimate(value, value, value, 0, unit)
        no_interval = Estimate(value, math.nan, math.nan, resamples, unit)
        if not math.isfinite(value):
            return no_interval

        rng = np.random.default_rng(seed)
        values, drawn_members = [], set()
        for _ in range(DRAWS_PER_RESAMPLE * resamples):
            drawn = {name: rng.integers(size, size=size) for name, size in sizes.items()}
            resampled = float(statistic(**drawn))
            if math.isfinite(resampled):
                values.append(resampled)
                drawn_members.add(frozenset(drawn.get("members", ())))
            if len(values) == resamples:
                break

    if len(values) < resamples or (members is not None and len(drawn_members) < 2):
        return no_interval
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), resamples, unit)


def distinct_pairs(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a resample, as member indices `(a, b)`; the same member drawn twice is no pair and left out.

    `matrix[distinct_pairs(members)]` picks the pairs from a matrix `(N, N)`. There may be none: take a largest value by
    `.max(initial=-np.inf)`, which `bootstrap` draws again, as it does the nan of an empty mean.
    """
    members = np.asarray(members)
    i, j = np.triu_indices(len(members), k=1)
    different = members[i] != members[j]
    return members[i[different]], members[j[different]]


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


@dataclass(frozen=True)
class Result:
    """A judged claim; `context` says of which run: dataset, architecture, preset, and whatever else JSON can hold.

    `commit` is that of the package which judged it, empty if not known.
    """

    claim: Claim
    estimate: Estimate
    verdict: str
    context: dict[str, Any]
    commit: str = ""


def judge(claim_id: str, estimate: Estimate, context: dict[str, Any], commit: str = "") -> Result:
    """The claim of that name with its verdict; `ValueError` for a name that is none, or a context without its run."""
    if claim_id not in CLAIMS:
        raise ValueError(unknown("claim", claim_id, CLAIMS))
    for name in ("dataset", "architecture", "preset"):
        # They go into the names of files, and into pages.
        if not isinstance(context.get(name), str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", context[name]):
            raise ValueError(
                f"context[{name!r}]: expected letters, digits, '_', '.' and '-', received {context.get(name)!r:.200}"
            )
    claim = CLAIMS[claim_id]
    return Result(claim, estimate, verdict(estimate, claim.criterion), context, commit)


def write_result(result: Result, folder: Path) -> Path:
    """Write `<folder>/<claim id>/<dataset>-<architecture>-<preset>-<hash>.json`, whole or not at all.

    The hash is of the whole context, so that the same run replaces its record and another gets its own.
    """
    context = _null_for_nan(result.context)
    digest = hashlib.sha256(canonical_json(context).encode()).hexdigest()[:8]
    name = "-".join([context["dataset"], context["architecture"], context["preset"], digest])
    path = Path(folder) / result.claim.id / f"{name}.json"
    text = json.dumps(_null_for_nan(asdict(result)), ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
    return path


def read_results(folder: Path) -> list[Result]:
    """All records below `folder`, in the order of `CLAIMS`, then by dataset, architecture and preset.

    `ValueError` with the file's name for a record that is broken, or that was judged by a criterion no longer ours.
    """
    results = [_read_result(path) for path in sorted(Path(folder).rglob("*.json"))]
    order = list(CLAIMS)

    def place(result):
        context = result.context
        return order.index(result.claim.id), context["dataset"], context["architecture"], context["preset"]

    return sorted(results, key=place)


def table(results: Iterable[Result]) -> pd.DataFrame:
    """The claims as text for a page, one row a result."""
    rows = [
        {
            "claim": result.claim.id,
            "architecture": result.context["architecture"],
            "the paper says": result.claim.sentence
            + (f" ({result.claim.paper_value})" if result.claim.paper_value else ""),
            "statistic": result.claim.statistic.replace("`", ""),
            "value": _number(result.estimate.value),
            "95 % interval": _interval(result.estimate),
            "criterion": str(result.claim.criterion),
            "verdict": result.verdict,
        }
        for result in results
    ]
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def numbers(results: Iterable[Result]) -> pd.DataFrame:
    """The records as data: one row a result, numbers as they are and not as text."""
    rows = [
        {
            "claim": result.claim.id,
            "verdict": result.verdict,
            **{name: result.context[name] for name in ("dataset", "architecture", "preset")},
            **asdict(result.estimate),
            "operator": result.claim.criterion.operator,
            "threshold": result.claim.criterion.threshold,
            "figure": result.claim.figure,
            "sentence": result.claim.sentence,
            "statistic": result.claim.statistic,
        }
        for result in results
    ]
    return pd.DataFrame(rows)


def _read_result(path: Path) -> Result:
    try:
        record = read_json(path)
        numbers = {name: math.nan if number is None else number for name, number in record["estimate"].items()}
        result = judge(record["claim"]["id"], Estimate(**numbers), record["context"], record.get("commit", ""))
        criterion, said = Criterion(**record["claim"]["criterion"]), record["verdict"]
        told = f"{path}: says {said!s:.100} for {criterion}"
    except DamagedRun as error:
        raise ValueError(f"{path}: not a claim's record ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{path}: not a claim's record ({type(error).__name__}: {' '.join(str(error).split()):.500})"
        ) from error
    if (criterion, said) != (result.claim.criterion, result.verdict):
        raise ValueError(
            f"{told}, now it would be {result.verdict} for {result.claim.criterion}; run its notebook again"
        )
    return result


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    """Three decimals; fewer for whole and large numbers, two significant digits for small ones."""
    if not math.isfinite(value):
        return "–"
    if value == round(value) or abs(value) >= 100:
        return f"{value + 0.0:.0f}"  # + 0.0 takes the sign from a negative zero
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _interval(estimate: Estimate) -> str:
    if estimate.unit == "none" or not math.isfinite(estimate.low) or not math.isfinite(estimate.high):
        return "–"
    return f"{_number(estimate.low)} to {_number(estimate.high)}"
