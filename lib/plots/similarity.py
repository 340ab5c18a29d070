"""Figures 2 and 3: runs and their checkpoints, how alike they are."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, in_plane, numbers, paired, stacked, with_data
from lib.plots.style import RUN_COLORS, RUN_MARKERS


def _blocks(axes: plt.Axes, runs: int, length: int) -> None:
    """Lines between the blocks of a matrix of `runs` times `length` rows, and one tick a block."""
    edges = np.arange(1, runs) * length
    axes.hlines(edges, 0, runs * length, colors="white", linewidth=1)
    axes.vlines(edges, 0, runs * length, colors="white", linewidth=1)
    centers = (np.arange(runs) + 0.5) * length
    labels = [f"run {run + 1}" for run in range(runs)]
    axes.set_xticks(centers, labels, rotation=0)
    axes.set_yticks(centers, labels, rotation=90, va="center")


def checkpoint_similarity(matrix: np.ndarray, runs: int, label: str, similar_is_high: bool) -> Figure:
    """Fig. 2 left and middle: a pairwise quantity between all checkpoints of several runs, early to late.

    Args:
        matrix: `(M * T, M * T)`, run after run, checkpoints in time order.
        runs: M.
        label: of the colour bar, with its unit.
        similar_is_high: whether high values mean alike (cosine) or different (disagreement).
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    sns.heatmap(
        matrix,
        ax=axes,
        square=True,
        vmin=min(0.0, float(matrix.min())),
        cmap="viridis" if similar_is_high else "viridis_r",
        cbar_kws={"label": label},
        rasterized=True,
    )
    length = len(matrix) // runs
    _blocks(axes, runs, length)
    axes.set(xlabel="checkpoints, from first to last", ylabel="checkpoints, from first to last")
    places = {"run": numbers(runs), "checkpoint": numbers(length)}
    return with_data(figure, paired(places, {label: matrix}))


def trajectories_in_plane(points: np.ndarray, accuracies: np.ndarray) -> Figure:
    """Fig. 2 right: the t-SNE of all checkpoints, one line a run from its first weights to its last.

    Args:
        points: `(M, T, 2)`.
        accuracies: test accuracy of each checkpoint, `(M, T)`; drawn as the size of the marker.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    for run, (path, accuracy) in enumerate(zip(points, accuracies, strict=True)):
        color, marker = RUN_COLORS[run % 10], RUN_MARKERS[run % 10]
        axes.plot(*path.T, color=color, linewidth=1, alpha=0.6)
        axes.scatter(*path.T, s=20 + 100 * accuracy**2, color=color, marker=marker, edgecolor="white", linewidth=0.6)
        axes.scatter(*path[0], s=140, facecolor="none", edgecolor=color, marker="o", linewidth=1.5)
        axes.scatter(*path[-1], s=320, color=color, marker="*", edgecolor="black", linewidth=0.9, zorder=3)
    handles = [
        Line2D([], [], color=RUN_COLORS[run % 10], marker=RUN_MARKERS[run % 10], label=f"run {run + 1}")
        for run in range(len(points))
    ]
    point = {"color": "none", "markeredgecolor": "black"}
    handles.append(Line2D([], [], **point, marker="o", markersize=11, label="first weights"))
    handles.append(Line2D([], [], **point, marker="*", markersize=15, label="final solution"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    axes.set(xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
    places = {"run": numbers(len(points)), "epoch": range(points.shape[1])}
    return with_data(figure, crossed(places, in_plane(points) | {"test accuracy": accuracies}))


def learning_curves(accuracies: np.ndarray) -> Figure:
    """Validation accuracy `(M, epochs)` of every run against epochs."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    epochs = np.arange(1, accuracies.shape[1] + 1)
    for run, curve in enumerate(accuracies):
        style = {"color": RUN_COLORS[run % 10], "marker": RUN_MARKERS[run % 10]}
        axes.plot(epochs, curve, **style, markersize=5, label=f"run {run + 1}")
    axes.set(xlabel="epoch", ylabel="validation accuracy", xlim=(0, len(epochs) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3)
    sns.despine(figure)
    places = {"run": numbers(len(accuracies)), "epoch": epochs}
    return with_data(figure, crossed(places, {"validation accuracy": accuracies}))


def solution_similarity(
    matrices: Sequence[np.ndarray], titles: Sequence[str], label: str, limits: tuple[float, float], colors: str
) -> Figure:
    """Fig. 3: a pairwise quantity between independent solutions, one panel an architecture, with the numbers.

    Args:
        matrices: one `(M, M)` an architecture.
        titles: one an architecture.
        label: of the colour bar, with its unit.
        limits: of the colours, the same for all panels.
        colors: name of a colour map.
    """
    columns = min(len(matrices), 2)  # more would be too narrow for a phone
    rows = -(-len(matrices) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(0.8 + 3.6 * columns, 1 + 4 * rows), squeeze=False)
    for axes in grid.flat[len(matrices) :]:
        axes.remove()
    for axes, matrix, title in zip(list(figure.axes), matrices, titles, strict=True):
        names = np.arange(1, len(matrix) + 1)
        low, high = limits
        sns.heatmap(
            matrix,
            ax=axes,
            square=True,
            vmin=low,
            vmax=high,
            cmap=colors,
            annot=len(matrix) <= 6,
            fmt=".2f",
            annot_kws={"size": 12},
            xticklabels=names,
            yticklabels=names,
            cbar=False,
        )
        axes.set(title=title, xlabel="run", ylabel="run")
        axes.tick_params(axis="y", rotation=0)
    bar = figure.colorbar(grid[0, 0].collections[0], ax=figure.axes, location="bottom", aspect=30, shrink=0.7)
    bar.set_label(label)
    tables = {
        title: paired({"run": numbers(len(matrix))}, {label: matrix})
        for title, matrix in zip(titles, matrices, strict=True)
    }
    return with_data(figure, stacked(tables, "network"))


def pair_distances(values: Sequence[np.ndarray], names: Sequence[str], label: str) -> Figure:
    """One dot a pair of solutions, one row an architecture: how equal the distances are.

    Args:
        values: one `(pairs,)` an architecture, from 0.
        names: one an architecture.
        label: of the axis, with its unit.
    """
    figure, axes = plt.subplots(figsize=(6.4, 1.6 + 0.8 * len(values)))
    rng = np.random.default_rng(0)
    tables = {}
    for row, (name, pairs) in enumerate(zip(names, values, strict=True)):
        heights = row + rng.uniform(-0.18, 0.18, len(pairs))
        axes.scatter(pairs, heights, color=RUN_COLORS[row], marker=RUN_MARKERS[row], s=45, alpha=0.8)
        axes.vlines(np.mean(pairs), row - 0.35, row + 0.35, color="black", linewidth=2)
        own = {label: pairs, "mean of the row": np.full(len(pairs), np.mean(pairs))}
        tables[" ".join(name.split())] = crossed({"pair": numbers(len(pairs))}, own)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, xlim=(0, None), ylim=(len(names) - 0.4, -0.6))
    sns.despine(figure)
    return with_data(figure, stacked(tables, "row"))
