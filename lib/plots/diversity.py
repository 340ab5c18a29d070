"""Figures 6, 7 and S6: the diversity-accuracy plane with its limits, and the family of curves between them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.metrics import flip_family_diversity, perturbed_limit, uncorrelated_limit
from lib.metrics.comparison import Points
from lib.plots.downloads import stacked, with_data
from lib.plots.style import INK, METHOD_MARKERS, METHOD_NAMES, column_of_panels, legend_below, method_look

#: Axis labels of the plane.
ACROSS, UP = "test accuracy", "disagreement with base / error"

#: Exponents of the flip family in the paper's figure S6.
EXPONENTS = (0.01, 0.2, 0.5, 1, 2, 10)


def _planes(points: Mapping[tuple[str, str], Points]) -> tuple[Figure, dict[str, tuple[Axes, dict[str, Points]]]]:
    """A figure with one panel per title, and for each title its panel and the points of each method."""
    titles = list(dict.fromkeys(title for title, _ in points))
    figure, panels = column_of_panels(len(titles), 4.2)
    planes = {}
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title, xlabel=ACROSS, ylabel=UP)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        planes[title] = axes, {way: own for (other, way), own in points.items() if other == title}
    return figure, planes


def _reach(points: Mapping[str, Points]) -> tuple[float, float]:
    """The range of accuracies over which curves are drawn: that of the points and the base, extended slightly down."""
    base = next(iter(points.values())).reference_accuracy
    shown = np.concatenate([[base], *(own.accuracies for own in points.values())])
    return max(0.0, shown.min() - 0.02), min(shown.max(), 0.999)  # without errors diversity is undefined


def _table(accuracies: np.ndarray, diversities: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({ACROSS: accuracies, UP: diversities})


def _finished(figure: Figure, tables: Mapping[tuple[str, str], pd.DataFrame], ncols: int) -> Figure:
    for axes in figure.axes:
        axes.set_ylim(-0.06, None)
    legend_below(figure, ncols)
    return with_data(figure, stacked(tables, "panel", "series"))


def diversity_accuracy(
    points: Mapping[tuple[str, str], Points], scales: Mapping[tuple[str, str], np.ndarray] | None = None
) -> Figure:
    """Figs. 6 and 7: how much networks differ from a base solution, against their accuracy, with both limits.

    `points` are networks by title and method, one of `METHOD_NAMES`: one panel per title, with one base for all its
    networks. `scales (N,)`, with the same keys where networks have scales, are added to the data behind the figure.
    """
    figure, planes = _planes(points)
    tables = {}
    for title, (axes, ways) in planes.items():
        one = next(iter(ways.values()))
        base, classes = one.reference_accuracy, one.num_classes
        low, high = _reach(ways)
        limits = [("limit: independent errors", uncorrelated_limit, high, "--")]
        if one.above_chance:
            limits.append(("limit: flipped labels", perturbed_limit, min(base, high), ":"))
        for name, limit, end, style in limits:
            curve = np.linspace(low, end, 100)
            tables[title, name] = _table(curve, limit(curve, base, classes))
            axes.plot(curve, tables[title, name][UP], style, color=INK, label=name)
        for way, own in ways.items():
            star = way == "independent"
            look = method_look(way) | {"s": 190 if star else 40, "zorder": 2 + star}
            axes.scatter(own.accuracies, own.diversities, alpha=0.8, **look)
            known = {"scale": scales[title, way]} if scales and (title, way) in scales else {}
            tables[title, METHOD_NAMES[way]] = _table(own.accuracies, own.diversities).assign(**known)
        axes.scatter(base, 0, s=110, color=INK, marker="X", zorder=4, label="base solution")
        tables[title, "base solution"] = _table([base], [0.0])
    return _finished(figure, tables, 2)


def flip_families(points: Mapping[tuple[str, str], Points], exponents: Mapping[str, float]) -> Figure:
    """Fig. S6: members of the one-parameter family of flipped labels, and the one that fits the samples best.

    Samples are given as in `diversity_accuracy`; `exponents` are those of the best fit by title, nan if there is none.
    """
    figure, planes = _planes(points)
    shades = sns.color_palette("viridis", len(EXPONENTS))
    tables = {}
    for title, (axes, ways) in planes.items():
        one = next(iter(ways.values()))
        base, classes = one.reference_accuracy, one.num_classes
        for way, own in ways.items():
            axes.scatter(own.accuracies, own.diversities, s=26, color=INK, marker=METHOD_MARKERS[way], label="samples")
            tables[title, f"samples: {METHOD_NAMES[way]}"] = _table(own.accuracies, own.diversities)
        if one.above_chance:
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
    return _finished(figure, tables, 3)
