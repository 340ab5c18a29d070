"""The page "Explore": plotly figures, written as JSON, which book/assets/explore/explore.js shows with their menus.

explored.gathered → plane, radial → write → the site's parts of the page, and plotly.js
"""

import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from scipy.interpolate import RegularGridInterpolator

from book.explored import FIGURES, Explored, gathered
from lib.plots.diversity import ACROSS, UP
from lib.plots.radial import SIMILARITY_TICKS
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS

#: Colours of the light or dark page, resolved by the script.
TEXT, MUTED, GRID, PAGE, RAISED = (
    f"var(--pst-color-{name})" for name in ("text-base", "text-muted", "border", "background", "surface")
)

#: Plotly's name and a text symbol for each matplotlib marker.
MARKERS = {
    "o": ("circle", "●"),
    "s": ("square", "■"),
    "^": ("triangle-up", "▲"),
    "v": ("triangle-down", "▼"),
    "D": ("diamond", "◆"),
    "d": ("diamond-tall", "♦"),
    "P": ("cross", "✚"),
    "X": ("x", "✖"),
    "*": ("star", "★"),
}

#: Range of accuracy below the base that counts as close to it; lower end of the axis, to show the base's whole mark.
NEAR, LOWEST = 0.06, -0.06

#: Camera positions for the radial cut: from beyond the far corner of the quarter plane, or from elsewhere.
VIEWS = {
    "from the far corner": {"eye": {"x": 1.4, "y": 1.4, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.15}},
    "along the first run": {"eye": {"x": 2, "y": 0.5, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.15}},
    "along the second run": {"eye": {"x": 0.5, "y": 2, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.15}},
    "from above": {"eye": {"x": 0, "y": 0, "z": 2.2}, "up": {"x": 0, "y": 1, "z": 0}},
}

#: Height of lines above the surface, which would otherwise hide half of each line.
ABOVE = 0.02


# Figures


def layout(**more: Any) -> go.Layout:
    """The layout that both figures share, in the colours of the page."""
    font = {"color": TEXT, "size": 14}
    label = {"align": "left", "bgcolor": RAISED, "bordercolor": MUTED, "font": font}
    common = {"template": go.layout.Template(), "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    return go.Layout(
        **common, font=font, hoverlabel=label, hovermode="closest", showlegend=False, dragmode=False, **more
    )


def menu(name: str, method: str, choices: dict[str, dict]) -> dict:
    """A menu whose choices call a plotly method; the first choice is the initial state of the figure."""
    return {"name": name, "buttons": [{"label": text, "method": method, "args": [a]} for text, a in choices.items()]}


def color_of(color: Any) -> str:
    """A matplotlib colour for plotly; greys become colours of the page."""
    rgb = to_rgb(color)
    if len({round(part, 2) for part in rgb}) > 1:
        return to_hex(rgb)
    return TEXT if rgb[0] < 0.2 else MUTED


