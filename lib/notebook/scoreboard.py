"""Page 12: counts of all verdicts, their agreement over seeds, and their origin."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pandas as pd

from lib.config import canonical_json
from lib.findings.claim import INFERENCE
from lib.findings.judging import INCONCLUSIVE, VERDICTS, Result, sentences
from lib.findings.records import parameters_of
from lib.metrics.power import expected_false
from lib.notebook.tables import circumstances, claims_table, number_text, show_rows
from lib.run.provenance import others


def counts(results: Iterable[Result]) -> pd.DataFrame:
    """How many sentences of the paper have each verdict, one row per dataset, network and preset.

    Only inferences count, and a sentence judged for several methods counts once. A preset that all rows share is left
    out.
    """
    kinds = ("dataset", "architecture", "preset")
    judged = [(one.results[0].context, one.verdict) for one in sentences(results)]
    found = Counter((*(context[kind] for kind in kinds), verdict) for context, verdict in judged)
    rows = []
    for place in dict.fromkeys(key[:3] for key in found):
        rows.append(dict(zip(kinds, place, strict=True)) | {verdict: found[*place, verdict] for verdict in VERDICTS})
    table = pd.DataFrame(rows)
    if len({place[2] for place in found}) == 1 < len(table):
        table = table.drop(columns="preset")
    return table.loc[:, (table != 0).any()].rename(columns={"architecture": "network"})


def false_verdicts(results: Iterable[Result]) -> str:
    """The largest expected number of false verdicts among those that an interval decides, as a sentence."""
    decided = sum(one.claim.kind == INFERENCE and one.verdict != INCONCLUSIVE for one in results)
    return (
        f"Of the {decided} verdicts that an interval decided, at most {expected_false(decided):.1f} are expected "
        "to be false: each errs with a chance of at most one in forty."
    )


def verdicts(results: Sequence[Result]) -> pd.DataFrame:
    """All verdicts as text, one row each, with columns for whatever differs between runs.

    A verdict's wording shows the class of its claim; the claim's own page has the size, and what would decide.
    """
    table = claims_table(results).drop(columns=["class", "in size", "to decide"], errors="ignore")
    telling = {
        "dataset": [judged.context["dataset"] for judged in results],
        "preset": [judged.context["preset"] for judged in results],
        "parameters": [parameters_of(judged) for judged in results],
        "seed": [judged.context.get("seed", "") for judged in results],
    }
    several = {name: values for name, values in telling.items() if len(set(values)) > 1}
    return table.assign(**several)


def over_seeds(results: Iterable[Result]) -> pd.DataFrame:
    """One row per claim and setting with several seeds: mean and deviation of the value, and how many verdicts agree.

    Only inferences are included; verdicts that differ between seeds are marked "flips".
    """
    groups: dict[tuple, list[Result]] = {}
    for judged in (one for one in results if one.claim.kind == INFERENCE):
        others = {name: value for name, value in judged.context.items() if name not in ("seed", "members")}
        groups.setdefault((judged.claim.id, canonical_json(others), parameters_of(judged)), []).append(judged)
    columns = ["claim", "dataset", "architecture", "preset", "parameters", "seeds", "mean", "deviation", "agree", ""]
    rows = []
    for (claim, _, parameters), own in groups.items():
        seeds = {judged.context.get("seed") for judged in own}
        if len(seeds) > 1:
            values = pd.Series([judged.estimate.value for judged in own])
            found = Counter(judged.verdict for judged in own)
            where = [own[0].context[name] for name in ("dataset", "architecture", "preset")]
            said = ", ".join(f"{number} {verdict}" for verdict, number in found.most_common())
            agree, flips = f"{max(found.values())} of {len(own)}", "flips: " if len(found) > 1 else ""
            numbers = [number_text(values.mean()), number_text(values.std())]
            rows.append([claim, *where, parameters, len(seeds), *numbers, agree, flips + said])
    return pd.DataFrame(rows, columns=columns)


def show_origins(results: Sequence[Result]) -> None:
    """Display where these verdicts come from: their presets, and how many were judged by other commits."""
    presets = dict.fromkeys(judged.context["preset"] for judged in results)
    rows = {"presets": ", ".join(presets), "verdicts": len(results), **circumstances()}
    rows["made by other commits"] = others([judged.commit for judged in results], "verdicts") or "nothing"
    show_rows(rows | {"run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"})
