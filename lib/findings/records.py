"""Verdicts on disk, one JSON record per claim and run, and a table of their numbers."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lib.config import canonical_json
from lib.findings.claim import CLAIMS
from lib.findings.judging import Result, known
from lib.metrics.intervals import Estimate
from lib.run.files import DamagedRun, read_json, write_atomically


def write_result(judged: Result, folder: Path, made: Mapping[str, str] | None = None) -> Path:
    """Write `<folder>/<claim id>/<dataset>-<architecture>-<preset>-<hash>.json` atomically.

    The hash covers the whole context, so the same run replaces its record and another run gets its own. `made` says
    when and where the record was made; it is for readers only.
    """
    context, claim = _null_for_nan(judged.context), judged.claim
    record = {
        "claim": {name: getattr(claim, name) for name in ("id", "sentence", "figure", "measure", "kind")}
        | {"criterion": asdict(claim.criterion)},
        "estimate": _null_for_nan(asdict(judged.estimate)),
        "verdict": judged.verdict,
        "context": context,
        "commit": judged.commit,
        "made": dict(made or {}),
    }
    digest = hashlib.sha256(canonical_json(context).encode()).hexdigest()[:8]
    name = "-".join([context["dataset"], context["architecture"], context["preset"], digest])
    path = Path(folder) / claim.id / f"{name}.json"
    text = json.dumps(record, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
    return path


def read_results(folder: Path) -> list[Result]:
    """Read all records below `folder`, in the order of `CLAIMS`, then by dataset, architecture and preset.

    Raises `ValueError` with the file's name if a record is damaged, or its verdict or criterion is out of date.
    """
    order = list(CLAIMS)

    def place(judged: Result) -> tuple:
        return order.index(judged.claim.id), *map(judged.context.get, ("dataset", "architecture", "preset"))

    return sorted((_read_result(path, folder) for path in sorted(Path(folder).rglob("*.json"))), key=place)


def parameters_of(judged: Result) -> str:
    """The run's sweep parameters without its seed, from the name of its folder: `num_members_4-epochs_3`, or empty."""
    given = judged.folder.partition("-")[2].rpartition("-")[0]  # between the notebook's name and the hash
    return re.sub(r"(^|-)seed_\d+", "", given).strip("-")


def numbers(results: Iterable[Result]) -> pd.DataFrame:
    """A table of the results, one row per result, with numbers not formatted as text."""
    rows = []
    for judged in results:
        claim, context = judged.claim, judged.context
        row = {"claim": claim.id, "kind": claim.kind, "verdict": judged.verdict, "in size": judged.in_size}
        row |= {name: context.get(name) for name in ("dataset", "architecture", "preset", "seed")}
        row |= {"run": judged.folder} | asdict(judged.estimate) | asdict(claim.criterion)
        rows.append(row | {"figure": claim.figure, "sentence": claim.sentence, "statistic": claim.measure})
    return pd.DataFrame(rows)


def _read_result(path: Path, folder: Path) -> Result:
    try:
        record = read_json(path)
        found = record["estimate"]
        found |= {name: math.nan for name in ("value", "low", "high", "from_images") if found[name] is None}
        judged = Result(known(record["claim"]["id"]), Estimate(**found), record["context"], record["commit"])
        said = record["verdict"], record["claim"]["criterion"]
    except (DamagedRun, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:500]
        raise ValueError(f"{path}: not a claim's record ({type(error).__name__}: {reason})") from error
    now = judged.verdict, asdict(judged.claim.criterion)
    if said != now:
        raise ValueError(f"{path}: says {said!s:.200}, now it would be {now}; run its notebook again")
    above = path.relative_to(folder).parts[: -1 - judged.claim.id.count("/") - 1]
    return replace(judged, folder=above[-1] if above else "")


def _null_for_nan(value: Any) -> Any:
    """`value` after a round trip through JSON, with None for nan and infinities, which JSON lacks."""
    return json.loads(json.dumps(value), parse_constant=lambda name: None)
