"""Figures 5 and S1: the plane of two optima in polar form."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import FuncNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from lib.plots.downloads import crossed, numbers, stacked, with_data
from lib.plots.style import INK, METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS, RUN_MARKERS

#: Every patch of a fan is drawn as this many narrower ones, so that its edges are arcs to the eye.
ARC_PIECES = 6

#: What lies on a map has a white rim, as a map has every colour.
RIM = (withStroke(linewidth=3.5, foreground="white"),)

#: In nats, the least that a logarithmic map of losses tells apart from zero.
SMALLEST_LOSS = 1e-4

#: Ticks of `towards_one` and `_towards_zero`.
SIMILARITY_TICKS, DIFFERENCE_TICKS = (0, 0.5, 0.7, 0.8, 0.9, 1), (0, 0.1, 0.2, 0.3, 0.5, 1)


def towards_one() -> FuncNorm:
    """Colours of fractions, finer towards 1: good networks differ little in accuracy and in what they predict."""
    return FuncNorm((lambda x: x**3, np.cbrt), 0, 1)


def _towards_zero() -> FuncNorm:
    """The same for fractions of which good networks have little: errors, and labels that differ."""
    return FuncNorm((lambda x: 1 - (1 - x) ** 3, lambda y: 1 - np.cbrt(1 - y)), 0, 1)


def edges(centers: np.ndarray) -> np.ndarray:
    """The borders of cells around increasing centers, `(n,)` to `(n + 1,)`, the outer ones half a step beyond."""
    between = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - between[0]], between, [2 * centers[-1] - between[-1]]])


def _fan(
    axes: Axes, radii: np.ndarray, angles: np.ndarray, values: np.ndarray, norm: Normalize, colors: str
) -> QuadMesh:
    """One map `(R, A)` as patches of a polar grid; angle 0 points right and π/2 up."""
    r, phi = np.maximum(edges(radii), 0)[:, None], edges(angles)
    pieces = np.arange(len(angles) * ARC_PIECES + 1) / ARC_PIECES
    phi = np.interp(pieces, np.arange(len(phi)), phi)
    cells = np.repeat(values, ARC_PIECES, axis=1)
    mesh = axes.pcolormesh(r * np.cos(phi), r * np.sin(phi), cells, norm=norm, cmap=colors, rasterized=True)
    corners = 1.02 * r[-1, 0] * np.array([min(0, np.sin(phi[0]), np.cos(phi[-1])), 1])
    axes.set(xticks=[0, 1, 2], yticks=[0, 1, 2], xlim=corners, ylim=corners, aspect="equal")
    sns.despine(ax=axes)
    return mesh


def star(axes: Axes, run: int, place: Sequence[float], size: float) -> None:
    """The optimum of a run, counted from 0."""
    look = {"color": RUN_COLORS[run % 10], "marker": "*", "markeredgecolor": INK, "markeredgewidth": 0.9}
    axes.plot(*place, linestyle="none", **look, markersize=size, zorder=5, clip_on=False)


def run_names(runs: Sequence[int]) -> list[str]:
    """Runs, counted from 0, as a reader counts them."""
    return [f"run {run + 1}" for run in runs]


def _on_grid(radii: np.ndarray, angles: np.ndarray, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Maps `(R, A)` as a table."""
    return crossed({"radius": radii, "angle (radians)": angles}, values)


