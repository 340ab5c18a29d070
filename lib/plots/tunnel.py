"""Figures S2 and S3: the path of low loss between two optima, beside the straight line."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.plots.downloads import crossed, in_plane, numbers, stacked, with_data
from lib.plots.radial import RIM, SIMILARITY_TICKS, edges, run_names, star, towards_one
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS

#: The two paths of figure S2: colour, line and marker, distinguishable in grey.
PATHS = {
    "straight line": {"color": INK, "linestyle": "--", "marker": "s"},
    "path of low loss": {"color": INK, "linestyle": "-", "marker": "o"},
}


def path_profiles(
    t: np.ndarray, losses: np.ndarray, accuracies: np.ndarray, differences: np.ndarray, pairs: Sequence[Sequence[int]]
) -> Figure:
    """Fig. S2: loss, accuracy and label difference along straight lines and paths of low loss between pairs of runs.

    Args:
        t: positions on the paths, from 0 at one end to 1 at the other, `(n,)`.
        losses: in nats, `(pairs, 2, n)`: of each pair first the straight line, then the path of low loss.
        accuracies: alike.
        differences: fraction of labels that differ from those of one end and of the other, `(pairs, 2, 2, n)`.
        pairs: the two runs of each pair, counted from 0. The first pair has markers, strong lines and the legend.
    """
    figure, ((loss, accuracy), lower) = plt.subplots(2, 2, figsize=(6.8, 7.2))
    for number in reversed(range(len(pairs))):  # the first pair lies on top
        first = number == 0
        look = {"linewidth": 1.8 if first else 1, "alpha": 1 if first else 0.45, "markersize": 5}
        for path, (name, own) in enumerate(PATHS.items()):
            own = own | look | ({"label": name} if first else {"marker": ""})
            loss.plot(t, losses[number, path], **own)
            accuracy.plot(t, accuracies[number, path], **own)
            for end, run in enumerate(pairs[number]):
                own = {"color": RUN_COLORS[run % 10], "marker": RUN_MARKERS[run % 10] if first else ""} | look
                own |= {"label": f"from run {run + 1}"} if first and path == 0 else {}
                lower[path].plot(t, differences[number, path, end], **own)
    loss.set(ylabel="loss (nats)", ylim=(0, None))
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    for axes, name in zip(lower, PATHS, strict=True):
        axes.set(xlabel=f"on the {name}", ylabel="labels that differ", ylim=(0, None))
    for axes in figure.axes:
        axes.set_xticks([0, 0.5, 1])
    handles = [*loss.get_legend_handles_labels()[0], *lower[0].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    sns.despine(figure)
    names = [" and ".join(run_names(pair)) for pair in pairs]
    values = {"loss (nats)": losses, "accuracy": accuracies}
    for end, name in enumerate(("first", "second")):
        values[f"labels that differ from the {name} run's"] = differences[:, :, end]
    return with_data(figure, crossed({"pair": names, "path": list(PATHS), "place on the path": t}, values))


def tunnel_functions(paths: Sequence[np.ndarray], tunnel: np.ndarray, runs: Sequence[int]) -> Figure:
    """The functions along two runs, and along the path of low loss between their optima, in one plane.

    Args:
        paths: places of the checkpoints of each run, first weights to optimum, two `(T, 2)`.
        tunnel: places of points on the path, from one optimum to the other, without these, `(n, 2)`.
        runs: the two runs, counted from 0.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.8))
    look = PATHS["path of low loss"]
    whole = np.concatenate([paths[0][-1:], tunnel, paths[1][-1:]])
    axes.plot(*whole.T, **look, linewidth=1.2, markersize=6, markerfacecolor="white", label="path of low loss")
    for run, path in zip(runs, paths, strict=True):
        own = {"color": RUN_COLORS[run % 10], "marker": RUN_MARKERS[run % 10]}
        axes.plot(*path.T, **own, linewidth=1.2, markersize=6, label=f"run {run + 1}")
        axes.plot(*path[0], "o", color="none", markeredgecolor=own["color"], markersize=13, markeredgewidth=1.5)
        star(axes, run, path[-1], 19)
    handles, _ = axes.get_legend_handles_labels()
    point = {"color": "none", "markeredgecolor": INK}
    handles.append(Line2D([], [], **point, marker="o", markersize=11, label="first weights"))
    handles.append(Line2D([], [], **point, marker="*", markersize=15, label="final solution"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    axes.set(xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
    tables = {"path of low loss": crossed({"point": numbers(len(whole))}, in_plane(whole))}
    for name, path in zip(run_names(runs), paths, strict=True):
        tables[name] = crossed({"epoch": range(len(path))}, in_plane(path))
    return with_data(figure, stacked(tables, "series"))


def stitched_fans(
    positions: np.ndarray, radii: np.ndarray, maps: Mapping[str, np.ndarray], runs: Sequence[int]
) -> Figure:
    """Fig. S3: quantities from 0 to 1 over the rays from the origin through a path, laid side by side.

    Args:
        positions: of the rays on the path, `(C,)`, from 0 at one optimum to 1 at the other.
        radii: `(R,)`, 1 on the path.
        maps: each `(R, C)`, by their titles.
        runs: the two runs, counted from 0.
    """
    figure, panels = plt.subplots(len(maps), 1, figsize=(6.4, 2.6 * len(maps) + 0.6), sharex=True, sharey=True)
    borders = np.clip(edges(positions), 0, 1), np.maximum(edges(radii), 0)
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        mesh = axes.pcolormesh(*borders, values, norm=towards_one(), cmap="viridis", rasterized=True)
        axes.axhline(1, **PATHS["path of low loss"] | {"marker": ""}, linewidth=1.2, path_effects=RIM)
        for end, run in enumerate(runs):
            star(axes, run, (end, 1), 17)
        axes.set(title=title, ylabel="radius", yticks=[0, 0.5, 1, 1.5])
    panels[-1].set_xticks([0, 0.5, 1], [run_names(runs)[0], "middle of the path", run_names(runs)[1]])
    panels[-1].set_xlabel("place on the path")
    figure.colorbar(
        mesh, ax=panels, location="bottom", aspect=30, ticks=SIMILARITY_TICKS, label="fraction of test images"
    )
    return with_data(figure, crossed({"radius": radii, "place on the path": positions}, maps))
