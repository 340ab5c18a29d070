"""The book's style: type, a colour and a marker for each run and each method, and parts that many figures share."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.subspaces.methods import METHOD_NAMES as METHOD_NAMES

#: Size in points of the smallest type in any figure: on a phone it is still about 7 pixels high.
SMALLEST_TYPE = 12

#: Colour of type, axes, and lines of no run or method: contrast 4 to 1 on white pages and on dark ones.
INK = "#7b7f86"

#: One colour and one marker per run, distinguishable without colour vision and in grey.
RUN_COLORS = sns.color_palette("colorblind", 10)
RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")

#: Colour and marker of each method; dark and light colours alternate, for grey.
METHOD_LOOKS = {
    "single": (INK, "o"),
    "independent": ("#d81b60", "*"),
    "trajectory": (RUN_COLORS[7], "d"),
    "random": (RUN_COLORS[0], "o"),
    "dropout": (RUN_COLORS[1], "s"),
    "diagonal-gaussian": (RUN_COLORS[2], "^"),
    "low-rank-gaussian": (RUN_COLORS[4], "D"),
    "random-pca": (RUN_COLORS[9], "v"),
    "weight-average": (RUN_COLORS[3], "P"),
}
METHOD_COLORS = {way: color for way, (color, _) in METHOD_LOOKS.items()}
METHOD_MARKERS = {way: marker for way, (_, marker) in METHOD_LOOKS.items()}


def use_style() -> None:
    """Apply the book's style: large type to be readable on phones, no background, for light and dark pages."""
    spines = {"axes.spines.top": False, "axes.spines.right": False}
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=1.25, rc=spines)
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plt.rcParams.update(dict.fromkeys(inks, INK) | dict.fromkeys(["figure.facecolor", "axes.facecolor"], "none"))
    plt.rcParams.update({"figure.constrained_layout.use": True, "legend.frameon": False})
    plt.rcParams["figure.constrained_layout.h_pad"] = 0.1  # inches: titles are nearest to their own panel


def run_names(runs: Sequence[int]) -> list[str]:
    """Names of runs, counted from 0, as readers count them: from 1."""
    return [f"run {run + 1}" for run in runs]


def run_look(run: int, kind: str = "run") -> dict[str, object]:
    """Colour, marker and name of a run, or a chain, counted from 0; colours and markers repeat after ten."""
    return {"color": RUN_COLORS[run % 10], "marker": RUN_MARKERS[run % 10], "label": f"{kind} {run + 1}"}


def method_look(way: str) -> dict[str, object]:
    """Colour, marker and name of a method, one of `METHOD_NAMES`."""
    return {"color": METHOD_COLORS[way], "marker": METHOD_MARKERS[way], "label": METHOD_NAMES[way]}


def column_of_panels(count: int, height: float, **options: object) -> tuple[Figure, Sequence[Axes]]:
    """Panels below one another, each `height` inches high."""
    figure, grid = plt.subplots(count, 1, figsize=(6.4, height * count + 1), squeeze=False, **options)
    return figure, grid[:, 0]


def legend_below(figure: Figure, ncols: int, handles: Sequence[Line2D] = ()) -> None:
    """Add one legend for all panels, below them: each name once, then those of additional `handles`."""
    entries = {}
    for axes in figure.axes:
        own, names = axes.get_legend_handles_labels()
        entries |= zip(names, own, strict=True)
    entries |= {str(handle.get_label()): handle for handle in handles}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=ncols, columnspacing=1)


def star(axes: Axes, run: int, place: Sequence[float], size: float) -> None:
    """Mark the final solution of a run, counted from 0, in the run's colour."""
    look = {"color": RUN_COLORS[run % 10], "markeredgecolor": INK, "markeredgewidth": 0.9}
    axes.plot(*place, "*", **look, markersize=size, zorder=5, clip_on=False)


def ring(axes: Axes, run: int, place: Sequence[float], size: float) -> None:
    """Mark the first weights of a run, counted from 0, in the run's colour."""
    axes.plot(*place, "o", color="none", markeredgecolor=RUN_COLORS[run % 10], markersize=size, markeredgewidth=1.5)


def ends_of_runs(final: str = "final solution") -> list[Line2D]:
    """Legend entries for `ring` and `star`."""
    look = {"color": "none", "markeredgecolor": INK}
    ends = (("o", 11, "first weights"), ("*", 15, final))
    return [Line2D([], [], **look, marker=marker, markersize=size, label=label) for marker, size, label in ends]


def blocks(axes: Axes, names: Sequence[str], length: int) -> None:
    """Draw lines between the blocks of a heat map, one block of `length` rows per name, and one tick per block."""
    edges, centers = np.arange(1, len(names)) * length, (np.arange(len(names)) + 0.5) * length
    axes.hlines(edges, 0, len(names) * length, colors="white", linewidth=1.5)
    axes.vlines(edges, 0, len(names) * length, colors="white", linewidth=1.5)
    axes.set_xticks(centers, names, rotation=0)
    axes.set_yticks(centers, names, rotation=90, va="center")
