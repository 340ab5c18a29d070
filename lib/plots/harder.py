"""Figure 10: ensembles under dataset shift."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.plots.downloads import with_data
from lib.plots.style import RUN_COLORS, RUN_MARKERS


def ensembles_under_shift(scores: pd.DataFrame) -> Figure:
    """Fig. 10: accuracy and Brier score of ensembles of a few sizes, against the severity of corruptions.

    Args:
        scores: columns `severity`, `size`, `accuracy` and `Brier score`, one row each pair of the first two.
    """
    figure, panels = plt.subplots(2, 1, figsize=(6.4, 7.2), sharex=True)
    for axes, metric in zip(panels, ("accuracy", "Brier score"), strict=True):
        for number, (size, own) in enumerate(scores.groupby("size")):
            label = "one network" if size == 1 else f"ensemble of {size}"
            look = {"color": RUN_COLORS[number], "marker": RUN_MARKERS[number], "label": label}
            axes.plot(own["severity"], own[metric], markersize=7, **look)
        axes.set_ylabel(metric)
    panels[1].set(xlabel="severity of the corruptions, 0: none", xticks=sorted(set(scores["severity"])))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    sns.despine(figure)
    data = scores[["severity", "size", "accuracy", "Brier score"]]
    return with_data(figure, data.rename(columns={"size": "runs in the ensemble"}))
