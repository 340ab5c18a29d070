"""A claim over the cells of a sweep: its values with their intervals, against what was varied."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from lib.findings.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Result

#: Of text and axes, of what is behind, and of the side of the criterion where a claim is met.
INK, GROUND, MET = "#1f2329", "#ffffff", "#e3efe9"

#: One colour and one dash a series, distinguishable without colour vision and in grey.
SERIES_COLORS = ("#0b6bb5", "#b8480b", "#00664c", "#9a2f86", "#6f5d00", "#56606c")
SERIES_DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))

#: Of each verdict.
MARKERS = {REPRODUCED: "o", INCONCLUSIVE: "s", NOT_REPRODUCED: "X"}

#: How far series stand apart, in places of the axis, and how many places are named.
APART, MOST_TICKS = 0.13, 12


def claim_over_cells(
    results: Sequence[Result], places: Sequence[int], series: Sequence[int], ticks: Sequence[str], label: str
) -> Figure:
    """The values of one claim with their intervals, and the line of its criterion; small, one of many panels.

    Where the ground is tinted the claim is met. The marker says the verdict: a disc is reproduced, an open square
    inconclusive, a cross not reproduced.

    Args:
        results: of one claim, at least one.
        places: number of each result's tick.
        series: number of each result's series, less than `len(SERIES_COLORS)`.
        ticks: names of the places.
        label: what the axis is.
    """
    criterion, numbers = results[0].claim.criterion, sorted(set(series))
    with sns.axes_style("ticks"), plt.rc_context({"font.size": 9, "figure.constrained_layout.use": True}):
        figure, axes = plt.subplots(figsize=(3.5, 2.3))
    for rank, number in enumerate(numbers):
        own = sorted((n for n, one in enumerate(series) if one == number), key=lambda n: places[n])
        at = np.array([places[n] for n in own]) + APART * (rank - (len(numbers) - 1) / 2)
        color = SERIES_COLORS[number]
        values = [results[n].estimate.value for n in own]
        axes.plot(at, values, color=color, linestyle=SERIES_DASHES[number], linewidth=1, alpha=0.7)
        for x, one in zip(at, (results[n] for n in own), strict=True):
            if not np.isfinite(one.estimate.value):
                axes.text(
                    x, 0.02, "no value", color=color, rotation=90, transform=axes.get_xaxis_transform(), ha="center"
                )
            face = GROUND if one.verdict == INCONCLUSIVE else color
            axes.plot([x, x], [one.estimate.low, one.estimate.high], color=color, linewidth=1.8)
            axes.plot(x, one.estimate.value, MARKERS[one.verdict], color=color, markerfacecolor=face, markersize=6)
    axes.axhline(criterion.threshold, color=INK, linewidth=1.1)
    low, high = axes.get_ylim()
    room = 0.08 * (high - low)  # so that both sides of the criterion are seen
    low, high = min(low, criterion.threshold - room), max(high, criterion.threshold + room)
    if criterion.operator != "==":
        above = criterion.operator in (">", ">=")
        axes.axhspan(*((criterion.threshold, high) if above else (low, criterion.threshold)), color=MET, zorder=0)
    axes.set(xlim=(-0.5, len(ticks) - 0.5), ylim=(low, high), xlabel=label)
    shown = range(0, len(ticks), -(-len(ticks) // MOST_TICKS))
    turned = max(map(len, ticks)) * len(shown) > 40
    axes.set_xticks(
        shown, [ticks[place] for place in shown], rotation=35 if turned else 0, ha="right" if turned else "center"
    )
    axes.tick_params(colors=INK, labelsize=8)
    axes.xaxis.label.set_color(INK)
    sns.despine(figure)
    for spine in axes.spines.values():
        spine.set_color(INK)
    return figure
