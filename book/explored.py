"""Results of the page "Explore": of one network on one dataset each, from executed notebooks or committed as JSON.

    executed notebooks → figure_data → plane, radial → record_results → book/results/explore/*.json → read_committed

What the page shows are those of this copy of the book, and beside them the committed ones of other networks and data.
"""

import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from nbformat import NotebookNode

from book import figures
from lib.errors import OneLineError
from lib.findings.claims import read_results
from lib.models.networks import ARCHITECTURES
from lib.notebook.page import keys_row
from lib.plots.diversity import ACROSS, UP
from lib.plots.downloads import CSV
from lib.plots.style import METHOD_NAMES
from lib.run.files import write_atomically

#: The figure behind each view: notebook, and name of the figure.
FIGURES = {"plane": ("04_diversity", "diversity-plane"), "radial": ("05_radial", "radial-maps")}

#: Results that come with the book, below its root.
COMMITTED = Path("book/results/explore")

#: Which dash each limit of the plane has, in Plotly's words.
LIMITS = {"limit: independent errors": "dash", "limit: flipped labels": "dot"}

#: Of the hundred points of a limit's curve, every third is enough for the eye.
CURVE_STEP = 3


class ExploreError(OneLineError):
    """A result that cannot be read; the message is one line."""


# From executed notebooks


def figure_data(build_dir: Path, notebook: str, figure: str) -> pd.DataFrame:
    """The table behind a named figure of an executed notebook, as `lib.plots` has attached it."""
    _, output = _figure(build_dir, notebook, figure)
    return pd.read_csv(io.StringIO(output.data[CSV]))


def figure_alt(build_dir: Path, notebook: str, figure: str) -> str:
    """What a named figure says to those who cannot see it."""
    cell, _ = _figure(build_dir, notebook, figure)
    return cell.metadata.mystnb.image.alt


def _figure(build_dir: Path, notebook: str, figure: str) -> tuple[NotebookNode, NotebookNode]:
    path = build_dir / "notebooks" / f"{notebook}.ipynb"
    content = _read(path)
    for problem in figures.problems(content):
        raise ExploreError(f"{path}: {problem}")
    for name, cell, output in figures.figures(content):
        if name == figure:
            return cell, output
    raise ExploreError(f"{path}: there is no figure {figure!r}")


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, OSError) as error:
        raise ExploreError(f"{path} cannot be read ({str(error).splitlines()[0]}): execute it first") from None


def provenance(build_dir: Path, notebook: str, architecture: str) -> dict[str, str]:
    """The rows of a notebook's last table that concern one network: what it says of where its results come from."""
    path = build_dir / "notebooks" / f"{notebook}.ipynb"
    pages = (output["data"].get("text/html", "") for output in _outputs(_read(path)))
    table = next((soup.table for soup in map(_soup, pages) if soup.select_one("table.provenance")), None)
    if table is None:
        raise ExploreError(f"{path}: there is no provenance: execute the notebook again")
    rows = [[cell.get_text(strip=True) for cell in row.find_all("td")] for row in table.tbody.find_all("tr")]
    others = {keys_row(name) for name in ARCHITECTURES if name != architecture}
    return {name: text for name, text in rows if name not in others}


def _outputs(notebook: NotebookNode) -> Iterator[dict[str, Any]]:
    return (output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output)


_soup = partial(BeautifulSoup, features="html.parser")


# Results


def results(build_dir: Path, kind: str) -> list[dict[str, Any]]:
    """Those of the executed notebooks, of a kind of `FIGURES`: one a network, in the notebook's order."""
    notebook, figure = FIGURES[kind]
    data = figure_data(build_dir, notebook, figure)
    contexts = [result.context for result in read_results(build_dir / "claims" / notebook)]
    runs = {context["architecture"]: context for context in contexts}
    panels = dict(list(data.groupby("panel", sort=False))) if kind == "plane" else dict.fromkeys(runs, data)
    return [
        {
            "kind": kind,
            "dataset": runs[name]["dataset"],
            "architecture": name,
            "preset": runs[name]["preset"],
            "provenance": provenance(build_dir, notebook, name),
            **(plane(panel) if kind == "plane" else radial(panel)),
        }
        for name, panel in panels.items()
    ]