def plane(table: pd.DataFrame) -> go.Figure:
    """Figure 6: every series of the plane, with its text symbol as `meta`."""
    methods = {name: method for method, name in METHOD_NAMES.items()} | {"base solution": "single"}
    traces, numbers = [], "test accuracy %{x:.3f}<br>normalised diversity %{y:.3f}<extra></extra>"
    for name, own in table.groupby("series", sort=False):
        common = {"name": name, "x": own[ACROSS].tolist(), "y": own[UP].tolist()}
        if name not in methods:
            dash, sign = ("dash", "╌") if "independent" in name else ("dot", "┈")
            line = {"color": MUTED, "dash": dash}
            look = {"mode": "lines", "line": line, "hovertemplate": f"{name}<br>{numbers}", "meta": sign}
        else:
            method = methods[name]
            symbol, sign = MARKERS["X" if name == "base solution" else METHOD_MARKERS[method]]
            size = {"independent": 16, "single": 12}.get(method, 9)
            marker = {"symbol": symbol, "size": size, "color": color_of(METHOD_COLORS[method])}
            marker["line"] = {"color": PAGE, "width": 1}
            # The base is run 1, so independent solutions count from 2.
            text = [f"scale {scale:.3g}" for scale in own.get("scale", pd.Series(dtype=float)).dropna()]
            text = [f"run {number}" for number in range(2, 2 + len(own))] if method == "independent" else text
            said = f"{name}<br>%{{text}}<br>{numbers}" if text else f"{name}<br>{numbers}"
            look = {"mode": "markers", "marker": marker, "text": text, "hovertemplate": said, "meta": sign}
        traces.append(go.Scatter(**common, **look))
    networks = table[table["series"].isin(methods)]
    base = table.loc[table["series"] == "base solution", ACROSS].item()
    near = networks[networks[ACROSS] > base - NEAR]
    ranges = {
        "the whole plane": {"xaxis.autorange": True, "yaxis.range": [LOWEST, networks[UP].max() * 1.06]},
        "close to the base": {
            "xaxis.range": [base - NEAR, near[ACROSS].max() + 0.005],
            "yaxis.range": [LOWEST, max(0.2, near[UP].max()) + 0.1],
        },
    }
    axis = {"gridcolor": GRID, "linecolor": MUTED, "zeroline": False, "fixedrange": True}
    return go.Figure(
        traces,
        layout(
            xaxis={"title": ACROSS, **axis},
            yaxis={"title": UP, "range": ranges["the whole plane"]["yaxis.range"], **axis},
            margin={"l": 58, "r": 12, "t": 12, "b": 52},
            updatemenus=[menu("Range", "relayout", ranges)],
        ),
    )


def radial(table: pd.DataFrame) -> go.Figure:
    """Figure 5 as a landscape: one surface over the plane per quantity, with the paths of the two runs."""
    grid = table[table["series"] == "map"].dropna(axis="columns", how="all")
    quantities = [name for name in grid.columns if name not in ("panel", "series", "radius", "angle (radians)")]
    runs = [name for name in table["series"].unique() if name.startswith("run ")]
    shares = [f"share of {run}'s solution" for run in runs]
    traces, kinds = [], []
    for quantity in quantities:
        heights = grid.pivot_table(index="radius", columns="angle (radians)", values=quantity)
        made = [_surface(heights, quantity, shares)]
        for run, end in zip(runs, np.eye(2), strict=True):
            path = table.loc[table["series"] == run, shares].to_numpy(dtype=float)
            made += _path(heights, quantity, run, np.vstack([path, end]))
        traces += made
        kinds += [quantity] * len(made)
    for trace, kind in zip(traces, kinds, strict=True):
        trace.visible = kind == quantities[0]
    side = {"color": TEXT, "gridcolor": GRID, "backgroundcolor": PAGE, "showbackground": True, "nticks": 4}
    scene = {
        "xaxis": {"title": runs[0], **side},
        "yaxis": {"title": runs[1], **side},
        "zaxis": {"title": "", "range": [0, 1.05], **side},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": 0.6},
        "dragmode": "orbit",
        "domain": {"y": [0.15, 1]},
        "camera": next(iter(VIEWS.values())),
    }
    shown = {quantity: {"visible": [kind == quantity for kind in kinds]} for quantity in quantities}
    views = {name: {"scene.camera": {"up": {"x": 0, "y": 0, "z": 1}} | camera} for name, camera in VIEWS.items()}
    menus = [menu("Height", "restyle", shown), menu("View", "relayout", views)]
    return go.Figure(traces, layout(scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0}, updatemenus=menus))


def _surface(heights: pd.DataFrame, quantity: str, shares: list[str]) -> go.Surface:
    radii, angles = np.meshgrid(heights.index, heights.columns, indexing="ij")
    # Finer towards 1, as in `lib.plots.radial.radial_maps`.
    colors = [[place, to_hex(colormaps["viridis"](place**3))] for place in np.linspace(0, 1, 21).round(2).tolist()]
    bar = {"orientation": "h", "len": 0.9, "thickness": 12, "x": 0.5, "y": 0, "yanchor": "bottom", "outlinewidth": 0}
    return go.Surface(
        x=(radii * np.cos(angles)).round(4).tolist(),
        y=(radii * np.sin(angles)).round(4).tolist(),
        z=heights.to_numpy().tolist(),
        cmin=0,
        cmax=1,
        colorscale=colors,
        colorbar={"title": {"text": quantity, "side": "top"}, "tickvals": SIMILARITY_TICKS[::2], **bar},
        lighting={"ambient": 0.85, "diffuse": 0.3, "specular": 0.05},
        contours={axis: {"highlight": False} for axis in "xyz"},
        hovertemplate=f"{shares[0]} %{{x:.2f}}<br>{shares[1]} %{{y:.2f}}<br>{quantity} %{{z:.3f}}<extra></extra>",
    )


