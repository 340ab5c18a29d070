"""Figure 8: ensembles of runs, of samples around them, and of both, by number of runs."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import stacked, with_data
from lib.plots.style import METHOD_NAMES, legend_below, method_look

#: Units that axis labels add to the name of a metric.
UNITS = {"negative log-likelihood": " (nats)"}


def dodged(count: int) -> np.ndarray:
    """Offsets that separate `count` methods, half a step in total, around their common place on the axis."""
    return np.linspace(-0.25, 0.25, count) if count > 1 else np.zeros(1)


def line(axes: Axes, way: str, x: np.ndarray, y: np.ndarray, error: np.ndarray | None = None) -> None:
    """Draw one method's line with its colour, marker and name, and with bars if there is an `error`."""
    look = method_look(way)
    star = look["marker"] == "*"
    size = {"markersize": 11 if star else 6, "linewidth": 1.2, "elinewidth": 1}
    axes.errorbar(x, y, yerr=error, **look, **size, zorder=2 + star)


def ensemble_sizes(scores: Mapping[str, pd.DataFrame]) -> Figure:
    """Fig. 8: quality of ensembles against their number of runs; one panel per metric, one line per method.

    `scores` has for each method, one of `METHOD_NAMES`, one row per ensemble: its `size`, and one column per metric.
    Points are means over the ensembles of a size, bars their standard deviation.
    """
    metrics = [name for name in next(iter(scores.values())).columns if name != "size"]
    figure, grid = plt.subplots(-(-len(metrics) // 2), 2, figsize=(6.8, 7.4), sharex=True, squeeze=False)
    tables = {}
    for axes, metric in zip(grid.flat, metrics, strict=False):
        label = metric + UNITS.get(metric, "")
        for (way, table), offset in zip(scores.items(), dodged(len(scores)), strict=True):
            groups = table.groupby("size")[metric]
            mean, spread = groups.mean(), groups.std(ddof=0)
            line(axes, way, mean.index + offset, mean, spread)
            columns = {"ensembles": groups.size(), "mean": mean, "standard deviation": spread}
            tables[label, METHOD_NAMES[way]] = pd.DataFrame(columns).reset_index(names="runs in the ensemble")
        axes.set_ylabel(label.replace(" (", "\n("))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in grid[-1]:
        axes.set_xlabel("runs in the ensemble")
    legend_below(figure, 2)
    return with_data(figure, stacked(tables, "metric", "method"))
