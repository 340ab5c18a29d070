"""Coverage of intervals from few runs: how often they contain the true value, before and now."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lib.plots.downloads import with_data
from lib.plots.style import INK, RUN_COLORS, RUN_MARKERS, legend_below

#: Columns of the figure: name in the rows of the study, and title.
INTERVALS = {"before": "before: bootstrap", "now": "now"}

#: Rows of the figure: axis label, range, and the value that a 95 % interval promises.
MEASURES = {
    "coverage": ("intervals that hold\nthe truth", (0, 1.04), 0.95),
    "false": ("false verdicts", (-0.02, 1), 0.025),
}


def coverage(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Coverage and false verdicts by number of runs, one line per claim, before and now side by side.

    `rows` are as written by `benchmarks/intervals.py`: `claim`, `members`, `interval` ("before" or "now"), and
    fractions `coverage` and `false`, None if there is no interval.
    """
    table = pd.DataFrame(rows)[["claim", "members", "interval", *MEASURES]]
    figure, grid = plt.subplots(len(MEASURES), len(INTERVALS), figsize=(8.6, 8.4), sharex=True, sharey="row")
    for panels, (measure, (label, limits, promised)) in zip(grid, MEASURES.items(), strict=True):
        for axes, (interval, title) in zip(panels, INTERVALS.items(), strict=True):
            axes.axhline(promised, color=INK, linewidth=1, linestyle="--")
            own = table[table["interval"] == interval]
            for claim, color, marker in zip(table["claim"].unique(), RUN_COLORS, RUN_MARKERS, strict=False):
                line = own[own["claim"] == claim].sort_values("members")
                axes.plot(
                    line["members"], line[measure].astype(float), color=color, marker=marker, markersize=7, label=claim
                )
            axes.set(ylim=limits, xticks=sorted(table["members"].unique()))
            if measure == "coverage":
                axes.set_title(title, fontsize="medium")
            else:
                axes.set_xlabel("runs")
        panels[0].set_ylabel(label)
    for axes in grid[:, list(INTERVALS).index("now")]:
        fewest = table["members"].min()
        if table.loc[(table["interval"] == "now") & (table["members"] == fewest), "coverage"].isna().all():
            axes.text(fewest, 0.5, "no interval", rotation=90, ha="center", va="center", fontsize="small")
    legend_below(figure, 2)
    return with_data(figure, table.rename(columns={"members": "runs", "false": "false verdicts"}))
