"""Figures 7 and 10 on larger datasets: the diversity-accuracy plane, and ensembles of a few sizes under shift."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.metrics import perturbed_limit, uncorrelated_limit
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS, RUN_MARKERS


def diversity_accuracy(
    points: Mapping[str, tuple[np.ndarray, np.ndarray]], base_accuracy: float, num_classes: int
) -> Figure:
    """Fig. 7: how different networks are from a base solution, against how accurate they are, and the two limits.

    Args:
        points: for each method, of `METHOD_NAMES`: test accuracies `(N,)` and normalised diversities `(N,)`.
        base_accuracy: test accuracy of the base solution, a fraction.
        num_classes: K.
    """
    figure, axes = plt.subplots(figsize=(6.4, 5.6))
    shown = np.concatenate([[base_accuracy], *(accuracies for accuracies, _ in points.values())])
    low, high = max(0.0, shown.min() - 0.02), min(shown.max(), 0.999)  # without errors there is no diversity
    curve = np.linspace(low, high, 100)
    upper = uncorrelated_limit(curve, base_accuracy, num_classes)
    axes.plot(curve, upper, "--", color="0.3", label="independent errors")
    if base_accuracy > 1 / num_classes:  # a base that guesses has no labels worth flipping
        curve = np.linspace(low, min(base_accuracy, high), 100)
        lower = perturbed_limit(curve, base_accuracy, num_classes)
        axes.plot(curve, lower, ":", color="0.3", label="flipped labels")
    for way, (accuracies, diversities) in points.items():
        look = {"color": METHOD_COLORS[way], "marker": METHOD_MARKERS[way], "label": METHOD_NAMES[way]}
        axes.scatter(accuracies, diversities, s=190 if way == "independent" else 45, alpha=0.8, **look)
    axes.scatter(base_accuracy, 0, s=110, color=METHOD_COLORS["single"], marker="X", zorder=3, label="base solution")
    axes.set(xlabel="test accuracy", ylabel="disagreement with base / error", ylim=(-0.05, None))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    figure.legend(loc="outside lower center", ncols=2)
    sns.despine(figure)
    return figure


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
    return figure
