"""Pages that show the reference run, if there is one, and below it what this build computed."""

import re
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from book.figures import PNG
from book.reference import KEPT, page_hash, read_run
from book.verdicts import badge, found, markdown_table, page_link
from lib.findings.records import read_results

#: Tag of the cells computed by this build.
TAG = "this-build"

#: Tables of this build that are shown too, by the beginning of their HTML.
TABLES = ('class="dataframe claims"', 'class="dataframe provenance"')


def page(root: Path, source: Path, executed: NotebookNode) -> NotebookNode:
    """The page that the book shows for a notebook; `executed` is the copy that this build made."""
    how = read_run(root / KEPT).get(source.stem)
    if how is None:
        return executed
    now = page_hash(source)
    shown, changed = nbformat.read(root / KEPT / "notebooks" / source.name, as_version=4), ""
    if how["hash"] != now:
        changed = (
            f" **This notebook has changed since**: the SHA-256 of its code and settings was {how['hash'][:8]}, and is "
            f"{now[:8]} now."
        )
    else:
        # Prose and captions are current; outputs are those of the reference run.
        kept = [cell for cell in shown.cells if cell.cell_type == "code"]
        shown = deepcopy(executed)
        for mine, theirs in zip((one for one in shown.cells if one.cell_type == "code"), kept, strict=True):
            mine.source, mine.outputs, mine.execution_count = theirs.source, theirs.outputs, theirs.execution_count
    own = ", ".join(f"`{name}: {value}`" for name, value in how["parameters"].items())
    made = f"**Reference run**, preset `reference`{' with ' + own if own else ''}, made on {how['finished']} in "
    made += f"{minutes_of(how)} minute{'s' * (minutes_of(how) > 1)}"
    given = executed.metadata.get("papermill", {}).get("parameters", {}).get("preset")
    preset = f", preset `{given}`" if given else ""
    anchor = f"{TAG}-{source.stem}"
    top = f"{made}; [what this build computed](#{anchor}) stands beneath it.{changed}"
    here = f"**This build**{preset}: the same figures and verdicts, by the notebook as it is now."
    shown.cells[1:1] = [new_markdown_cell(top, id=f"{TAG}-top")]
    shown.cells += what_differs(root, source.stem)
    title = new_markdown_cell(f"({anchor})=\n## Computed by this build\n\n{here}", id=TAG)
    shown.cells += [title, *_results(executed)]
    return shown


def minutes_of(how: dict) -> int:
    """The minutes that a page took, at least 1."""
    return max(1, round(how["minutes"]))


def what_differs(root: Path, page: str) -> list[NotebookNode]:
    """Why the reference run does not reproduce some claims of a page, and the experiment that shows it, if any."""
    told = yaml.safe_load((root / "book" / "what_differs.yaml").read_text(encoding="utf-8")).get(page)
    if told is None:
        return []
    text = f"## What differs, and why\n\n{told['why']}"
    if "experiment" in told:
        folders = [root / KEPT / kind / page for kind in ("claims", "differs")]
        values = [
            {result.claim.id: f"{badge(result.verdict)} {found(result)}" for result in read_results(one)}
            for one in folders
        ]
        rows = [[f"`{claim}`", *(own[claim] for own in values)] for claim in told["claims"]]
        content = markdown_table(["claim", "reference run", "experiment"], rows)
        text += f"\n\n{content}\n\nThe experiment, {told['experiment']}: `{told['command']}`"
    return [new_markdown_cell(text, id=f"{TAG}-why")]


def table(root: Path, sources: Iterable[Path]) -> str:
    """A table of how each page of the reference run was made."""
    rows = []
    for source in sources:
        if how := read_run(root / KEPT).get(source.stem):
            given = ", ".join(f"{name}: {value}" for name, value in how["parameters"].items()) or "–"
            since = "the same" if how["hash"] == page_hash(source) else "**changed**"
            made = [how["finished"], minutes_of(how), how["machine"]["processor"], how["commit"][:7], since]
            rows.append([page_link(source, source.stem), given, *made])
    header = ["page", "parameters", "made on", "minutes", "processor", "commit", "code and settings"]
    return markdown_table(header, rows) if rows else "No page of it has been made yet.\n"


def _results(executed: NotebookNode) -> list[NotebookNode]:
    """Figures, verdicts and provenance of an executed notebook, without code, with unique names."""
    cells = []
    for cell in deepcopy(executed.cells):
        data = [one.data for one in cell.get("outputs", []) if "data" in one]
        if not any(PNG in one or any(table in one.get("text/html", "") for table in TABLES) for one in data):
            continue
        cell.metadata.tags = ["remove-input", TAG]
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            figure.name += "-build"
        for one in data:
            if "text/html" in one:
                one["text/html"] = re.sub(r'(id="|#)T_', r"\1T_build_", one["text/html"])
        cell.id = f"{TAG}-{len(cells)}"
        cells.append(cell)
    return cells
