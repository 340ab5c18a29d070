"""Figure 9: corrupted and foreign images, and what ensembles make of them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, numbers, stacked, with_data
from lib.plots.ensemble import dodged, line
from lib.plots.style import INK, METHOD_NAMES, legend_below


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
    # One picture with clear gaps: as many axes as images would take seconds to draw.
    colors = np.broadcast_to(images, (*images.shape[:4], 3))
    opaque = np.concatenate([colors, np.full((*images.shape[:4], 1), 255, np.uint8)], axis=4)
    padded = np.pad(opaque, [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)])
    height, side = padded.shape[2:4]
    whole = padded.transpose(0, 2, 1, 3, 4).reshape(count * height, width * side, 4)
    shape = (6.4, 0.9 + 4.2 / width * count * height / side)
    figure, axes = plt.subplots(figsize=shape)
    axes.imshow(whole, interpolation="nearest")
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
                    axes.fill_between(*band, color=INK, alpha=0.25, linewidth=0)
                line(axes, way, severities, mean)
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
            axes.axhline(0, color=INK, linewidth=1)
            for (way, all_values), offset in zip(values.items(), dodged(len(values)), strict=True):
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
    line(axes, way, np.arange(len(values)) + offset, mean, error)
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
    for (way, own), offset in zip(values.items(), dodged(len(values)), strict=True):
        tables[METHOD_NAMES[way], "test"] = _mean_line(axes, way, own, offset)
        line(beside, way, np.array([offset]), np.array([foreign[way]]))
        tables[METHOD_NAMES[way], name] = pd.DataFrame({"mean": [foreign[way]]})
    axes.set(xlabel="severity", ylabel="Jensen-Shannon divergence (nats)", ylim=(0, None))
    beside.set_xticks([0], [name])
    beside.set_xlim(-0.6, 0.6)
    legend_below(figure, [axes], ncols=2)
    sns.despine(figure)
    return with_data(figure, stacked(tables, "method", "images"))
