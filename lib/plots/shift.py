"""Figure 9: corrupted and foreign images, and how ensembles perform on them."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.downloads import crossed, stacked, with_data
from lib.plots.ensemble import dodged, line
from lib.plots.style import INK, METHOD_NAMES, legend_below


def image_grid(images: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str) -> Figure:
    """Images, uint8 `(R, C, H, W, channels)` with one or three channels, in R rows and C columns with their names.

    `label` describes all columns, whose names may be empty strings.
    """
    count, width, height, side, channels = images.shape
    # One row per line of pixels: one per pixel would take megabytes.
    places = {"row": rows, label or "column": columns if any(columns) else range(1, width + 1)}
    places |= {"y": range(height), "channel": range(1, channels + 1)}
    pixels = {f"x = {x}": images[:, :, :, x] for x in range(side)}
    # One image with transparent gaps: one axes per image would take seconds to draw.
    opaque = np.full((*images.shape[:4], 4), 255, np.uint8)
    opaque[..., :3] = images
    gap = max(1, height // 14)
    padded = np.pad(opaque, [(0, 0), (0, 0), (gap, gap), (gap, gap), (0, 0)])
    height, side = padded.shape[2:4]
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 4.2 / width * count * height / side))
    axes.imshow(padded.swapaxes(1, 2).reshape(count * height, width * side, 4), interpolation="nearest")
    axes.set_xticks((np.arange(width) + 0.5) * side - 0.5, columns)
    axes.set_yticks((np.arange(count) + 0.5) * height - 0.5, rows, fontsize="small")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(label)
    axes.spines[:].set_visible(False)
    return with_data(figure, crossed(places, pixels))


def shifted_scores(values: Mapping[str, np.ndarray], titles: Sequence[str], labels: Sequence[str]) -> Figure:
    """Fig. 9 left and middle: metrics against the severity of corruptions, for methods in one run and in all runs.

    Each method has `values (variants, metrics, severities from 0, corruptions)`; the plain network is `single`. Lines
    are means over corruptions; the band around the plain network, from severity 1 on, is the standard deviation.
    `titles` name the two variants, one run and all runs; `labels` name the metrics.
    """

    def draw(axes: Axes, way: str, own: np.ndarray, _: float) -> pd.DataFrame:
        severities, mean, spread = np.arange(len(own)), own.mean(axis=-1), own.std(axis=-1)
        if way in ("single", "independent"):
            band = severities[1:], (mean - spread)[1:], (mean + spread)[1:]
            axes.fill_between(*band, color=INK, alpha=0.25, linewidth=0)
        line(axes, way, severities, mean)
        return crossed({"severity": severities}, {"mean": mean, "standard deviation": spread})

    return _by_variant(values, titles, labels, draw)


def shifted_gains(values: Mapping[str, np.ndarray], titles: Sequence[str], labels: Sequence[str]) -> Figure:
    """The gain of each variant over a single network, against severity; arguments as in `shifted_scores`.

    `single` in one run has no gain and is not drawn. Bars are the standard error of the mean over corruptions.
    """

    def draw(axes: Axes, way: str, own: np.ndarray, offset: float) -> pd.DataFrame | None:
        return None if way == "single" else _mean_line(axes, way, own, offset)

    figure = _by_variant(values, titles, labels, draw)
    for axes in figure.axes:
        axes.axhline(0, color=INK, linewidth=1, zorder=1)
    return figure


def _by_variant(
    values: Mapping[str, np.ndarray],
    titles: Sequence[str],
    labels: Sequence[str],
    draw: Callable[[Axes, str, np.ndarray, float], pd.DataFrame | None],
) -> Figure:
    """A row of panels per metric, a column per variant, drawn by `draw(axes, method, (severities, ...), offset)`."""
    figure, grid = plt.subplots(len(labels), 2, figsize=(6.8, 7.4), sharex=True, sharey="row")
    tables = {}
    for (metric, variant), axes in np.ndenumerate(grid):
        for (way, own), offset in zip(values.items(), dodged(len(values)), strict=True):
            name = "independent" if (way, variant) == ("single", 1) else way  # plain networks, all of them
            key = labels[metric], titles[variant], METHOD_NAMES[name]
            tables[key] = draw(axes, name, own[variant, metric], offset)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=titles[variant] if metric == 0 else "", xlabel="severity", ylabel=labels[metric])
        axes.label_outer()
    legend_below(figure, 2)
    return with_data(figure, stacked(tables, "metric", "panel", "method"))


def _mean_line(axes: Axes, way: str, values: np.ndarray, offset: float) -> pd.DataFrame:
    """Draw means over corruptions of `(severities from 0, corruptions)`, with standard errors; returns both."""
    mean, error = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    line(axes, way, np.arange(len(values)) + offset, mean, error)
    return crossed({"severity": range(len(values))}, {"mean": mean, "standard error": error})


def shifted_divergence(values: Mapping[str, np.ndarray], foreign: Mapping[str, float], name: str) -> Figure:
    """Fig. 9 right: how much equally many networks differ, against severity, and on `foreign` images, labelled `name`.

    `values` are Jensen-Shannon divergences in nats by method, `(severities from 0, corruptions)`, and `foreign` those
    on foreign images. Points are means over corruptions, bars the standard error of that mean.
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
    legend_below(figure, 2)
    return with_data(figure, stacked(tables, "method", "images"))
