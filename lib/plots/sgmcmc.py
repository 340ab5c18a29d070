"""Figure S5: chains of cyclical SG-MCMC beside independent runs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from lib.plots.downloads import crossed, in_plane, paired, stacked, with_data
from lib.plots.style import INK, blocks, column_of_panels, ends_of_runs, legend_below, ring, run_look, star
from lib.plots.trajectories import draw_curves


def chain_curves(accuracies: Mapping[str, np.ndarray], ends: Sequence[int]) -> Figure:
    """Validation accuracy `(chains, epochs)` of every chain against epochs, one panel per network.

    Dotted lines mark the epochs, from 1, that end a cycle.
    """
    figure, panels = column_of_panels(len(accuracies), 3.4, sharex=True)
    tables = {}
    for axes, (network, curves) in zip(panels, accuracies.items(), strict=True):
        for end in ends:
            axes.axvline(end, color=INK, linestyle=":", linewidth=1.3)
        tables[network] = draw_curves(axes, curves, "chain")
        axes.set_title(network)
    axes.set_xlabel("epoch")
    legend_below(figure, 3)
    data = stacked(tables, "network")
    return with_data(figure, data.assign(**{"end of a cycle": data["epoch"].isin(ends)}))


def cycle_cosines(cosines: Mapping[str, np.ndarray], chains: int) -> Figure:
    """Cosines `(N, N)` of the weights at the ends of all N cycles, chain after chain; one panel per network."""
    figure, panels = plt.subplots(1, len(cosines), figsize=(1.6 + 4.8 * len(cosines), 5.6), squeeze=False)
    low, label = min(0.0, *(float(matrix.min()) for matrix in cosines.values())), "cosine similarity of weights"
    tables = {}
    for axes, (title, matrix) in zip(panels[0], cosines.items(), strict=True):
        cycles = len(matrix) // chains
        sns.heatmap(matrix, ax=axes, square=True, vmin=low, vmax=1, cmap="viridis", cbar=False, rasterized=True)
        blocks(axes, [f"chain {chain + 1}" for chain in range(chains)], cycles)
        axes.set(title=title, xlabel="ends of cycles, first to last", ylabel="ends of cycles, first to last")
        places = {"chain": range(1, chains + 1), "cycle": range(1, cycles + 1)}
        tables[title] = paired(places, {label: matrix})
    mesh = panels[0, 0].collections[0]
    figure.colorbar(mesh, ax=panels[0], location="bottom", aspect=30, shrink=0.8, label=label)
    return with_data(figure, stacked(tables, "network"))


def chains_in_plane(paths: Mapping[str, np.ndarray], ends: Sequence[int]) -> Figure:
    """The t-SNE `(chains, checkpoints, 2)` of all checkpoints, one panel per network and one line per chain.

    `ends` are the checkpoints that end a cycle; they are numbered.
    """
    figure, panels = column_of_panels(len(paths), 5)
    tables = {}
    for axes, (title, chains) in zip(panels, paths.items(), strict=True):
        for chain, path in enumerate(chains):
            axes.plot(*path.T, **run_look(chain, "chain"), linewidth=1.2, markersize=5, alpha=0.7)
            ring(axes, chain, path[0], 13)
            for cycle, end in enumerate(ends, 1):
                star(axes, chain, path[end], 19)
                offset = {"xytext": (9, 7), "textcoords": "offset points", "zorder": 6}
                axes.annotate(str(cycle), path[end], **offset, fontsize="small")
        axes.set(title=title, xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
        places = {"chain": range(1, len(chains) + 1), "epoch": range(chains.shape[1])}
        tables[title] = crossed(places, in_plane(chains))
    legend_below(figure, 3, ends_of_runs("end of a cycle"))
    data = stacked(tables, "network")
    return with_data(figure, data.assign(**{"end of a cycle": data["epoch"].isin(ends)}))
