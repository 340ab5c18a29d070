"""Figure 3: independent solutions, how far they are from each other in weights and in predictions."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from lib.plots.downloads import crossed, numbers, paired, stacked, with_data
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS


def cosines(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 3 left: cosine similarity of the weights of every two solutions, `(M, M)` by network."""
    return _panels(matrices, "cosine similarity of weights", 1, "viridis")


def disagreements(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 3 middle: fraction of labels on which every two solutions differ, `(M, M)` by network."""
    highest = max(matrix.max() for matrix in matrices.values())
    return _panels(matrices, "fraction of labels that differ", highest, "viridis_r")


def _panels(matrices: Mapping[str, np.ndarray], label: str, highest: float, colors: str) -> Figure:
    """One panel a network, with the numbers; colours from 0 to `highest`, the same in all panels."""
    columns = min(len(matrices), 2)  # more would be too narrow for a phone
    rows = -(-len(matrices) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(0.8 + 3.6 * columns, 1 + 4 * rows), squeeze=False)
    for axes in grid.flat[len(matrices) :]:
        axes.remove()
    for axes, (title, matrix) in zip(list(figure.axes), matrices.items(), strict=True):
        names = np.arange(1, len(matrix) + 1)
        sns.heatmap(
            matrix,
            ax=axes,
            square=True,
            vmin=0,
            vmax=highest,
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
    tables = {title: paired({"run": numbers(len(matrix))}, {label: matrix}) for title, matrix in matrices.items()}
    return with_data(figure, stacked(tables, "network"))


def pair_distances(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """One dot a pair of solutions, one row a network, or a kind of pair: how equal the distances are.

    Args:
        values: `(pairs,)` by the name of the row, from 0.
        label: of the axis, with its unit.
    """
    figure, axes = plt.subplots(figsize=(6.4, 1.6 + 0.8 * len(values)))
    rng = np.random.default_rng(0)
    tables = {}
    for row, (name, pairs) in enumerate(values.items()):
        heights = row + rng.uniform(-0.18, 0.18, len(pairs))
        axes.scatter(pairs, heights, color=RUN_COLORS[row], marker=RUN_MARKERS[row], s=45, alpha=0.8)
        axes.vlines(np.mean(pairs), row - 0.35, row + 0.35, color=INK, linewidth=2)
        own = {label: pairs, "mean of the row": np.full(len(pairs), np.mean(pairs))}
        tables[" ".join(name.split())] = crossed({"pair": numbers(len(pairs))}, own)
    axes.set_yticks(range(len(values)), values)
    axes.set(xlabel=label, xlim=(0, None), ylim=(len(values) - 0.4, -0.6))
    sns.despine(figure)
    return with_data(figure, stacked(tables, "row"))