def _path(heights: pd.DataFrame, quantity: str, run: str, places: np.ndarray) -> list[go.Scatter3d]:
    """A run's path over a surface, from its first weights to its solution, the last of the places."""
    height = RegularGridInterpolator((heights.index, heights.columns), heights.to_numpy())
    x, y = places.T
    inside = [
        np.clip(values, axis.min(), axis.max())
        for values, axis in ((np.hypot(x, y), heights.index), (np.arctan2(y, x), heights.columns))
    ]
    z = height(np.stack(inside, axis=-1)) + ABOVE
    color = to_hex(RUN_COLORS[(int(run.removeprefix("run ")) - 1) % len(RUN_COLORS)])
    line = go.Scatter3d(x=x, y=y, z=z, mode="lines", line={"color": color, "width": 8}, hoverinfo="skip")
    dots = []
    for place, symbol, text in ((0, "circle", "first weights"), (-1, "diamond", "final solution")):
        marker = {"symbol": symbol, "size": 7, "color": color, "line": {"color": "#fff", "width": 1}}
        said = f"{run}: {text}<br>{quantity} {z[place] - ABOVE:.3f}<extra></extra>"
        ends = {"x": [x[place]], "y": [y[place]], "z": [z[place] + ABOVE / 2]}
        dots.append(go.Scatter3d(**ends, mode="markers", marker=marker, hovertemplate=said))
    return [line, *dots]


# The page


def write(root: Path, build_dir: Path, site: Path) -> None:
    """Write what the page includes into the site: each result with its figure and numbers, and plotly.js."""
    for kind, results in gathered(root, build_dir).items():
        file = f"../figures/{FIGURES[kind][1]}.png"
        image = f":::{{container}} explore-figure\n```{{image}} {file}\n:alt: {sentence(results[0])}\n```\n:::\n"
        parts = "".join(part(result) for result in results)
        text = f"{image}\n```{{raw}} html\n{parts}\n```\n"
        (site / "generated" / f"explore_{kind}.md").write_text(text, encoding="utf-8")
    library = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    shutil.copy(library, site / "book" / "assets" / "explore" / library.name)


def part(result: Explored) -> str:
    """One result as HTML: description, figure as JSON, and, folded, its numbers."""
    name = f"{result.architecture} on {result.dataset}, {result.source}"
    make = {"plane": plane, "radial": radial}[result.kind]
    # A tag in the JSON would end the enclosing element.
    figure = make(result.table).to_json().replace("<", r"\u003c")
    data = result.table.drop(columns="panel", errors="ignore")
    data = data[~data["series"].str.contains("limit|, run")].dropna(axis="columns", how="all")
    return (
        f'<section class="explore-result" data-name="{escape(name)}"><p>{sentence(result)}</p>'
        f'<script type="application/json">{figure}</script>{_folded("The numbers as a table", data)}</section>\n'
    )


def sentence(result: Explored) -> str:
    """A description of a result in words."""
    shown = {
        "plane": "how accurate its networks are, and how much they disagree with one of them",
        "radial": "how each quantity rises and falls in the plane of two solutions",
    }
    return escape(f"{result.architecture} on {result.dataset} ({result.source}): {shown[result.kind]}.")


def _folded(summary: str, data: pd.DataFrame) -> str:
    with pd.option_context("display.max_colwidth", None):  # pandas would truncate long texts
        table = data.to_html(index=False, border=0, na_rep="–", float_format="{:.3f}".format, classes="table")
    region = f'<div class="table-scroll" role="region" tabindex="0" aria-label="{escape(summary)}">{table}</div>'
    return f"<details><summary>{escape(summary)}</summary>{region}</details>"
