"""Figure S4: the sources of diversity."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.findings.randomness import SOURCES
from lib.plots.downloads import with_data
from lib.plots.style import METHOD_LOOKS, RUN_COLORS, column_of_panels, legend_below

#: Colour and marker by the name of what differs between the two networks of a pair.
LOOKS = dict(
    zip(SOURCES.values(), [METHOD_LOOKS["independent"], *zip(RUN_COLORS[:3], "osX", strict=True)], strict=True)
)


def sources_of_diversity(differences: pd.DataFrame) -> Figure:
    """Fig. S4: how much two networks differ, against the learning rate, by what differs between their trainings.

    `differences` is from `lib.findings.randomness.differences`; one panel per measure, bars are the intervals.
    """
    measures = differences.groupby("measure", sort=False)
    figure, panels = column_of_panels(len(measures), 3.1, sharex=True)
    for axes, (label, measured) in zip(panels, measures, strict=True):
        sources = measured.groupby("series", sort=False)
        shifts = np.geomspace(0.96, 1.04, len(sources))
        for (name, own), shift in zip(sources, shifts, strict=True):
            color, marker = LOOKS[name]
            rates, values, low, high = own[["learning rate", "value", "low", "high"]].to_numpy().T
            # An interval from few members need not contain the value itself.
            bars = np.maximum([values - low, high - values], 0)
            look = {"color": color, "marker": marker, "markersize": 12 if marker == "*" else 8, "label": name}
            axes.errorbar(shift * rates, values, yerr=bars, **look, linewidth=1.4, elinewidth=1.2)
        axes.set(ylabel=label, xscale="log", ylim=(-0.05 * axes.get_ylim()[1], None))
    rates = np.unique(differences["learning rate"])
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    axes.set_xlabel("learning rate")
    legend_below(figure, 2)
    return with_data(figure, differences)
