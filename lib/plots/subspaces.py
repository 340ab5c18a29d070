"""Figure 4: samples of each subspace around several runs, in one picture of function space, and how far they go."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.plots.downloads import crossed, in_plane, numbers, stacked, with_data
from lib.plots.style import INK, METHOD_COLORS, METHOD_MARKERS, RUN_COLORS
from lib.subspaces.methods import METHOD_NAMES


def samples_in_plane(paths: np.ndarray, samples: Mapping[str, np.ndarray], near: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 4: the t-SNE of all checkpoints and all samples, one panel a method with the paths of all runs.

    Args:
        paths: checkpoints of each run, `(M, T, 2)`.
        samples: for each method, of `METHOD_NAMES`, places of the samples of each run, `(M, S, 2)`.
        near: for each method which of them are about as accurate as their run, `(M, S)`; the others are drawn hollow.
    """
    rows = -(-len(samples) // 2)
    figure, grid = plt.subplots(rows, 2, figsize=(6.8, 3.2 * rows + 1.2), sharex=True, sharey=True, squeeze=False)
    for axes, (method, places) in zip(grid.flat, samples.items(), strict=False):
        for run, (path, own, filled) in enumerate(zip(paths, places, near[method], strict=True)):
            color = RUN_COLORS[run % 10]
            axes.plot(*path.T, color=color, linewidth=1.2, alpha=0.7)
            axes.plot(*path[0], "o", color="none", markeredgecolor=color, markersize=9, markeredgewidth=1.3)
            look = {"s": 34, "marker": METHOD_MARKERS[method], "edgecolor": color, "linewidth": 1.1, "zorder": 3}
            axes.scatter(*own[filled].T, facecolor=[color], **look)
            axes.scatter(*own[~filled].T, facecolor="none", **look)
            star = {"color": color, "marker": "*", "edgecolor": INK, "linewidth": 0.7, "zorder": 4}
            axes.scatter(*path[-1], s=170, **star)
        axes.set(title=METHOD_NAMES[method], xticks=[], yticks=[])
    for axes in grid[-1]:
        axes.set_xlabel("t-SNE axis 1")
    for axes in grid[:, 0]:
        axes.set_ylabel("t-SNE axis 2")
    handles = [
        Line2D([], [], color=RUN_COLORS[run % 10], linewidth=3, label=f"run {run + 1}") for run in range(len(paths))
    ]
    point = {"color": "none", "markeredgecolor": INK}
    handles.append(Line2D([], [], **point, marker="o", markersize=9, label="first weights"))
    handles.append(Line2D([], [], **point, marker="*", markersize=14, label="final solution"))
    dot = {"linestyle": "none", "marker": "o", "markersize": 6}
    handles.append(Line2D([], [], **dot, color=INK, label="sample as accurate"))
    handles.append(Line2D([], [], **dot, **point, label="sample less accurate"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1, handletextpad=0.5)
    runs, epochs = numbers(len(paths)), range(paths.shape[1])
    tables = {"checkpoint": crossed({"run": runs, "epoch": epochs}, in_plane(paths))}
    for method, places in samples.items():
        own = in_plane(places) | {"as accurate": near[method]}
        tables[METHOD_NAMES[method]] = crossed({"run": runs, "sample": numbers(places.shape[1])}, own)
    return with_data(figure, stacked(tables, "series"))


def distance_from_base(
    lost: Mapping[str, np.ndarray], apart: Mapping[str, np.ndarray], stayed: Mapping[str, np.ndarray], margin: float
) -> Figure:
    """How far samples are from their base, against the validation accuracy that they lose.

    Args:
        lost: for each method, of `METHOD_NAMES`, validation accuracy below the base's, in points, `(M, S)`.
        apart: disagreement with the base over mean disagreement between runs, `(M, S)`.
        stayed: whether the nearest solution is the sample's own base, `(M, S)`; samples that left are drawn hollow.
        margin: points that an accurate sample may lose; a line is drawn there.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    axes.axhline(1, color=INK, linestyle="--", linewidth=1.3)
    axes.axvline(margin, color=INK, linestyle=":", linewidth=1.3)
    for method, points in lost.items():
        look = {"s": 40, "marker": METHOD_MARKERS[method], "edgecolor": METHOD_COLORS[method], "linewidth": 1.2}
        inside = stayed[method]
        axes.scatter(points[inside], apart[method][inside], color=METHOD_COLORS[method], alpha=0.75, **look)
        axes.scatter(points[~inside], apart[method][~inside], facecolor="none", **look)
    handles = [
        Line2D([], [], linestyle="none", color=METHOD_COLORS[way], marker=METHOD_MARKERS[way], label=METHOD_NAMES[way])
        for way in lost
    ]
    hollow = {"linestyle": "none", "color": "none", "markeredgecolor": INK, "marker": "o"}
    handles.append(Line2D([], [], **hollow, label="nearest to another run"))
    handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.3, label="between runs"))
    handles.append(Line2D([], [], color=INK, linestyle=":", linewidth=1.3, label=f"{margin:g} points lost"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    across, up = "validation accuracy lost (points)", "disagreement / between runs"
    axes.set(xlabel=across, ylabel=up, ylim=(0, None))
    sns.despine(figure)
    tables = {}
    for way, own in lost.items():
        values = {across: own, up: apart[way], "nearest to another run": ~stayed[way]}
        tables[METHOD_NAMES[way]] = crossed({"run": numbers(len(own)), "sample": numbers(own.shape[1])}, values)
    return with_data(figure, stacked(tables, "method"))
