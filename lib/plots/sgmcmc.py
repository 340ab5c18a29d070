"""Figure S5: chains of cyclical SG-MCMC beside independent runs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, in_plane, numbers, paired, stacked, with_data
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS, legend_below


def chain_curves(accuracies: Mapping[str, np.ndarray], ends: Sequence[int]) -> Figure:
    """Validation accuracy of every chain against epochs, one panel a network.

    Args:
        accuracies: `(chains, epochs)` by network.
        ends: epochs, from 1, that end a cycle; dotted lines.
    """
    count = len(accuracies)
    figure, grid = plt.subplots(count, 1, figsize=(6.4, 3.4 * count + 0.8), sharex=True, squeeze=False)
    tables = {}
    for axes, (network, curves) in zip(grid[:, 0], accuracies.items(), strict=True):
        epochs = numbers(curves.shape[1])
        for end in ends:
            axes.axvline(end, color=INK, linestyle=":", linewidth=1.3)
        for chain, curve in enumerate(curves):
            look = {"color": RUN_COLORS[chain % 10], "marker": RUN_MARKERS[chain % 10], "markersize": 5}
            axes.plot(epochs, curve, **look, label=f"chain {chain + 1}")
        axes.set(title=network, ylabel="validation accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        places = {"chain": numbers(len(curves)), "epoch": epochs}
        tables[network] = crossed(places, {"validation accuracy": curves})
    grid[-1, 0].set_xlabel("epoch")
    legend_below(figure, grid[:, 0], ncols=3)
    sns.despine(figure)
    data = stacked(tables, "network")
    return with_data(figure, data.assign(**{"end of a cycle": data["epoch"].isin(ends)}))


def cycle_cosines(cosines: Mapping[str, np.ndarray], chains: int) -> Figure:
    """Cosine similarity of the weights at the ends of all cycles, chain after chain; one panel a network.

    Args:
        cosines: `(chains * cycles, chains * cycles)`, by title.
        chains: how many.
    """
    figure, panels = plt.subplots(1, len(cosines), figsize=(1.6 + 4.8 * len(cosines), 5.6), squeeze=False)
    low = min(0.0, *(float(matrix.min()) for matrix in cosines.values()))
    for axes, (title, matrix) in zip(panels[0], cosines.items(), strict=True):
        cycles = len(matrix) // chains
        sns.heatmap(matrix, ax=axes, square=True, vmin=low, vmax=1, cmap="viridis", cbar=False, rasterized=True)
        edges, centers = np.arange(1, chains) * cycles, (np.arange(chains) + 0.5) * cycles
        axes.hlines(edges, 0, len(matrix), colors="white", linewidth=2)
        axes.vlines(edges, 0, len(matrix), colors="white", linewidth=2)
        names = [f"chain {chain + 1}" for chain in range(chains)]
        axes.set_xticks(centers, names, rotation=0)
        axes.set_yticks(centers, names, rotation=90, va="center")
        axes.set(title=title, xlabel="ends of cycles, first to last", ylabel="ends of cycles, first to last")
    bar = figure.colorbar(panels[0, 0].collections[0], ax=panels[0], location="bottom", aspect=30, shrink=0.8)
    bar.set_label("cosine similarity of weights")
    tables = {}
    for title, matrix in cosines.items():
        places = {"chain": numbers(chains), "cycle": numbers(len(matrix) // chains)}
        tables[title] = paired(places, {"cosine similarity of weights": matrix})
    return with_data(figure, stacked(tables, "network"))


def chains_in_plane(paths: Mapping[str, np.ndarray], ends: Sequence[int]) -> Figure:
    """The t-SNE of all checkpoints of all chains, one line a chain, the ends of its cycles numbered.

    Args:
        paths: `(chains, checkpoints, 2)` by title, one panel each.
        ends: which checkpoints are ends of cycles.
    """
    figure, grid = plt.subplots(len(paths), 1, figsize=(6.4, 5 * len(paths) + 1), squeeze=False)
    for axes, (title, chains) in zip(grid[:, 0], paths.items(), strict=True):
        for chain, path in enumerate(chains):
            look = {"color": RUN_COLORS[chain % 10], "marker": RUN_MARKERS[chain % 10]}
            axes.plot(*path.T, **look, linewidth=1.2, markersize=5, alpha=0.7, label=f"chain {chain + 1}")
            axes.plot(*path[0], "o", color="none", markeredgecolor=look["color"], markersize=13, markeredgewidth=1.5)
            for cycle, end in enumerate(ends, 1):
                star = {"s": 380, "marker": "*", "edgecolor": INK, "linewidth": 0.8, "zorder": 3}
                axes.scatter(*path[end], color=look["color"], **star)
                offset = {"xytext": (9, 7), "textcoords": "offset points", "zorder": 4}
                axes.annotate(str(cycle), path[end], **offset, fontsize="small")
        axes.set(title=title, xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
    handles, _ = grid[0, 0].get_legend_handles_labels()
    point = {"color": "none", "markeredgecolor": INK}
    handles.append(Line2D([], [], **point, marker="o", markersize=11, label="first weights"))
    handles.append(Line2D([], [], **point, marker="*", markersize=15, label="end of a cycle"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    tables = {}
    for title, chains in paths.items():
        places = {"chain": numbers(len(chains)), "epoch": range(chains.shape[1])}
        own = crossed(places, in_plane(chains))
        tables[title] = own.assign(**{"end of a cycle": own["epoch"].isin(ends)})
    return with_data(figure, stacked(tables, "network"))
