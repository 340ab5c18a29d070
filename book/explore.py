"""The page "Explore": what the build writes for it, and the results that come with the book.

    explored.gathered → write → the site's data, figures, tables and Plotly, from which book/assets/explore draws

    python book/explore.py record --build-dir _build/quick    the results of executed notebooks, to be committed
    python book/explore.py remake                             all of book/results/explore/ again

The first one takes what is there, of whatever preset; the second one executes the notebooks of the page.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import plotly
import typer
import yaml
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from book.explored import COMMITTED, FIGURES, LIMITS, figure_alt, gathered, record_results  # noqa: E402
from lib.errors import OneLineError  # noqa: E402
from lib.plots.landscape import SIMILARITY_TICKS  # noqa: E402
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS  # noqa: E402
from lib.sweep.grid import read_yaml  # noqa: E402

#: The list of the runs whose results come with the book, beside them.
RUNS = "runs.yaml"

#: Plotly's name for each marker of matplotlib.
SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "d": "diamond-tall",
    "P": "cross",
    "X": "x",
    "*": "star",
}

# For the page


def look() -> dict[str, Any]:
    """Names, colours and markers of the figures, for Plotly; greys are inverted on dark pages."""

    def both(color: Any) -> dict[str, str]:
        rgb = to_rgb(color)
        return {"light": to_hex(rgb), "dark": to_hex([1 - part for part in rgb] if len(set(rgb)) == 1 else rgb)}

    methods = {
        method: {
            "name": name,
            "symbol": SYMBOLS[METHOD_MARKERS[method]],
            "size": 16 if method == "independent" else 9,
            "color": both(METHOD_COLORS[method]),
        }
        for method, name in METHOD_NAMES.items()
    }
    # Finer towards 1, as in `lib.plots.landscape.radial_maps`.
    colors = [[place, to_hex(colormaps["viridis"](place**3))] for place in np.linspace(0, 1, 21).round(2).tolist()]
    return {
        "methods": methods,
        "runs": [to_hex(color) for color in RUN_COLORS],
        "colors": colors,
        "ticks": SIMILARITY_TICKS,
        "limits": LIMITS,
    }


def write(root: Path, build_dir: Path, site: Path) -> None:
    """Put into the site what the page includes: data, the static figures and tables of this copy, and Plotly."""
    content = {"look": look(), "results": gathered(build_dir, root / COMMITTED)}
    generated = site / "generated"
    text = json.dumps(content, ensure_ascii=False)
    (generated / "explore.json").write_text(text, encoding="utf-8")
    inside = text.replace("<", r"\u003c")  # what begins a tag would end the element that this is in
    element = f'<script type="application/json" id="explore-data">{inside}</script>'
    (generated / "explore_data.md").write_text(f"```{{raw}} html\n{element}\n```\n", encoding="utf-8")
    for kind, (notebook, figure) in FIGURES.items():
        alt = figure_alt(build_dir, notebook, figure)
        image = f"```{{image}} ../figures/{figure}.png\n:alt: {alt}\n:width: 560px\n```\n"
        (generated / f"explore_{kind}_figure.md").write_text(image, encoding="utf-8")
        details = f"```{{raw}} html\n{_details(kind, content['results'][kind][0])}\n```\n"
        (generated / f"explore_{kind}_table.md").write_text(details, encoding="utf-8")
    library = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    shutil.copy(library, site / "book" / "assets" / "explore" / library.name)


def _details(kind: str, result: dict[str, Any]) -> str:
    """A result's numbers and its provenance, folded."""
    if kind == "plane":
        summary, data = "The points as a table", pd.DataFrame(result["points"])
        scales = ["–" if pd.isna(scale) else f"{float(f'{scale:.3g}'):g}" for scale in data["scale"]]
        data = data.assign(method=data["method"].map(METHOD_NAMES), scale=scales)
        data = data[["method", "scale", "accuracy", "diversity"]]
        data.columns = ["method", "scale", "test accuracy", "normalised diversity"]
    else:
        summary, title = "The map as a table", next(iter(result["maps"]))
        data = pd.DataFrame(result["maps"][title], columns=[f"{value:.0f}°" for value in np.degrees(result["angles"])])
        data.insert(0, "radius", result["radii"])
    origin = pd.DataFrame({"what": list(result["provenance"]), "value": list(result["provenance"].values())})
    return _folded(summary, data, "table") + _folded("Where this result comes from", origin, "provenance")


def _folded(summary: str, data: pd.DataFrame, name: str) -> str:
    classes = ["table", f"explore-{name}"]
    with pd.option_context("display.max_colwidth", None):  # pandas would cut long texts
        table = data.to_html(index=False, border=0, na_rep="–", float_format="{:.3f}".format, classes=classes)
    region = f'<div class="table-scroll" role="region" tabindex="0" aria-label="{escape(summary)}">{table}</div>'
    return f"<details><summary>{escape(summary)}</summary>{region}</details>"


# The command line

app = typer.Typer(add_completion=False)


@app.callback()
def main() -> None:
    """Results that come with the page Explore."""


@app.command()
def record(
    build_dir: Annotated[Path, typer.Option(help="Holds notebooks/ (executed) and claims/.")],
    output: Annotated[Path, typer.Option(help="Folder of the results that come with the book.")] = ROOT / COMMITTED,
) -> None:
    """Write the results of executed notebooks as those that come with the book."""
    try:
        for path in record_results(build_dir, output):
            print(path)
    except (OneLineError, ValueError) as error:
        sys.exit(str(error))


@app.command()
def remake(
    runs: Annotated[Path, typer.Option(help="YAML: a list of the notebooks' parameters.")] = ROOT / COMMITTED / RUNS,
    output: Annotated[Path, typer.Option(help="Folder of the results that come with the book.")] = ROOT / COMMITTED,
) -> None:
    """Execute the notebooks for every run of a list, and write their results; the run store keeps what was trained."""
    try:
        listed = read_yaml(runs)
    except OneLineError as error:
        sys.exit(str(error))
    if not isinstance(listed, list):
        sys.exit(f"{runs} must hold a list of parameters, got a {type(listed).__name__}")
    for parameters in listed:
        with tempfile.TemporaryDirectory() as folder:
            build_dir = Path(folder)
            given = build_dir / "params.yaml"
            given.write_text(yaml.safe_dump(parameters), encoding="utf-8")
            for notebook, _ in FIGURES.values():
                name = f"notebooks/{notebook}.ipynb"
                command = [
                    sys.executable,
                    ROOT / "book" / "execute.py",
                    ROOT / name,
                    build_dir / name,
                    "--params",
                    given,
                ]
                if code := subprocess.run(list(map(str, command))).returncode:
                    sys.exit(code)  # it has said why
            record(build_dir, output)


if __name__ == "__main__":
    app()
