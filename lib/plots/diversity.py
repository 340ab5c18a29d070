"""Figures 6, 7 and S6: the diversity-accuracy plane with its limits, and the family of curves between them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.metrics import flip_family_diversity, perturbed_limit, uncorrelated_limit
from lib.metrics.comparison import Points
from lib.plots.downloads import stacked, with_data
from lib.plots.style import INK, METHOD_COLORS, METHOD_MARKERS, legend_below
from lib.subspaces.methods import METHOD_NAMES

#: How the two limits are drawn.
UPPER, LOWER = {"color": INK, "linestyle": "--"}, {"color": INK, "linestyle": ":"}

#: The axes of the plane.
ACROSS, UP = "test accuracy", "disagreement with base / error"

#: Members of the flip family in the paper's figure S6.
EXPONENTS = (0.01, 0.2, 0.5, 1, 2, 10)


def _by_panel(points: Mapping[tuple[str, str], Points]) -> dict[str, dict[str, Points]]:
    """The points of each method, by title."""
    panels = {}
    for (title, way), own in points.items():
        panels.setdefault(title, {})[way] = own
    return panels


def _panels(titles: Sequence[str], height: float) -> tuple[Figure, Sequence[Axes]]:
    figure, grid = plt.subplots(len(titles), 1, figsize=(6.4, height * len(titles) + 1.2), squeeze=False)
    for axes, title in zip(grid[:, 0], titles, strict=True):
        axes.set(title=title, xlabel=ACROSS, ylabel=UP)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure, grid[:, 0]


def _reach(points: Mapping[str, Points]) -> tuple[float, float]:
    """The accuracies between which curves are drawn: those of the points and of the base, and a little less."""
    base = next(iter(points.values())).reference_accuracy
    shown = np.concatenate([[base], *(own.accuracies for own in points.values())])
    return max(0.0, shown.min() - 0.02), min(shown.max(), 0.999)  # without errors there is no diversity


def _table(accuracies: np.ndarray, diversities: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({ACROSS: accuracies, UP: diversities})


def diversity_accuracy(
    points: Mapping[tuple[str, str], Points], scales: Mapping[tuple[str, str], np.ndarray] | None = None
) -> Figure:
    """Figs. 6 and 7: how different networks are from a base solution, against how accurate they are; and both limits.

    Networks by title and method, of `METHOD_NAMES`: one panel a title, whose networks are all beside the same base.
    `scales (N,)` of those that have some, by the same, go into the data behind the figure.
    """
    scales, planes = scales or {}, _by_panel(points)
    figure, panels = _panels(list(planes), 4.2)
    tables = {}
    for axes, (title, ways) in zip(panels, planes.items(), strict=True):
        own = next(iter(ways.values()))
        base, classes = own.reference_accuracy, own.num_classes
        low, high = _reach(ways)
        limits = [("limit: independent errors", uncorrelated_limit, high, UPPER)]
        if own.above_chance:
            limits.append(("limit: flipped labels", perturbed_limit, min(base, high), LOWER))
        for name, limit, end, look in limits:
            curve = np.linspace(low, end, 100)
            tables[title, name] = _table(curve, limit(curve, base, classes))
            axes.plot(curve, tables[title, name][UP], **look, label=name)
        for way, own in ways.items():
            look = {"color": METHOD_COLORS[way], "marker": METHOD_MARKERS[way], "label": METHOD_NAMES[way]}
            star = way == "independent"
            axes.scatter(own.accuracies, own.diversities, s=190 if star else 40, alpha=0.8, zorder=2 + star, **look)
            table = _table(own.accuracies, own.diversities)
            known = (title, way) in scales
            tables[title, METHOD_NAMES[way]] = table.assign(scale=scales[title, way]) if known else table
        axes.scatter(base, 0, s=110, color=METHOD_COLORS["single"], marker="X", zorder=4, label="base solution")
        axes.set_ylim(-0.06, None)
        tables[title, "base solution"] = _table([base], [0.0])
    legend_below(figure, panels, ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "panel", "series"))


def flip_families(points: Mapping[tuple[str, str], Points], exponents: Mapping[str, float]) -> Figure:
    """Fig. S6: members of the one-parameter family of flipped labels, and the one that fits the samples best.

    Args:
        points: samples by title and method, one panel a title, as in `diversity_accuracy`.
        exponents: of the best fit, by the same titles; nan where there is none.
    """
    planes = _by_panel(points)
    figure, panels = _panels(list(planes), 4.2)
    shades = sns.color_palette("viridis", len(EXPONENTS))
    tables = {}
    for axes, (title, ways) in zip(panels, planes.items(), strict=True):
        own = next(iter(ways.values()))
        base, classes = own.reference_accuracy, own.num_classes
        for number, (way, samples) in enumerate(ways.items()):
            look = {"color": INK, "marker": METHOD_MARKERS[way], "label": None if number else "samples"}
            axes.scatter(samples.accuracies, samples.diversities, s=26, **look)
            tables[title, f"samples: {METHOD_NAMES[way]}"] = _table(samples.accuracies, samples.diversities)
        if own.above_chance:
            curve = np.linspace(_reach(ways)[0], base, 200)
            for exponent, shade in zip(EXPONENTS, shades, strict=True):
                family = flip_family_diversity(curve, exponent, base, classes)
                axes.plot(curve, family, color=shade, linewidth=1.6, label=f"e = {exponent:g}")
                tables[title, f"e = {exponent:g}"] = _table(curve, family)
        if np.isfinite(exponents[title]):
            best = flip_family_diversity(curve, exponents[title], base, classes)
            axes.plot(curve, best, color=INK, linewidth=2.4, linestyle="--", label="best fit")
            axes.set_title(f"{title}: best fit e = {exponents[title]:.2g}")
            tables[title, f"best fit: e = {exponents[title]:.4g}"] = _table(curve, best)
        axes.set_ylim(-0.06, None)
    legend_below(figure, panels, ncols=3)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "panel", "series"))
