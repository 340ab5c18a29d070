"""Figure 2: the checkpoints of all runs, how alike they are, and where they lie in function space."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, in_plane, numbers, paired, with_data
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS


def _blocks(axes: plt.Axes, runs: int, length: int) -> None:
    """Lines between the blocks of a matrix of `runs` times `length` rows, and one tick a block."""
    edges = np.arange(1, runs) * length
    axes.hlines(edges, 0, runs * length, colors="white", linewidth=1)
    axes.vlines(edges, 0, runs * length, colors="white", linewidth=1)
    centers = (np.arange(runs) + 0.5) * length
    labels = [f"run {run + 1}" for run in range(runs)]
    axes.set_xticks(centers, labels, rotation=0)
    axes.set_yticks(centers, labels, rotation=90, va="center")


def weights_alike(cosine: np.ndarray, runs: int) -> Figure:
    """Fig. 2 left: cosine of the weights of all checkpoints of M `runs`, early to late, `(M * T, M * T)`."""
    return _checkpoints(cosine, runs, "cosine similarity of weights", "viridis")


def labels_differ(disagreement: np.ndarray, runs: int) -> Figure:
    """Fig. 2 middle: fraction of labels that differ between all checkpoints of M `runs`, `(M * T, M * T)`."""
    return _checkpoints(disagreement, runs, "fraction of labels that differ", "viridis_r")


def _checkpoints(matrix: np.ndarray, runs: int, label: str, colors: str) -> Figure:
    """A pairwise quantity between checkpoints, run after run; dark stands for unlike."""
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    lowest = min(0.0, float(matrix.min()))
    sns.heatmap(matrix, ax=axes, square=True, vmin=lowest, cmap=colors, cbar_kws={"label": label}, rasterized=True)
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
        axes.scatter(*path[-1], s=320, color=color, marker="*", edgecolor=INK, linewidth=0.9, zorder=3)
    handles = [
        Line2D([], [], color=RUN_COLORS[run % 10], marker=RUN_MARKERS[run % 10], label=f"run {run + 1}")
        for run in range(len(points))
    ]
    point = {"color": "none", "markeredgecolor": INK}
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
