"""Page 12: all verdicts counted, over seeds, with what their pages say of them, and where they come from."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from IPython.display import Markdown, display

from lib.config import canonical_json
from lib.findings import FINDINGS
from lib.findings.judging import REPRODUCED, VERDICTS, Result
from lib.findings.records import parameters_of
from lib.notebook.tables import circumstances, claims_table, number_text, show_rows
from lib.run.provenance import others


def counts(results: Iterable[Result]) -> pd.DataFrame:
    """How many claims have each verdict, one row a dataset, network and preset."""
    kinds = ("dataset", "architecture", "preset")
    found = Counter((*(judged.context[kind] for kind in kinds), judged.verdict) for judged in results)
    rows = []
    for dataset, network, preset in dict.fromkeys(key[:3] for key in found):
        numbers = {verdict: found[dataset, network, preset, verdict] for verdict in VERDICTS}
        rows.append({"dataset": dataset, "network": network, "preset": preset} | numbers)
    return pd.DataFrame(rows)


def verdicts(results: Sequence[Result]) -> pd.DataFrame:
    """All verdicts as text, one row each, with what tells runs apart where there are several."""
    table = claims_table(results)
    telling = {
        "dataset": [judged.context["dataset"] for judged in results],
        "preset": [judged.context["preset"] for judged in results],
        "parameters": [parameters_of(judged) for judged in results],
        "seed": [judged.context.get("seed", "") for judged in results],
    }
    several = {name: values for name, values in telling.items() if len(set(values)) > 1}
    columns = ["verdict", "claim", "the paper says", "architecture", *several, "value", "95 % interval", "criterion"]
    return table.assign(**several)[columns]


def over_seeds(results: Iterable[Result]) -> pd.DataFrame:
    """One row a claim and setting with several seeds: mean and deviation of the value, and how many verdicts agree.

    Verdicts that are not the same with every seed are marked by "flips".
    """
    groups: dict[tuple, list[Result]] = {}
    for judged in results:
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


def remarks(page: Path) -> list[str]:
    """What a page says of how to read it: the items of that section, as Markdown, in their order."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    sections = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    section = next((text for text in sections if text.startswith("## How to read it")), "")
    _, *items = section.split("\n- ")
    return [" ".join(item.split()) for item in items]


def show_remarks(results: Iterable[Result]) -> None:
    """Display, for each page with a claim that was not reproduced, these claims and what the page says of them.

    The pages are those of the checkout that this package lies in; without one their names stand alone.
    """
    folder = Path(__file__).parents[2] / "notebooks"
    unmet: dict[str, list[str]] = {}
    for judged in results:
        if judged.verdict != REPRODUCED:
            unmet.setdefault(FINDINGS[judged.claim.finding].notebook, []).append(f"`{judged.claim.id}`")
    parts = []
    for notebook, claims in unmet.items():
        page = folder / f"{notebook}.ipynb"
        items = [f"- {item}\n" for item in remarks(page)] if page.is_file() else []
        parts.append(f"**Page {int(notebook[:2])}**: {', '.join(dict.fromkeys(claims))}\n\n{''.join(items)}")
    display(Markdown("\n".join(parts) or "All claims were reproduced."))


def show_origins(results: Sequence[Result]) -> None:
    """Display where these verdicts come from: their presets, and how many another commit than this one has judged."""
    presets = dict.fromkeys(judged.context["preset"] for judged in results)
    rows = {"presets": ", ".join(presets), "verdicts": len(results), **circumstances()}
    rows["made by other commits"] = others([judged.commit for judged in results], "verdicts") or "nothing"
    show_rows(rows | {"run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"})
