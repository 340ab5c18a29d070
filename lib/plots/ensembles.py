"""Figures 8 to 10: ensembles of runs, of samples around them, and of both; their size, and images unlike the data."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, numbers, stacked, with_data
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS, RUN_MARKERS, legend_below

#: How far the points of different methods at one size or severity are set apart, all together.
DODGE = 0.5

#: Units that axes say beside the name of a metric.
UNITS = {"negative log-likelihood": " (nats)"}


def _dodged(count: int) -> np.ndarray:
    """Offsets of so many methods around their common place on the axis."""
    return np.linspace(-DODGE / 2, DODGE / 2, count) if count > 1 else np.zeros(1)


def _line(axes: Axes, way: str, x: np.ndarray, y: np.ndarray, error: np.ndarray | None = None) -> None:
    """One method's line, with its colour, marker and name, and bars where there is an `error`."""
    look = {"color": METHOD_COLORS[way], "marker": METHOD_MARKERS[way], "label": METHOD_NAMES[way]}
    star = METHOD_MARKERS[way] == "*"
    size = {"markersize": 11 if star else 6, "linewidth": 1.2, "elinewidth": 1}
    axes.errorbar(x, y, yerr=error, **look, **size, zorder=2 + star)


def ensemble_sizes(scores: Mapping[str, pd.DataFrame]) -> Figure:
    """Fig. 8: how good ensembles are, against how many runs they have; one panel a metric, one line a method.

    Args:
        scores: for each method, of `METHOD_NAMES`, one row an ensemble: its `size`, and one column a metric. Points are
            means over the ensembles of a size, bars their standard deviation.
    """
    metrics = [name for name in next(iter(scores.values())).columns if name != "size"]
    figure, grid = plt.subplots(-(-len(metrics) // 2), 2, figsize=(6.8, 7.4), sharex=True, squeeze=False)
    tables = {}
    for axes, metric in zip(grid.flat, metrics, strict=False):
        label = metric + UNITS.get(metric, "")
        for (way, table), offset in zip(scores.items(), _dodged(len(scores)), strict=True):
            groups = table.groupby("size")[metric]
            mean, spread = groups.mean(), groups.std(ddof=0)
            _line(axes, way, mean.index + offset, mean, spread)
            columns = {"ensembles": groups.size(), "mean": mean, "standard deviation": spread}
            tables[label, METHOD_NAMES[way]] = pd.DataFrame(columns).reset_index(names="runs in the ensemble")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in grid[-1]:
        axes.set_xlabel("runs in the ensemble")
    legend_below(figure, grid.ravel(), ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "metric", "method"))


def image_grid(images: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str) -> Figure:
    """Images in rows and columns with their names.

    Args:
        images: uint8 `(R, C, H, W, channels)`, of one or three channels.
        rows: R names.
        columns: C names; may be empty strings.
        label: of all columns.
    """
    count, width = images.shape[:2]
    gap = max(1, images.shape[2] // 14)
    # One picture with white gaps: as many axes as images would take seconds to draw.
    padded = np.pad(images, [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)], constant_values=255)
    height, side = padded.shape[2:4]
    whole = padded.transpose(0, 2, 1, 3, 4).reshape(count * height, width * side, -1)
    shape = (6.4, 0.9 + 4.2 / width * count * height / side)
    figure, axes = plt.subplots(figsize=shape)
    axes.imshow(whole.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks((np.arange(width) + 0.5) * side - 0.5, columns)
    axes.set_yticks((np.arange(count) + 0.5) * height - 0.5, rows, fontsize="small")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(label)
    axes.spines[:].set_visible(False)
    # A row each line of pixels: one each pixel would be megabytes.
    places = {"row": rows, label or "column": columns if any(columns) else numbers(width)}
    places |= {"y": range(images.shape[2]), "channel": numbers(images.shape[4])}
    pixels = {f"x = {x}": images[:, :, :, x] for x in range(images.shape[3])}
    return with_data(figure, crossed(places, pixels))


def _by_variant(titles: Sequence[str], labels: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """One row of panels a metric, one column a variant; rows share their axis."""
    figure, grid = plt.subplots(len(labels), 2, figsize=(6.8, 7.4), sharex=True, sharey="row")
    for row, label in zip(grid, labels, strict=True):
        row[0].set_ylabel(label)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("severity")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure, grid


def shifted_scores(values: Mapping[str, np.ndarray], titles: Sequence[str], labels: Sequence[str]) -> Figure:
    """Fig. 9 left and middle: metrics against the severity of corruptions, for methods in one run and in all runs.

    Args:
        values: for each method `(variants, metrics, severities from 0, corruptions)`; the plain network is `single`.
            Lines are means over corruptions; the band around those of the plain network, from severity 1 on, is their
            standard deviation.
        titles: one of each of the two variants: one run, all runs.
        labels: one a metric.
    """
    figure, grid = _by_variant(titles, labels)
    tables = {}
    for metric, row in enumerate(grid):
        for variant, axes in enumerate(row):
            for way, all_values in values.items():
                own = all_values[variant, metric]
                severities, mean, spread = np.arange(len(own)), own.mean(axis=-1), own.std(axis=-1)
                if way == "single":
                    way = _plain(variant)
                    band = (severities[1:], (mean - spread)[1:], (mean + spread)[1:])
                    axes.fill_between(*band, color="0.85", linewidth=0)
                _line(axes, way, severities, mean)
                columns = {"mean": mean, "standard deviation": spread}
                tables[labels[metric], titles[variant], METHOD_NAMES[way]] = crossed({"severity": severities}, columns)
    legend_below(figure, grid.ravel(), ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "metric", "panel", "method"))


def shifted_gains(values: Mapping[str, np.ndarray], titles: Sequence[str], labels: Sequence[str]) -> Figure:
    """What each variant gains over a single network, against severity.

    Args:
        values: for each method `(variants, metrics, severities from 0, corruptions)`, zero being no gain; what
            `single` gains in one run is not drawn. Bars are the standard error of the mean over corruptions.
        titles: as in `shifted_scores`.
        labels: as there.
    """
    figure, grid = _by_variant(titles, labels)
    tables = {}
    for metric, row in enumerate(grid):
        for variant, axes in enumerate(row):
            axes.axhline(0, color="0.6", linewidth=1)
            for (way, all_values), offset in zip(values.items(), _dodged(len(values)), strict=True):
                if (way, variant) != ("single", 0):
                    name = _plain(variant) if way == "single" else way
                    key = labels[metric], titles[variant], METHOD_NAMES[name]
                    tables[key] = _mean_line(axes, name, all_values[variant, metric], offset)
    legend_below(figure, grid.ravel(), ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "metric", "panel", "method"))


def _mean_line(axes: Axes, way: str, values: np.ndarray, offset: float) -> pd.DataFrame:
    """Draw the means over corruptions of `(severities from 0, corruptions)`, with standard errors; returns both."""
    mean, error = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    _line(axes, way, np.arange(len(values)) + offset, mean, error)
    return crossed({"severity": range(len(values))}, {"mean": mean, "standard error": error})


def _plain(variant: int) -> str:
    """How the plain networks are drawn, one of them and all."""
    return ("single", "independent")[variant]


def shifted_divergence(values: Mapping[str, np.ndarray], foreign: Mapping[str, float], name: str) -> Figure:
    """Fig. 9 right: how much equally many networks differ, against severity, and on images of another kind.

    Args:
        values: for each method the Jensen-Shannon divergence `(severities from 0, corruptions)`, in nats. Points are
            means over corruptions, bars the standard error of that mean.
        foreign: for each method the divergence on the foreign images.
        name: of these, under the axis.
    """
    figure, (axes, beside) = plt.subplots(1, 2, figsize=(6.4, 5.6), sharey=True, width_ratios=(5, 1))
    tables = {}
    for (way, own), offset in zip(values.items(), _dodged(len(values)), strict=True):
        tables[METHOD_NAMES[way], "test"] = _mean_line(axes, way, own, offset)
        _line(beside, way, np.array([offset]), np.array([foreign[way]]))
        tables[METHOD_NAMES[way], name] = pd.DataFrame({"mean": [foreign[way]]})
    axes.set(xlabel="severity", ylabel="Jensen-Shannon divergence (nats)", ylim=(0, None))
    beside.set_xticks([0], [name])
    beside.set_xlim(-0.6, 0.6)
    legend_below(figure, [axes], ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "method", "images"))


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
