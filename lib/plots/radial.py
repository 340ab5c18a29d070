"""Figures 5 and S1: the plane of two optima in polar form."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import FuncNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from lib.plots.downloads import crossed, stacked, with_data
from lib.plots.style import INK, column_of_panels, ends_of_runs, legend_below, method_look, run_look, run_names, star

#: Lines on a map have a white rim, as a map has every colour.
RIM = (withStroke(linewidth=3.5, foreground="white"),)

#: The smallest loss, in nats, that a logarithmic map distinguishes from zero.
SMALLEST_LOSS = 1e-4

#: Colour-bar ticks for `towards_one` and `_towards_zero`.
SIMILARITY_TICKS, DIFFERENCE_TICKS = (0, 0.5, 0.7, 0.8, 0.9, 1), (0, 0.1, 0.2, 0.3, 0.5, 1)


def towards_one() -> FuncNorm:
    """A colour norm for fractions, finer towards 1: good networks differ little in accuracy and predictions."""
    return FuncNorm((lambda x: x**3, np.cbrt), 0, 1)


def _towards_zero() -> FuncNorm:
    """A colour norm for fractions that are small for good networks: errors, and labels that differ."""
    return FuncNorm((lambda x: 1 - (1 - x) ** 3, lambda y: 1 - np.cbrt(1 - y)), 0, 1)


def edges(centers: np.ndarray) -> np.ndarray:
    """The edges of cells around increasing centers, `(n,)` to `(n + 1,)`; the outer ones are half a step beyond."""
    between = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - between[0]], between, [2 * centers[-1] - between[-1]]])


def _fan(
    axes: Axes, radii: np.ndarray, angles: np.ndarray, values: np.ndarray, norm: Normalize, colors: str
) -> QuadMesh:
    """Draw one map `(R, A)` as patches of a polar grid; angle 0 points right and π/2 up.

    Each patch is drawn as 6 narrower ones, so that its edges look like arcs.
    """
    r, phi = np.maximum(edges(radii), 0)[:, None], edges(angles)
    phi = np.interp(np.arange(len(angles) * 6 + 1) / 6, np.arange(len(phi)), phi)
    cells = np.repeat(values, 6, axis=1)
    mesh = axes.pcolormesh(r * np.cos(phi), r * np.sin(phi), cells, norm=norm, cmap=colors, rasterized=True)
    corners = 1.02 * r[-1, 0] * np.array([min(0, np.sin(phi[0]), np.cos(phi[-1])), 1])
    axes.set(xticks=[0, 1, 2], yticks=[0, 1, 2], xlim=corners, ylim=corners, aspect="equal")
    return mesh


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
    """Fig. 5: quantities from 0 to 1 in the plane of the origin and two optima, with paths and samples of the `runs`.

    The three `maps (R, A)` are by title; `radii (R,)` are 1 at the optima, `angles (A,)`, in radians, are 0 at the
    first optimum and π/2 at the second. For each run, counted from 0, `paths (T, 2)` are projections of its
    checkpoints, from first weights to optimum, and `samples (N, 2)` are positions of its samples by `method`, one of
    `METHOD_NAMES`, drawn `exaggeration` times too far from their center.
    """
    figure, grid = plt.subplots(2, 2, figsize=(6.8, 6.8), sharex=True, sharey=True)
    panels, beside = (grid[0, 0], grid[1, 0], grid[1, 1]), grid[0, 1]
    names = run_names(runs)
    shares = [f"share of {name}'s solution" for name in names]
    dots = method_look(method)
    samples_of = dots["label"]
    dots |= {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.5}
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        mesh = _fan(axes, radii, angles, values, towards_one(), "viridis")
        for run, path, own, place in zip(runs, paths, samples, np.eye(2), strict=True):
            color = run_look(run)["color"]
            axes.plot(*own.T, **dots, markersize=5)
            axes.plot(*path.T, color=color, linewidth=2, path_effects=RIM)
            axes.plot(*path[0], "o", color="white", markeredgecolor=color, markersize=7, markeredgewidth=1.8)
            star(axes, run, place, 13)
        axes.set(title=title, xlabel=shares[0], ylabel=shares[1])
        axes.label_outer()
    beside.set_axis_off()
    handles = [Line2D([], [], **run_look(run) | {"marker": ""}, linewidth=2) for run in runs]
    dots["label"] = f"{samples_of},\n{exaggeration:g} times as far"
    handles += [*ends_of_runs(), Line2D([], [], **dots, markersize=8)]
    beside.legend(handles=handles, loc="upper left", borderaxespad=0)
    bar = {"location": "bottom", "aspect": 14, "fraction": 0.1, "label": "fraction of test images"}
    figure.colorbar(mesh, ax=beside, ticks=SIMILARITY_TICKS, **bar)
    tables = {"map": crossed({"radius": radii, "angle (radians)": angles}, maps)}
    for name, path in zip(names, paths, strict=True):
        tables[name] = crossed({"epoch": range(len(path))}, dict(zip(shares, path.T, strict=True)))
    for name, own in zip(names, samples, strict=True):
        places = {"sample": range(1, len(own) + 1), "times as far": [exaggeration]}
        tables[f"{samples_of}, {name}"] = crossed(places, dict(zip(shares, own.T, strict=True)))
    return with_data(figure, stacked(tables, "series"))


def radial_surfaces(
    radii: np.ndarray,
    angles: np.ndarray,
    losses: Sequence[np.ndarray],
    fractions: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str],
    runs: Sequence[int],
) -> Figure:
    """Fig. S1: the loss, and fractions that are small for good networks, in the plane of two optima.

    There is one column of maps `(R, A)` for each kind of images in `columns`, with radii, angles and runs as in
    `radial_maps`. The first row has the `losses`, in nats, with logarithmic colours; then each of the `fractions`,
    keyed by its colour-bar label, has one row.
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
    across, up = run_names(runs)
    for axes in grid[:, 0]:
        axes.set_ylabel(up)
    tables = {}
    for column, title in enumerate(columns):
        grid[0, column].set_title(title)
        grid[-1, column].set_xlabel(across)
        values = {label: own[column] for label, own, *_ in rows}
        tables[title] = crossed({"radius": radii, "angle (radians)": angles}, values)
    return with_data(figure, stacked(tables, "images"))


def ray_profiles(
    radii: np.ndarray, values: Mapping[str, np.ndarray], runs: Sequence[int], band: tuple[float, float]
) -> Figure:
    """Quantities along the rays of two optima, `(2, R)` by axis label, one panel each.

    `radii (R,)` are 1 at the optima; the range `band` of radii is shaded; the two `runs` count from 0.
    """
    figure, panels = column_of_panels(len(values), 2.9, sharex=True)
    for axes, (label, both) in zip(panels, values.items(), strict=True):
        axes.axvspan(*band, color=INK, alpha=0.2, linewidth=0)
        axes.axvline(1, color=INK, linewidth=1)
        for run, own in zip(runs, both, strict=True):
            axes.plot(radii, own, **run_look(run, "ray of run"), markersize=5)
        axes.set(ylabel=label, ylim=(0, None))
    axes.set_xlabel("radius (1: final solution)")
    legend_below(figure, 2)
    return with_data(figure, crossed({"ray of run": [run + 1 for run in runs], "radius": radii}, values))
