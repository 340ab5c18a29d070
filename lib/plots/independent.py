"""Figure 3: distances between independent solutions, in weights and in predictions."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.plots.downloads import paired, stacked, with_data
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS


def cosines(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 3 left: cosine similarity of the weights of each pair of solutions, `(M, M)` by network."""
    return _panels(matrices, "cosine similarity of weights", 1, "viridis")


def disagreements(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Fig. 3 middle: fraction of labels on which each pair of solutions differs, `(M, M)` by network."""
    highest = max(matrix.max() for matrix in matrices.values())
    return _panels(matrices, "fraction of labels that differ", highest, "viridis_r")


def _panels(matrices: Mapping[str, np.ndarray], label: str, highest: float, colors: str) -> Figure:
    """One panel per network, annotated if small; colours go from 0 to `highest` in all panels."""
    columns = min(len(matrices), 2)  # more would be too narrow for a phone
    rows = -(-len(matrices) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(0.4 + 3.5 * columns, 1 + 3.9 * rows), squeeze=False)
    for axes in grid.flat[len(matrices) :]:
        axes.remove()
    tables = {}
    for axes, (title, matrix) in zip(list(figure.axes), matrices.items(), strict=True):
        runs = range(1, len(matrix) + 1)
        look = {"vmin": 0, "vmax": highest, "cmap": colors, "cbar": False, "square": True}
        look |= {"annot": len(matrix) <= 6, "fmt": ".2f", "annot_kws": {"size": 12}}
        sns.heatmap(matrix, ax=axes, **look, xticklabels=runs, yticklabels=runs)
        axes.set(title=title, xlabel="run", ylabel="run")
        axes.tick_params(axis="y", rotation=0)
        tables[title] = paired({"run": runs}, {label: matrix})
    mesh = grid[0, 0].collections[0]
    figure.colorbar(mesh, ax=figure.axes, location="bottom", aspect=30, shrink=0.7, label=label)
    return with_data(figure, stacked(tables, "network"))


def pair_distances(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """Spread of pairwise distances: one dot per pair of solutions, one row per network or kind of pair.

    `values (pairs,)` are by name of the row, and are not negative; the `label` of their axis includes the unit.
    """
    figure, axes = plt.subplots(figsize=(6.4, 1.6 + 0.8 * len(values)))
    rng = np.random.default_rng(0)
    tables = {}
    for row, (name, pairs) in enumerate(values.items()):
        heights, mean = row + rng.uniform(-0.18, 0.18, len(pairs)), np.mean(pairs)
        axes.scatter(pairs, heights, color=RUN_COLORS[row], marker=RUN_MARKERS[row], s=45, alpha=0.8)
        axes.vlines(mean, row - 0.35, row + 0.35, color=INK, linewidth=2)
        own = {"pair": range(1, len(pairs) + 1), label: pairs, "mean of the row": mean}
        tables[" ".join(name.split())] = pd.DataFrame(own)
    axes.set_yticks(range(len(values)), values)
    farthest = max(np.max(pairs) for pairs in values.values())
    axes.set(xlabel=label, xlim=(0, 1.05 * farthest), ylim=(len(values) - 0.4, -0.6))
    return with_data(figure, stacked(tables, "row"))
