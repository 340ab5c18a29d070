"""Figure 4: samples of each subspace around several runs, on one map of function space, and their distances."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.plots.downloads import crossed, in_plane, stacked, with_data
from lib.plots.style import INK, METHOD_NAMES, ends_of_runs, legend_below, method_look, ring, run_look, star


def samples_in_plane(paths: np.ndarray, samples: Mapping[str, np.ndarray], near: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 4: the t-SNE of all checkpoints `(M, T, 2)` and all samples, one panel per method with all runs' paths.

    For each method, one of `METHOD_NAMES`, `samples (M, S, 2)` are positions of each run's samples, and `near (M, S)`
    says which are about as accurate as their run; the others are drawn hollow.
    """
    rows = -(-len(samples) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(6.8, 3.2 * rows + 1.2), sharex=True, sharey=True, squeeze=False)
    runs, epochs = range(1, len(paths) + 1), range(paths.shape[1])
    tables = {"checkpoint": crossed({"run": runs, "epoch": epochs}, in_plane(paths))}
    for axes, (method, places) in zip(grid.flat, samples.items(), strict=False):
        name, marker = METHOD_NAMES[method], method_look(method)["marker"]
        for run, (path, own, filled) in enumerate(zip(paths, places, near[method], strict=True)):
            color = run_look(run)["color"]
            look = {"s": 34, "marker": marker, "edgecolor": color, "linewidth": 1.1, "zorder": 3}
            axes.plot(*path.T, color=color, linewidth=1.2, alpha=0.7)
            axes.scatter(*own[filled].T, facecolor=[color], **look)
            axes.scatter(*own[~filled].T, facecolor="none", **look)
            ring(axes, run, path[0], 9)
            star(axes, run, path[-1], 13)
        axes.set(title=name, xticks=[], yticks=[])
        values = in_plane(places) | {"as accurate": near[method]}
        tables[name] = crossed({"run": runs, "sample": range(1, places.shape[1] + 1)}, values)
    panels = list(grid.flat)
    for axes in panels[: len(samples)][-2:]:
        axes.set_xlabel("t-SNE axis 1")
    for axes in panels[len(samples) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("t-SNE axis 2")
    handles = [Line2D([], [], **run_look(run) | {"marker": ""}, linewidth=3) for run in range(len(paths))]
    dot = {"linestyle": "none", "marker": "o", "markersize": 6, "markeredgecolor": INK}
    handles += [*ends_of_runs(), Line2D([], [], **dot, color=INK, label="sample as accurate")]
    legend_below(figure, 3, [*handles, Line2D([], [], **dot, color="none", label="sample less accurate")])
    return with_data(figure, stacked(tables, "series"))


def distance_from_base(
    lost: Mapping[str, np.ndarray], apart: Mapping[str, np.ndarray], stayed: Mapping[str, np.ndarray], margin: float
) -> Figure:
    """How far samples are from their base, against the validation accuracy that they lose, in percentage points.

    For each method, one of `METHOD_NAMES`, all `(M, S)`: the accuracy `lost` relative to the base; how far `apart` from
    the base, as disagreement divided by mean disagreement between runs; whether they `stayed` nearest to their own base
    (otherwise they are crossed out). A line marks the `margin` of points that an accurate sample may lose.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    between = axes.axhline(1, color=INK, linestyle="--", linewidth=1.3, label="between runs")
    allowed = axes.axvline(margin, color=INK, linestyle=":", linewidth=1.3, label=f"{margin:g} points lost")
    across, up, tables = "validation accuracy lost (points)", "disagreement / between runs", {}
    for method, points in lost.items():
        own, left = method_look(method), ~stayed[method]
        axes.scatter(points, apart[method], s=40, marker=own["marker"], color=own["color"], alpha=0.75)
        axes.scatter(points[left], apart[method][left], s=40, marker="x", color=INK, linewidth=1.2, zorder=3)
        places = {"run": range(1, len(points) + 1), "sample": range(1, points.shape[1] + 1)}
        values = {across: points, up: apart[method], "nearest to another run": left}
        tables[METHOD_NAMES[method]] = crossed(places, values)
    handles = [Line2D([], [], linestyle="none", **method_look(method)) for method in lost]
    handles += [Line2D([], [], linestyle="none", marker="x", color=INK, label="nearest to another run")]
    handles += [between, allowed]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    axes.set(xlabel=across, ylabel=up, ylim=(0, None))
    return with_data(figure, stacked(tables, "method"))
