"""The results of a sweep to look at, `index.html`, and to compute with, `results.csv`.

Sweep → write: one row a claim and cell; one panel a claim; the figures of all cells side by side
"""

import base64
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jinja2
import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

from lib.findings import claims
from lib.findings.criteria import CLAIMS
from lib.notebook.page import VERDICT_SIGNS
from lib.plots import sweep as plots
from lib.run.files import write_atomically
from lib.sweep.plan import UNNAMED, Cell, Sweep, value_text, varied

#: Cells whose figures are shown, how many beside one another, and pixels that one is wide: a page has to open on a
#: phone.
MOST_CELLS, MOST_COLUMNS, WIDTH = 48, 5, 900

#: The colours of panels, by the names that the page's style sheet has for them, in light and in dark.
THEME = {
    plots.INK: ("ink", "#e8eaed"),
    plots.GROUND: ("ground", "#1b1e23"),
    plots.MET: ("met", "#23332d"),
    **{
        color: (f"series-{number}", dark)
        for number, (color, dark) in enumerate(
            zip(plots.SERIES_COLORS, ("#62b5f2", "#ff9d63", "#45d0a2", "#ea94d9", "#d9c64e", "#b9c3cf"), strict=True)
        )
    },
}

#: Of `lib.plots.sweep.SERIES_DASHES` in the page's key.
KEY_DASHES = ("none", "6 3", "2 2", "6 2 2 2", "8 2 2 2 2 2", "2 5")

_Results = dict[Cell, list[claims.Result]]


def write(sweep: Sweep) -> None:
    """Write `results.csv` and `index.html` of the cells that are complete, each whole or not at all."""
    results = {cell: own for cell in sweep.cells if (own := sweep.results(cell)) is not None}
    write_atomically(sweep.folder / "results.csv", table(results).to_csv(index=False).encode())
    write_atomically(sweep.folder / "index.html", page(sweep, results).encode())


def table(results: _Results) -> pd.DataFrame:
    """One row a claim and cell: the cell, its parameters, and the numbers of `lib.findings.claims.numbers`."""
    judged = [(cell, one) for cell, own in results.items() for one in own]
    # In the order of claims, so that the cells of one stand together.
    judged.sort(key=lambda pair: list(CLAIMS).index(pair[1].claim.id))
    numbers = claims.numbers(one for _, one in judged)
    # What a claim's record says of itself, such as the architecture that a preset chose, stands for the parameter.
    names = dict.fromkeys(name for cell, _ in judged for name in cell.parameters)
    given = {
        name: [value_text(cell.given[name]) for cell, _ in judged]
        for name in names
        if name not in (*UNNAMED, *numbers.columns)
    }
    return pd.DataFrame({"cell": [cell.name for cell, _ in judged], **given}).join(numbers)


@dataclass(frozen=True)
class Layout:
    """Where cells stand in panels: along one parameter, with a series for each combination of the others."""

    label: str
    ticks: list[str]
    places: dict[Cell, int]
    series: list[str]
    _own: dict[Cell, str]

    @classmethod
    def of(cls, results: _Results, numbers: dict[Cell, int]) -> "Layout":
        """Along the parameter of most values; along the numbers of the cells where there are too many series."""
        cells = list(results)
        names = varied(cells)
        if names:
            values = {name: _distinct(cell.given[name] for cell in cells) for name in names}
            axis = max(names, key=lambda name: (len(values[name]), not isinstance(values[name][0], str)))
            rest = [name for name in names if name != axis]
            own = {cell: ", ".join(f"{name} = {value_text(cell.given[name])}" for name in rest) for cell in cells}
            ticks = list(map(value_text, values[axis]))
            places = {cell: ticks.index(value_text(cell.given[axis])) for cell in cells}
            layout = cls(axis, ticks, places, _series(results, own), own)
            if len(layout.series) <= len(plots.SERIES_COLORS):
                return layout
        ticks, own = [str(numbers[cell]) for cell in cells], dict.fromkeys(cells, "")
        places = {cell: place for place, cell in enumerate(cells)}
        return cls("number of the cell", ticks, places, _series(results, own), own)

    def series_of(self, cell: Cell, result: claims.Result) -> int:
        """The number of a result's series."""
        own = self._own[cell]
        return self.series.index(own if own in self.series else _joined(own, result.context["architecture"]))

    def order(self, cell: Cell) -> tuple[int, int]:
        """Where a cell stands beside the others: those that differ along the axis alone come together."""
        return list(dict.fromkeys(self._own.values())).index(self._own[cell]), self.places[cell]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers by their size, everything else in its order."""
    found = list({value_text(value): value for value in values}.values())
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    return sorted(found) if numbers else found


def _series(results: _Results, own: dict[Cell, str]) -> list[str]:
    """The names of all series: what cells say beside the axis, and the network where a cell compares several."""
    compares = any(len({one.context["architecture"] for one in several}) > 1 for several in results.values())
    names = {
        _joined(own[cell], one.context["architecture"] if compares else ""): None
        for cell, several in results.items()
        for one in several
    }
    return list(names)


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def page(sweep: Sweep, results: _Results) -> str:
    """The page as HTML that needs nothing else, and links to the executed notebooks."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lib"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    names = sweep.varied
    shared = {name: value for name, value in sweep.cells[0].parameters.items() if name not in (*names, *UNNAMED)}
    judged = {cell: own for cell, own in results.items() if own}
    numbers = {cell: number for number, cell in enumerate(sweep.cells, 1)}
    layout = Layout.of(judged, numbers) if judged else None
    counts = pd.Series([one.verdict for own in judged.values() for one in own], dtype=str).value_counts()
    shown = sorted(judged, key=layout.order)[:MOST_CELLS] if layout else list(results)[:MOST_CELLS]
    return environment.get_template("sweep.html").render(
        title=sweep.source.path.stem,
        theme={name: (light, dark) for light, (name, dark) in THEME.items()},
        counts=[(verdict, VERDICT_SIGNS[verdict], counts.get(verdict, 0)) for verdict in claims.VERDICTS],
        names=names,
        shared=[(name, value_text(value)) for name, value in shared.items()],
        cells=[_row(sweep, cell, names, results) for cell in sweep.cells],
        complete=len(results),
        series=layout.series if layout and len(layout.series) > 1 else [],
        dashes=KEY_DASHES,
        panels=list(_panels(judged, layout)) if layout else [],
        figures=_figures(sweep, shown),
        columns=min(MOST_COLUMNS, len(layout.ticks) if layout else len(shown)),
        left_out=len(results) - len(shown),
    )


