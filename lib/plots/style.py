"""The one look of the book: type, and a colour and a marker for each run and each method, the same everywhere."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.subspaces.methods import METHOD_NAMES as METHOD_NAMES

#: One colour and one marker a run, distinguishable without colour vision and in grey.
RUN_COLORS = sns.color_palette("colorblind", 10)
RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")

#: Points of the smallest type in any figure: at the width of a phone it is still about 7 pixels high.
SMALLEST_TYPE = 12


#: Of type, axes, and lines that stand for no run or method: contrast 4 to 1 on a white page and on a dark one.
INK = "#7b7f86"


def use_style() -> None:
    """The one look of the book: large type, so that figures read on a phone; no background, on light and dark pages."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=1.25)
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    plt.rcParams.update(dict.fromkeys(inks, INK) | dict.fromkeys(["figure.facecolor", "axes.facecolor"], "none"))
    plt.rcParams.update({"figure.constrained_layout.use": True, "legend.frameon": False})


def legend_below(figure: Figure, panels: Iterable[Axes], ncols: int) -> None:
    """One legend for all panels, below them, each name once."""
    entries = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        entries |= dict(zip(names, handles, strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=ncols, columnspacing=1)


_PALETTE = sns.color_palette("colorblind", 10)

#: Colour and marker of each way to get networks; the dark and the light ones alternate, for grey.
METHOD_COLORS = {
    "single": INK,
    "independent": "#d81b60",
    "trajectory": _PALETTE[7],
    "random": _PALETTE[0],
    "dropout": _PALETTE[1],
    "diagonal-gaussian": _PALETTE[2],
    "low-rank-gaussian": _PALETTE[4],
    "weight-average": _PALETTE[3],
}
METHOD_MARKERS = {
    "single": "o",
    "independent": "*",
    "trajectory": "d",
    "random": "o",
    "dropout": "s",
    "diagonal-gaussian": "^",
    "low-rank-gaussian": "D",
    "weight-average": "P",
}
