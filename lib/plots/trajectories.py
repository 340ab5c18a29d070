"""Figure 2: the checkpoints of all runs, their similarity, and their positions in function space."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, in_plane, paired, with_data
from lib.plots.style import blocks, ends_of_runs, legend_below, ring, run_look, star


def weights_alike(cosine: np.ndarray, runs: int) -> Figure:
    """Fig. 2 left: cosine of the weights of all checkpoints of M `runs`, early to late, `(M * T, M * T)`."""
    return _checkpoints(cosine, runs, "cosine similarity of weights", "viridis")


def labels_differ(disagreement: np.ndarray, runs: int) -> Figure:
    """Fig. 2 middle: fraction of labels that differ between all checkpoints of M `runs`, `(M * T, M * T)`."""
    return _checkpoints(disagreement, runs, "fraction of labels that differ", "viridis_r")


def _checkpoints(matrix: np.ndarray, runs: int, label: str, colors: str) -> Figure:
    """A pairwise quantity between checkpoints, run after run; dark means different."""
    figure, axes = plt.subplots(figsize=(6.4, 5.4))
    lowest = min(0.0, float(matrix.min()))
    sns.heatmap(matrix, ax=axes, square=True, vmin=lowest, cmap=colors, cbar_kws={"label": label}, rasterized=True)
    length = len(matrix) // runs
    blocks(axes, [str(run + 1) for run in range(runs)], length)
    words = "run, each from first checkpoint to last"
    axes.set(xlabel=words, ylabel=words)
    places = {"run": range(1, runs + 1), "checkpoint": range(1, length + 1)}
    return with_data(figure, paired(places, {label: matrix}))


def trajectories_in_plane(points: np.ndarray, accuracies: np.ndarray) -> Figure:
    """Fig. 2 right: the t-SNE `(M, T, 2)` of all checkpoints, one line per run from its first weights to its last.

    The size of a checkpoint's marker shows its test accuracy, from `accuracies (M, T)`.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    for run, (path, accuracy) in enumerate(zip(points, accuracies, strict=True)):
        look = run_look(run) | {"label": None}
        axes.plot(*path.T, color=look["color"], linewidth=1, alpha=0.6)
        axes.scatter(*path.T, s=20 + 100 * accuracy**2, **look, edgecolor="white", linewidth=0.6)
        ring(axes, run, path[0], 12)
        star(axes, run, path[-1], 18)
    runs = [Line2D([], [], **run_look(run)) for run in range(len(points))]
    legend_below(figure, 3, [*runs, *ends_of_runs()])
    axes.set(xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
    places = {"run": range(1, len(points) + 1), "epoch": range(points.shape[1])}
    return with_data(figure, crossed(places, in_plane(points) | {"test accuracy": accuracies}))


def learning_curves(accuracies: np.ndarray) -> Figure:
    """Validation accuracy `(M, epochs)` of every run against epochs."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    data = draw_curves(axes, accuracies, "run")
    axes.set(xlabel="epoch", xlim=(0, accuracies.shape[1] + 1))
    legend_below(figure, 3)
    return with_data(figure, data)


def draw_curves(axes: Axes, accuracies: np.ndarray, kind: str) -> pd.DataFrame:
    """Draw validation accuracies `(M, epochs)` of runs, or of another `kind`, against epochs; returns a table."""
    epochs = range(1, accuracies.shape[1] + 1)
    for number, curve in enumerate(accuracies):
        axes.plot(epochs, curve, **run_look(number, kind), markersize=5)
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return crossed({kind: range(1, len(accuracies) + 1), "epoch": epochs}, {"validation accuracy": accuracies})
