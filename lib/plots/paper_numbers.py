"""The paper's numbers beside ours: small markers or bars are the paper's; markers with intervals are ours."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.plots.downloads import with_data
from lib.plots.style import (
    INK,
    METHOD_COLORS,
    METHOD_MARKERS,
    RUN_COLORS,
    SMALLEST_TYPE,
    column_of_panels,
    legend_below,
)

#: Quantities of figure 9 that are drawn: name in the table, and axis label.
PANELS = {"accuracy": "accuracy", "Brier score": "Brier score", "divergence": "divergence (nats, average)"}

#: Colours and markers of its variants, by name in the rows; those of divergences are by method.
VARIANTS = {
    "one network": (INK, "o"),
    "low-rank Gaussian, one run": (METHOD_COLORS["low-rank-gaussian"], METHOD_MARKERS["low-rank-gaussian"]),
    "two networks": (RUN_COLORS[0], "s"),
    "five networks": (METHOD_COLORS["independent"], METHOD_MARKERS["independent"]),
}


def _bars(table: pd.DataFrame) -> np.ndarray:
    """Distances of the ends of the intervals from the values, `(2, n)`."""
    return np.abs(table[["our_low", "our_high"]].to_numpy(float).T - table["value"].to_numpy(float))


def by_severity(table: pd.DataFrame) -> Figure:
    """Figure 9; `table` is from `book.paper_numbers.numbers`."""
    shown = table[table["severity"].isin(range(6)) & ~table["title"].str.contains("as a sum")]
    figure, panels = column_of_panels(len(PANELS), 4.2)
    for axes, (number, label) in zip(panels, PANELS.items(), strict=True):
        for (what, method), line in shown[shown["number"] == number].groupby(["what", "method"], sort=False):
            if number != "divergence" and what not in VARIANTS:
                continue
            color, marker = VARIANTS.get(what, (METHOD_COLORS[method], METHOD_MARKERS[method]))
            severity, look = line["severity"].astype(int), {"color": color, "marker": marker}
            axes.plot(severity, line["low"], linestyle=":", markersize=4, **look)
            axes.errorbar(severity, line["value"], _bars(line), label=what, capsize=3, markersize=8, **look)
        axes.set_ylabel(label)
    panels[-1].set_xlabel("severity of the corruption")
    legend_below(figure, 2, [Line2D([], [], color=INK, linestyle=":", marker="o", markersize=4, label="the paper's")])
    return with_data(figure, shown)


def side_by_side(table: pd.DataFrame) -> Figure:
    """Accuracies and diversities of independent solutions, one line per number; `table` as in `by_severity`."""
    of_solutions = table["title"].str.contains("Accuracy of a single|Figure 6|reproductions")
    rows = table[of_solutions & ~table["what"].str.contains("samples")].iloc[::-1].reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(6.4, 0.5 * len(rows) + 1.2))
    width = (rows["high"] - rows["low"]).clip(lower=0.015)
    axes.barh(rows.index, width, left=rows["low"], height=0.34, color=RUN_COLORS[0], alpha=0.5, label="the paper's")
    axes.errorbar(rows["value"], rows.index, xerr=_bars(rows), fmt="o", color=INK, capsize=3, label="ours")
    for place, what in rows["what"].items():
        axes.text(0, place + 0.3, what, fontsize=SMALLEST_TYPE)
    axes.set(yticks=[], ylim=(-0.5, len(rows) - 0.1), xlim=(-0.05, 1.1))
    legend_below(figure, 2)
    sns.despine(figure, left=True)
    return with_data(figure, rows)
