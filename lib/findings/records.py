"""Verdicts on disk: one JSON record a claim and run, and all of them as a table of numbers."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lib.config import canonical_json
from lib.findings.claim import CLAIMS, Criterion
from lib.findings.judging import Result, judge_estimate
from lib.metrics.intervals import Estimate
from lib.run.files import DamagedRun, read_json, write_atomically


def write_result(judged: Result, folder: Path) -> Path:
    """Write `<folder>/<claim id>/<dataset>-<architecture>-<preset>-<hash>.json`, whole or not at all.

    The hash is of the whole context, so that the same run replaces its record and another gets its own.
    """
    context, claim = _null_for_nan(judged.context), judged.claim
    record = {
        "claim": {name: getattr(claim, name) for name in ("id", "sentence", "figure", "measure", "paper_value")}
        | {"criterion": asdict(claim.criterion)},
        "estimate": _null_for_nan(asdict(judged.estimate)),
        "verdict": judged.verdict,
        "context": context,
        "commit": judged.commit,
    }
    digest = hashlib.sha256(canonical_json(context).encode()).hexdigest()[:8]
    name = "-".join([context["dataset"], context["architecture"], context["preset"], digest])
    path = Path(folder) / claim.id / f"{name}.json"
    text = json.dumps(record, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
    return path


def read_results(folder: Path) -> list[Result]:
    """All records below `folder`, in the order of `CLAIMS`, then by dataset, architecture and preset.

    `ValueError` with the file's name for a record that is broken, or that was judged by a criterion no longer ours.
    """
    order = {claim_id: place for place, claim_id in enumerate(CLAIMS)}

    def place(judged: Result) -> tuple:
        context = judged.context
        return order[judged.claim.id], context["dataset"], context["architecture"], context["preset"]

    return sorted((_read_result(path, folder) for path in sorted(Path(folder).rglob("*.json"))), key=place)


def parameters_of(judged: Result) -> str:
    """What a sweep gave to the run, without its seed, by the name of its folder: `num_members_4-epochs_3`, or empty."""
    given = judged.folder.partition("-")[2].rpartition("-")[0]  # between the name of the notebook and the key
    return re.sub(r"(^|-)seed_\d+", "", given).strip("-")


def numbers(results: Iterable[Result]) -> pd.DataFrame:
    """The records as data: one row a result, numbers as they are and not as text."""
    rows = [
        {
            "claim": judged.claim.id,
            "verdict": judged.verdict,
            **{name: judged.context[name] for name in ("dataset", "architecture", "preset")},
            "seed": judged.context.get("seed"),
            "run": judged.folder,
            **asdict(judged.estimate),
            "operator": judged.claim.criterion.operator,
            "threshold": judged.claim.criterion.threshold,
            "figure": judged.claim.figure,
            "sentence": judged.claim.sentence,
            "statistic": judged.claim.measure,
        }
        for judged in results
    ]
    return pd.DataFrame(rows)


def _read_result(path: Path, folder: Path) -> Result:
    try:
        record = read_json(path)
        values = {name: math.nan if value is None else value for name, value in record["estimate"].items()}
        judged = judge_estimate(record["claim"]["id"], Estimate(**values), record["context"], record["commit"])
        criterion, said = Criterion(**record["claim"]["criterion"]), record["verdict"]
    except (DamagedRun, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(f"{path}: not a claim's record ({type(error).__name__}: {reason})") from error
    if (criterion, said) != (judged.claim.criterion, judged.verdict):
        raise ValueError(
            f"{path}: says {said!s:.100} for {criterion}, now it would be {judged.verdict} for "
            f"{judged.claim.criterion}; run its notebook again"
        )
    above = path.relative_to(folder).parts[: -1 - judged.claim.id.count("/") - 1]
    return replace(judged, folder=above[-1] if above else "")


def _null_for_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _null_for_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_null_for_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
