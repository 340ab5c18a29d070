"""Results of the page "Explore": each of one network on one dataset, from executed notebooks or committed as CSV.

    executed notebooks → executed → record → book/results/explore/*.csv, *.json → committed

The page shows the results of this copy of the book, and beside them committed ones of other networks and datasets.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd
from bs4 import BeautifulSoup

from book import figures
from book.verdicts import read_results
from lib.errors import OneLineError
from lib.plots.downloads import CSV

#: The figure behind each view: notebook, and name of the figure.
FIGURES = {"plane": ("04_diversity", "diversity-plane"), "radial": ("05_radial", "radial-maps")}

#: Folder of the results that come with the book, relative to the repository.
COMMITTED = Path("book/results/explore")


class ExploreError(OneLineError):
    """A result cannot be read; the message is one line."""


@dataclass
class Explored:
    """One result: the data behind a figure of one network, as attached by `lib.plots`, and its origin."""

    kind: str
    dataset: str
    architecture: str
    preset: str
    provenance: dict[str, str]
    table: pd.DataFrame
    here: bool

    @property
    def stem(self) -> str:
        """Name of its files, without suffix."""
        return f"{self.kind}-{self.dataset}-{self.architecture}"


def executed(build_dir: Path, kind: str) -> list[Explored]:
    """Results of a kind in `FIGURES` from the executed notebooks, one per network in the notebook's order."""
    notebook, figure = FIGURES[kind]
    path = build_dir / "notebooks" / f"{notebook}.ipynb"
    try:
        content = nbformat.read(path, as_version=4)
    except (ValueError, OSError) as error:
        raise ExploreError(f"{path} cannot be read ({str(error).splitlines()[0]}): execute it first") from None
    tables = [output.data.get(CSV) for name, _, output in figures.figures(content) if name == figure]
    if not tables or tables[0] is None:
        raise ExploreError(f"{path}: there is no figure {figure!r} with its data: execute the notebook again")
    table = pd.read_csv(io.StringIO(tables[0]))
    runs = {result.context["architecture"]: result.context for result in read_results(build_dir / "claims" / notebook)}
    panels = dict(list(table.groupby("panel", sort=False))) if "panel" in table else dict.fromkeys(runs, table)
    return [
        Explored(kind, runs[name]["dataset"], name, runs[name]["preset"], provenance(content, path), own, here=True)
        for name, own in panels.items()
    ]


def provenance(content: nbformat.NotebookNode, path: Path) -> dict[str, str]:
    """The rows of an executed notebook's provenance table: where its results come from."""
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    for output in outputs:
        soup = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
        if table := soup.select_one("table.provenance"):
            rows = [[cell.get_text(strip=True) for cell in row.find_all("td")] for row in table.tbody.find_all("tr")]
            return {name: text for name, text in rows}
    raise ExploreError(f"{path}: there is no provenance: execute the notebook again")


def committed(folder: Path) -> list[Explored]:
    """Results that come with the book, sorted by file name."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            found.append(Explored(**said, table=pd.read_csv(path.with_suffix(".csv")), here=False))
        except (ValueError, TypeError, OSError) as error:
            raise ExploreError(f"{path}: not a result of the page Explore ({error})") from None
    return found


def record(build_dir: Path, folder: Path) -> list[Path]:
    """Write the results of executed notebooks to be committed, replacing those of the same network and dataset."""
    results = [result for kind in FIGURES for result in executed(build_dir, kind)]
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        said = {name: getattr(result, name) for name in ("kind", "dataset", "architecture", "preset", "provenance")}
        text = json.dumps(said, ensure_ascii=False, indent=1)
        (folder / f"{result.stem}.json").write_text(f"{text}\n", encoding="utf-8")
        # Four digits are more than a screen can show.
        table = result.table.drop(columns="panel", errors="ignore")
        table.to_csv(folder / f"{result.stem}.csv", index=False, float_format="%.4g", lineterminator="\n")
    return [folder / f"{result.stem}.json" for result in results]


def gathered(build_dir: Path, folder: Path) -> dict[str, list[Explored]]:
    """Results by kind: those of this copy first, then committed ones of other networks or datasets."""
    others, every = committed(folder), {}
    for kind in FIGURES:
        here = executed(build_dir, kind)
        own = {result.stem for result in here}
        every[kind] = here + [other for other in others if other.kind == kind and other.stem not in own]
    return every
