"""The page "The paper's numbers and ours": book/paper_numbers.yaml beside the results of the reference run.

paper_numbers.yaml, reference/claims → numbers → tables and figures of the page
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from book.reference import KEPT
from book.verdicts import markdown_table, read_results, with_interval
from lib.findings.judging import agree_in_size
from lib.notebook.tables import number_text
from lib.plots import paper_numbers as plots
from lib.plots.downloads import svg
from lib.plots.style import use_style

#: Text shown for a number of ours that is missing.
NOT_YET = "not run yet"


def fragments(root: Path) -> dict[str, str]:
    """The parts of the page by file: its tables, and two figures."""
    table = numbers(root)
    use_style()
    return {
        "paper_numbers.md": "\n".join(section(title, own) for title, own in table.groupby("title", sort=False)),
        "paper_numbers.csv": table.to_csv(index=False, float_format="%.6g"),
        "paper_numbers_shift.svg": svg(plots.by_severity(table)),
        "paper_numbers_diversity.svg": svg(plots.side_by_side(table)),
        "divergence_fits.md": divergence_fits(table),
    }


def numbers(root: Path) -> pd.DataFrame:
    """One row per number: group, meaning, the paper's value, ours with its interval, and whether they agree in size.

    Columns `title, read, what, severity, method, size, low, high` (the paper's, often equal), `error, differs`,
    `value, our_low, our_high` (nan if not run, or without an interval), `difference`, `agrees` (None: unknown).
    """
    rows, folder = [], root / KEPT / "claims"
    for group in yaml.safe_load((root / "book" / "paper_numbers.yaml").read_text(encoding="utf-8")):
        for row in group.get("rows") or _unfolded(group["series"]):
            place = group.get("ours", {}) | row["ours"]
            low, high = row["paper"] if isinstance(row["paper"], list) else [row["paper"]] * 2
            value, our_low, our_high, size = _ours(folder, dict(place))
            if group.get("sum"):
                value, our_low, our_high = value * size, our_low * size, our_high * size
            said = {name: group.get(name, "") for name in ("title", "read")} | {"what": row["what"]}
            said |= {name: place.get(name) for name in ("method", "size", "severity", "number")}
            error = row.get("error", group.get("error", 0.0))
            said |= {"low": low, "high": high, "error": error, "differs": row.get("differs", group.get("differs", ""))}
            said |= {"value": value, "our_low": our_low, "our_high": our_high}
            said["difference"] = value - min(max(value, low), high)
            said["agrees"] = agree_in_size((our_low, our_high), (low, high), error)
            rows.append(said)
    table = pd.DataFrame(rows)
    return table.assign(severity=pd.Series([row["severity"] for row in rows], dtype=object))


def _unfolded(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per number of lists of numbers by severity."""
    return [
        one | {"paper": number, "ours": one["ours"] | {"severity": severity}}
        for one in series
        for severity, number in enumerate(one["paper"])
    ]


def _ours(folder: Path, place: dict[str, Any]) -> tuple[float, float, float, float]:
    """Value, interval ends and ensemble size of one number of ours; nan if it was not computed."""
    if "claim" in place:
        results = [one for one in read_results(folder) if one.claim.id == place["claim"]]
        found = [one.estimate for one in results if one.context["architecture"] == place["network"]]
        return (found[0].value, found[0].low, found[0].high, 1) if found else (math.nan,) * 4
    path = folder / f"{place.pop('table')}.csv"
    if not path.exists():
        return (math.nan,) * 4
    found = pd.read_csv(path, dtype={"severity": str})
    for name, wanted in place.items():
        found = found[found[name].astype(str) == str(wanted)]
    if found.empty:
        return (math.nan,) * 4
    row = found.iloc[0]
    return row["value"], row["low"], row["high"], row.get("size", 1)


def section(title: str, table: pd.DataFrame) -> str:
    """One group: how its numbers were read, how many agree, and its table, folded if long."""
    run, agree = table["value"].notna(), table["agrees"].eq(True)
    known = table["agrees"].notna().sum()
    told = f"{agree.sum()} of {known} agree in size" if known else "without intervals" if run.any() else NOT_YET
    rows = [
        [
            f"{one.what}, severity {one.severity}" if isinstance(one.severity, int) else one.what,
            _span(one.low, one.high),
            NOT_YET if math.isnan(one.value) else _with_interval(one.value, one.our_low, one.our_high),
            "" if math.isnan(one.value) else f"{one.difference:+.3f}",
            {True: "✓ yes", False: "✗ no"}.get(one.agrees, ""),
            one.differs,
        ]
        for one in table.itertuples()
    ]
    content = markdown_table(["", "the paper", "ours", "difference", "agrees in size", "what differs"], rows)
    if len(rows) > 30:
        content = f":::{{dropdown}} All {len(rows)} numbers\n\n{content}\n:::\n"
    return f"### {title}\n\nThe paper's: {table['read'].iloc[0]}. **{told}.**\n\n{content}"


def _span(low: float, high: float) -> str:
    return number_text(low) if low == high else f"{number_text(low)} to {number_text(high)}"


def _with_interval(value: float, low: float, high: float) -> str:
    return with_interval(value, _span(low, high) if math.isfinite(low + high) else "–")


def divergence_fits(table: pd.DataFrame) -> str:
    """Whether the average or the sum over networks is nearer to the divergences of figure 9."""
    of_figure = table[table["number"].eq("divergence") & table["severity"].isin(range(6)) & table["value"].notna()]
    if of_figure.empty:
        return "Whether the paper's divergences are averages or sums over networks has to wait for the reference run.\n"
    is_sum = of_figure["title"].str.contains("as a sum")
    average, total = (of_figure.loc[which, "difference"].abs().mean() for which in (~is_sum, is_sum))
    fits = "an average" if average < total else "a sum"
    return (
        f"The divergences of figure 9 are {fits} over networks: as an average ours are {average:.3f} from the paper's, "
        f"as a sum {total:.3f}.\n"
    )