def radial_maps(
    radii: np.ndarray,
    angles: np.ndarray,
    maps: Mapping[str, np.ndarray],
    runs: Sequence[int],
    paths: Sequence[np.ndarray],
    samples: Sequence[np.ndarray],
    method: str,
    exaggeration: float,
) -> Figure:
    """Fig. 5: quantities from 0 to 1 in the plane of the origin and two optima, with what the runs did in it.

    Args:
        radii: `(R,)`, 1 at the optima.
        angles: `(A,)`, in radians, 0 at the first optimum and π/2 at the second.
        maps: three, each `(R, A)`, by their titles.
        runs: the two runs, counted from 0.
        paths: projections of each run's checkpoints, from its first weights to its optimum, two `(T, 2)`.
        samples: places of the samples of each run, two `(N, 2)`.
        method: of the samples, of `METHOD_NAMES`.
        exaggeration: how many times too far from their center the samples are drawn; for the legend.
    """
    figure, grid = plt.subplots(2, 2, figsize=(6.8, 6.8), sharex=True, sharey=True)
    *panels, beside = grid[0, 0], grid[1, 0], grid[1, 1], grid[0, 1]
    dots = {"marker": METHOD_MARKERS[method], "color": METHOD_COLORS[method], "markeredgecolor": "white"}
    dots |= {"linestyle": "none", "markersize": 5, "markeredgewidth": 0.5}
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        mesh = _fan(axes, radii, angles, values, towards_one(), "viridis")
        for run, path, own, place in zip(runs, paths, samples, np.eye(2), strict=True):
            color = RUN_COLORS[run % 10]
            axes.plot(*own.T, **dots)
            axes.plot(*path.T, color=color, linewidth=2, path_effects=RIM)
            axes.plot(*path[0], "o", color="white", markeredgecolor=color, markersize=7, markeredgewidth=1.8)
            star(axes, run, place, 13)
        axes.set_title(title)
    first, second = run_names(runs)
    for axes in panels[1:]:
        axes.set_xlabel(f"share of {first}'s solution")
    for axes in panels[:2]:
        axes.set_ylabel(f"share of {second}'s solution")
    beside.set_axis_off()
    hollow = {"linestyle": "none", "color": "white", "markeredgecolor": INK}
    handles = [
        Line2D([], [], color=RUN_COLORS[run % 10], linewidth=2, label=name)
        for run, name in zip(runs, run_names(runs), strict=True)
    ]
    handles.append(Line2D([], [], **hollow, marker="o", label="first weights"))
    handles.append(Line2D([], [], **hollow, marker="*", markersize=14, label="final solution"))
    handles.append(
        Line2D([], [], **dots | {"markersize": 8}, label=f"{METHOD_NAMES[method]},\n{exaggeration:g} times as far")
    )
    beside.legend(handles=handles, loc="upper left", borderaxespad=0)
    label = "fraction of test images"
    figure.colorbar(mesh, ax=beside, location="bottom", aspect=14, fraction=0.1, ticks=SIMILARITY_TICKS, label=label)
    shares = [f"share of {name}'s solution" for name in (first, second)]
    tables = {"map": _on_grid(radii, angles, maps)}
    for name, path in zip((first, second), paths, strict=True):
        tables[name] = crossed({"epoch": range(len(path))}, dict(zip(shares, path.T, strict=True)))
    for name, own in zip((first, second), samples, strict=True):
        columns = {"times as far": np.full(len(own), exaggeration), **dict(zip(shares, own.T, strict=True))}
        tables[f"{METHOD_NAMES[method]}, {name}"] = crossed({"sample": numbers(len(own))}, columns)
    return with_data(figure, stacked(tables, "series"))


def radial_surfaces(
    radii: np.ndarray,
    angles: np.ndarray,
    losses: Sequence[np.ndarray],
    fractions: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str],
    runs: Sequence[int],
) -> Figure:
    """Fig. S1: loss, and fractions of which good networks have little, in the plane of two optima.

    Args:
        radii: as in `radial_maps`.
        angles: as there.
        losses: in nats, one map `(R, A)` a column; the colours are logarithmic.
        fractions: one row each, by the label of its colours; each has a map `(R, A)` a column.
        columns: on which images.
        runs: the two runs, counted from 0.
    """
    least, most = (max(reach(losses), SMALLEST_LOSS) for reach in (np.min, np.max))
    rows = [("loss (nats)", losses, LogNorm(least, most), None)]
    rows += [(label, values, _towards_zero(), DIFFERENCE_TICKS) for label, values in fractions.items()]
    figure, grid = plt.subplots(len(rows), len(columns), figsize=(6.8, 2.9 * len(rows)), sharex=True, sharey=True)
    for panels, (label, values, norm, ticks) in zip(grid, rows, strict=True):
        for axes, one in zip(panels, values, strict=True):
            mesh = _fan(axes, radii, angles, np.maximum(one, norm.vmin), norm, "viridis_r")
            for run, place in zip(runs, np.eye(2), strict=True):
                star(axes, run, place, 13)
        figure.colorbar(mesh, ax=panels, label=label, ticks=ticks, aspect=14)
        panels[0].set_ylabel(run_names(runs)[1])
    for axes, title in zip(grid[0], columns, strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel(run_names(runs)[0])
    tables = {}
    for column, title in enumerate(columns):
        tables[title] = _on_grid(radii, angles, {label: values[column] for label, values, *_ in rows})
    return with_data(figure, stacked(tables, "images"))


def ray_profiles(
    radii: np.ndarray, values: Mapping[str, np.ndarray], runs: Sequence[int], band: tuple[float, float]
) -> Figure:
    """Quantities along the rays of two optima, one panel each.

    Args:
        radii: `(R,)`, 1 at the optima.
        values: by the label of its axis, `(2, R)` each.
        runs: the two runs, counted from 0.
        band: of radii, shaded.
    """
    figure, panels = plt.subplots(len(values), 1, figsize=(6.4, 2.9 * len(values)), sharex=True, squeeze=False)
    for axes, (label, both) in zip(panels[:, 0], values.items(), strict=True):
        axes.axvspan(*band, color=INK, alpha=0.2, linewidth=0)
        axes.axvline(1, color=INK, linewidth=1)
        for run, own in zip(runs, both, strict=True):
            look = {"color": RUN_COLORS[run % 10], "marker": RUN_MARKERS[run % 10]}
            axes.plot(radii, own, **look, markersize=5, label=f"ray of run {run + 1}")
        axes.set(ylabel=label, ylim=(0, None))
    axes.set_xlabel("radius (1: final solution)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    sns.despine(figure)
    return with_data(figure, crossed({"ray of run": [run + 1 for run in runs], "radius": radii}, values))