def _row(sweep: Sweep, cell: Cell, names: list[str], results: _Results) -> dict[str, Any]:
    state = "complete" if cell in results else "failed" if cell.name in sweep.failures else "not executed"
    path = sweep.notebook(cell) if cell in results else sweep.failed(cell)
    link = f"notebooks/{quote(path.name)}" if path.exists() else ""
    values = [value_text(cell.given[name]) for name in names]
    return {"values": values, "state": state, "why": sweep.failures.get(cell.name, ""), "link": link, "name": cell.name}


def _panels(results: _Results, layout: Layout) -> Iterator[dict[str, Any]]:
    """A panel a claim: its picture, and the numbers in it."""
    by_claim: dict[str, list[tuple[Cell, claims.Result]]] = {}
    for cell, own in results.items():
        for one in own:
            by_claim.setdefault(one.claim.id, []).append((cell, one))
    for claim in sorted(by_claim, key=list(CLAIMS).index):
        places = [layout.places[cell] for cell, _ in by_claim[claim]]
        series = [layout.series_of(cell, one) for cell, one in by_claim[claim]]
        own = [one for _, one in by_claim[claim]]
        rows = [
            {"tick": layout.ticks[place], "series": layout.series[number], **row}
            for place, number, row in zip(places, series, claims.table(own).to_dict("records"), strict=True)
        ]
        said = "; ".join(f"{_joined(row['tick'], row['series'])}: {row['value']}, {row['verdict']}" for row in rows)
        yield {
            "claim": claim,
            "sentence": _capital(own[0].claim.sentence),
            "statistic": _capital(rows[0]["statistic"]),
            "criterion": rows[0]["criterion"].replace(" ", "\N{NO-BREAK SPACE}"),
            "label": layout.label,
            "rows": [row | {"interval": row["95 % interval"], "sign": VERDICT_SIGNS[row["verdict"]]} for row in rows],
            "image": _picture(own, places, series, layout),
            "alt": f"Values of {claim} by {layout.label}, with intervals; criterion {rows[0]['criterion']}. {said}.",
        }


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _picture(own: list[claims.Result], places: list[int], series: list[int], layout: Layout) -> str:
    """The panel as the address of an SVG image that follows the light or dark mode of its reader."""
    figure = plots.claim_over_cells(own, places, series, layout.ticks, layout.label)
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": own[0].claim.id}), io.StringIO() as file:
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        svg = file.getvalue()
    plt.close(figure)
    light = "".join(f"--{name}:{color};" for color, (name, _) in THEME.items())
    dark = "".join(f"--{name}:{color};" for name, color in THEME.values())
    for color, (name, _) in THEME.items():
        svg = svg.replace(color, f"var(--{name})")
    style = (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}text{{font-family:sans-serif!important}}"
    )
    svg = re.sub(r"(<svg [^>]*>)", rf"\1<style>{html.escape(style, quote=False)}</style>", svg, count=1)
    return _address("image/svg+xml", svg[svg.index("<svg") :].encode())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _figures(sweep: Sweep, cells: list[Cell]) -> list[dict[str, Any]]:
    """The figures of the notebook, each with its picture in every cell."""
    figures: dict[str, dict[str, Any]] = {}
    for number, cell in enumerate(cells):
        content = json.loads(sweep.notebook(cell).read_text(encoding="utf-8"))
        said = sweep.label(cell)
        for position, (described, image) in enumerate(_images(content["cells"])):
            own, alt = described.get("figure", {}), described.get("image", {}).get("alt", "")
            name = own.get("name", f"figure-{position + 1}")
            entry = figures.setdefault(name, {"caption": own.get("caption", name), "cells": []})
            one = {"id": f"{name}-{number + 1}", "said": said, "alt": f"{said}: {alt or name}"}
            with suppress(OSError, ValueError):  # a picture that is damaged is left out
                entry["cells"].append(one | {"image": _thumbnail(image)})
    return list(figures.values())


def _images(cells: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """What the notebook says of each of its figures, and the PNG in base64."""
    for cell in cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                yield cell["metadata"].get("mystnb", {}), "".join(output["data"]["image/png"])


def _thumbnail(png: str) -> str:
    """The address of a picture, no wider than `WIDTH`, in a few kilobytes."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as image, io.BytesIO() as file:
        image.thumbnail((WIDTH, 4 * WIDTH))
        image.convert("RGB").save(file, "WEBP", quality=80, method=4)
        return _address("image/webp", file.getvalue())
