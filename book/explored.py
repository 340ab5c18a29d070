"""Results of the page "Explore": each of one network on one dataset, from executed notebooks.

The page shows those of the reference run, and after them those of this build.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd

from book import figures
from book.reference import KEPT
from book.verdicts import read_results
from lib.plots.downloads import CSV

#: The figure behind each view: notebook, and name of the figure.
FIGURES = {"plane": ("04_diversity", "diversity-plane"), "radial": ("05_radial", "radial-maps")}


@dataclass
class Explored:
    """One result: the data behind a figure of one network, as attached by `lib.plots`, and where it comes from."""

    kind: str
    dataset: str
    architecture: str
    source: str
    table: pd.DataFrame


def executed(folder: Path, kind: str, source: str) -> list[Explored]:
    """Results of a kind in `FIGURES` below a folder with notebooks/ and claims/, one per network, if there are any."""
    notebook, figure = FIGURES[kind]
    path = folder / "notebooks" / f"{notebook}.ipynb"
    drawn = figures.figures(nbformat.read(path, as_version=4)) if path.exists() else ()
    # The reference run keeps no large data.
    data = [output.data[CSV] for name, _, output in drawn if name == figure and CSV in output.data]
    if not data:
        return []
    table = pd.read_csv(io.StringIO(data[0]))
    runs = {result.context["architecture"]: result.context for result in read_results(folder / "claims" / notebook)}
    panels = dict(list(table.groupby("panel", sort=False))) if "panel" in table else dict.fromkeys(runs, table)
    return [Explored(kind, runs[name]["dataset"], name, source, own) for name, own in panels.items()]


def gathered(root: Path, build_dir: Path) -> dict[str, list[Explored]]:
    """All results by kind; those of the reference run come first."""
    return {
        kind: executed(root / KEPT, kind, "reference run") + executed(build_dir, kind, "this build") for kind in FIGURES
    }
