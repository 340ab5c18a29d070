"""Figures S2 and S3: the path of low loss between two optima, beside the straight line."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lib.plots.downloads import crossed, in_plane, stacked, with_data
from lib.plots.radial import RIM, SIMILARITY_TICKS, edges, towards_one
from lib.plots.style import INK, column_of_panels, ends_of_runs, legend_below, ring, run_look, run_names, star

#: The two paths of figure S2: colour, line and marker, distinguishable in grey.
PATHS = {
    "straight line": {"color": INK, "linestyle": "--", "marker": "s"},
    "path of low loss": {"color": INK, "linestyle": "-", "marker": "o"},
}


def path_profiles(
    t: np.ndarray, losses: np.ndarray, accuracies: np.ndarray, differences: np.ndarray, pairs: Sequence[Sequence[int]]
) -> Figure:
    """Fig. S2: loss, accuracy and label difference along straight lines and paths of low loss between pairs of runs.

    Positions `t (n,)` go from 0 at one end to 1 at the other. `losses`, in nats, and `accuracies` are `(pairs, 2, n)`,
    with the straight line of each pair first, then the path; `differences (pairs, 2, 2, n)` are fractions of labels
    that differ from one end and from the other. The runs of `pairs` count from 0; the first pair has markers, strong
    lines and the legend.
    """
    figure, ((loss, accuracy), lower) = plt.subplots(2, 2, figsize=(6.8, 7.2))
    for number in reversed(range(len(pairs))):  # the first pair is drawn on top
        strong = {"linewidth": 1.8, "markersize": 5}
        weak = {"linewidth": 1, "alpha": 0.45, "marker": "", "label": None}
        look = weak if number else strong
        for path, (name, own) in enumerate(PATHS.items()):
            own = {"label": name} | own | look
            loss.plot(t, losses[number, path], **own)
            accuracy.plot(t, accuracies[number, path], **own)
            for end, run in enumerate(pairs[number]):
                own = run_look(run) | {"label": f"from run {run + 1}"} | look
                lower[path].plot(t, differences[number, path, end], **own)
    loss.set(ylabel="loss (nats)", ylim=(0, None))
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    for axes, name in zip(lower, PATHS, strict=True):
        axes.set(xlabel=f"on the {name}", ylabel="labels that differ", ylim=(0, None))
    for axes in figure.axes:
        axes.set_xticks([0, 0.5, 1])
    legend_below(figure, 2)
    values = {"loss (nats)": losses, "accuracy": accuracies}
    for end, name in enumerate(("first", "second")):
        values[f"labels that differ from the {name} run's"] = differences[:, :, end]
    names = [" and ".join(run_names(pair)) for pair in pairs]
    return with_data(figure, crossed({"pair": names, "path": list(PATHS), "place on the path": t}, values))


def tunnel_functions(paths: Sequence[np.ndarray], tunnel: np.ndarray, runs: Sequence[int]) -> Figure:
    """The functions along two `runs`, counted from 0, and along the path of low loss between their optima, in a plane.

    `paths` are positions of the checkpoints of each run, two `(T, 2)`, from first weights to optimum; `tunnel (n, 2)`
    are positions of points on the path, from one optimum to the other, excluding both.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.8))
    name, look = "path of low loss", {"linewidth": 1.2, "markersize": 6}
    whole = np.concatenate([paths[0][-1:], tunnel, paths[1][-1:]])
    axes.plot(*whole.T, **PATHS[name], **look, markerfacecolor="white", label=name)
    tables = {name: crossed({"point": range(1, len(whole) + 1)}, in_plane(whole))}
    for run, path in zip(runs, paths, strict=True):
        own = run_look(run)
        axes.plot(*path.T, **own, **look)
        ring(axes, run, path[0], 13)
        star(axes, run, path[-1], 19)
        tables[own["label"]] = crossed({"epoch": range(len(path))}, in_plane(path))
    legend_below(figure, 2, ends_of_runs())
    axes.set(xlabel="t-SNE axis 1", ylabel="t-SNE axis 2", xticks=[], yticks=[])
    return with_data(figure, stacked(tables, "series"))


def stitched_fans(
    positions: np.ndarray, radii: np.ndarray, maps: Mapping[str, np.ndarray], runs: Sequence[int]
) -> Figure:
    """Fig. S3: quantities from 0 to 1 over the rays from the origin through a path, laid side by side.

    `positions (C,)` of the rays on the path go from 0 at the optimum of the first of two `runs`, counted from 0, to 1
    at the optimum of the second; `radii (R,)` are 1 on the path; `maps (R, C)` are by title.
    """
    figure, panels = column_of_panels(len(maps), 2.6, sharex=True, sharey=True)
    borders = np.clip(edges(positions), 0, 1), np.maximum(edges(radii), 0)
    for axes, (title, values) in zip(panels, maps.items(), strict=True):
        mesh = axes.pcolormesh(*borders, values, norm=towards_one(), cmap="viridis", rasterized=True)
        axes.axhline(1, color=INK, linewidth=1.2, path_effects=RIM)
        for end, run in enumerate(runs):
            star(axes, run, (end, 1), 17)
        axes.set(title=title, ylabel="radius", yticks=[0, 0.5, 1, 1.5])
    first, second = run_names(runs)
    axes.set_xticks([0, 0.5, 1], [first, "middle of the path", second])
    axes.set_xlabel("place on the path")
    bar = {"location": "bottom", "aspect": 30, "ticks": SIMILARITY_TICKS, "label": "fraction of test images"}
    figure.colorbar(mesh, ax=panels, **bar)
    return with_data(figure, crossed({"radius": radii, "place on the path": positions}, maps))
