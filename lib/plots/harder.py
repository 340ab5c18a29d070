"""Figure 10: ensembles under dataset shift."""

import pandas as pd
from matplotlib.figure import Figure

from lib.plots.downloads import with_data
from lib.plots.style import column_of_panels, legend_below, run_look


def ensembles_under_shift(scores: pd.DataFrame) -> Figure:
    """Fig. 10: accuracy and Brier score of ensembles of a few sizes, against the severity of corruptions.

    `scores` has columns `severity`, `size`, `accuracy` and `Brier score`, one row per pair of the first two.
    """
    figure, panels = column_of_panels(2, 3.1, sharex=True)
    for axes, metric in zip(panels, ("accuracy", "Brier score"), strict=True):
        for number, (size, own) in enumerate(scores.groupby("size")):
            look = run_look(number) | {"label": "one network" if size == 1 else f"ensemble of {size}"}
            axes.plot(own["severity"], own[metric], **look, markersize=7)
        axes.set_ylabel(metric)
    panels[1].set(xlabel="severity of the corruptions, 0: none", xticks=sorted(set(scores["severity"])))
    legend_below(figure, 3)
    data = scores[["severity", "size", "accuracy", "Brier score"]]
    return with_data(figure, data.rename(columns={"size": "runs in the ensemble"}))