def plane(data: pd.DataFrame) -> dict[str, Any]:
    """One panel of the diversity–accuracy plane: the base's accuracy, every network, and the curves of the limits."""
    series = {name: own for name, own in data.groupby("series", sort=False)}
    points = [
        # The base is run 1, so that independent solutions count from 2.
        {"method": method, "scale": scale, "accuracy": x, "diversity": y}
        | ({"run": number} if method == "independent" else {})
        for method, name in METHOD_NAMES.items()
        if name in series
        for number, (scale, x, y) in enumerate(_numbers(series[name][["scale", ACROSS, UP]]), 2)
    ]
    curves = {name: _numbers(series[name][[ACROSS, UP]].iloc[::CURVE_STEP]) for name in LIMITS if name in series}
    return {
        "base_accuracy": _numbers(series["base solution"][[ACROSS]])[0][0],
        "points": points,
        "limits": {
            name: dict(zip(("accuracy", "diversity"), map(list, zip(*curve, strict=True)), strict=True))
            for name, curve in curves.items()
        },
    }


def radial(data: pd.DataFrame) -> dict[str, Any]:
    """The radial cut: its grid, the maps `[radius][angle]` by title, and the two runs' paths in the plane."""
    grid = data[data["series"] == "map"].dropna(axis="columns", how="all")
    radius, angle = "radius", "angle (radians)"
    titles = [name for name in grid.columns if name not in ("series", radius, angle)]
    maps = {title: grid.pivot_table(index=radius, columns=angle, values=title) for title in titles}
    first = maps[titles[0]]
    runs = {name: int(name.split()[-1]) for name in data["series"].unique() if re.fullmatch(r"run \d+", name)}
    shares = [f"share of {name}'s solution" for name in runs]
    return {
        "radii": _rounded(first.index),
        "angles": _rounded(first.columns),
        "maps": {title: _numbers(values) for title, values in maps.items()},
        "runs": list(runs.values()),
        "paths": [_numbers(data.loc[data["series"] == name, shares]) for name in runs],
    }


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Four digits that count, which is more than a screen shows; None for nan, which JSON lacks."""
    return [None if np.isnan(value) else float(f"{value:.4g}") for value in values]


def _numbers(data: pd.DataFrame) -> list[list[float | None]]:
    """The rows of a table of numbers."""
    return [_rounded(row) for row in data.to_numpy(dtype=float)]


# The committed ones


def read_committed(folder: Path) -> list[dict[str, Any]]:
    """Results that come with the book, by kind, dataset and network; `ExploreError` with the name of a broken file."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            needed = {"kind", "dataset", "architecture", "preset", "provenance"}
            needed |= {"points", "limits", "base_accuracy"} if result["kind"] == "plane" else {"maps", "paths", "runs"}
            if missing := needed - set(result):
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            if path.name != file_name(result):
                raise ValueError(f"its name would be {file_name(result)}")
        except (ValueError, KeyError, TypeError) as error:
            raise ExploreError(f"{path}: not a result of the page Explore ({error})") from None
        found.append(result)
    return found


def file_name(result: dict[str, Any]) -> str:
    """Where a result is committed."""
    return "-".join(str(result[name]) for name in ("kind", "dataset", "architecture")) + ".json"


def record_results(build_dir: Path, folder: Path) -> list[Path]:
    """Write the results of a build folder's notebooks, a file each; those of the same network and data are replaced."""
    made = {folder / file_name(result): result for kind in FIGURES for result in results(build_dir, kind)}
    for path, result in made.items():
        lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in result.items()]
        write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return list(made)


def gathered(build_dir: Path, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Kind → results: those of this copy first, then the committed ones of other networks or data."""
    committed = read_committed(folder)
    every = {}
    for kind in FIGURES:
        here = [result | {"here": True} for result in results(build_dir, kind)]
        own = {file_name(result) for result in here}
        others = [result for result in committed if result["kind"] == kind and file_name(result) not in own]
        every[kind] = here + [result | {"here": False} for result in others]
    return every
