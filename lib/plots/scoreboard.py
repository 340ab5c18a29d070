"""All verdicts in one picture: values and intervals, each against its own criterion."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.findings.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Result, numbers
from lib.plots.downloads import with_data

#: Colour and marker of each verdict, distinguishable in grey.
LOOKS = {
    REPRODUCED: {"color": "#00664b", "marker": "o"},
    INCONCLUSIVE: {"color": "#6b7583", "marker": "s", "markerfacecolor": "white"},
    NOT_REPRODUCED: {"color": "#c04a00", "marker": "X"},
}

#: Inches that a row takes.
ROW = 0.34


def _places(results: Sequence[Result]) -> np.ndarray:
    """Low end, value and high end of each result on its claim's own scale, `(N, 3)`: -1 to 1, 0 at the criterion.

    Above 0 the criterion is met. Results of one claim share their scale; nan stays nan.
    """
    ends = np.array([[one.estimate.low, one.estimate.value, one.estimate.high] for one in results], dtype=float)
    ends -= np.array([[one.claim.criterion.threshold] for one in results])
    ends *= np.array([[-1 if one.claim.criterion.operator in ("<", "<=") else 1] for one in results])
    ids = np.array([one.claim.id for one in results])
    for claim in set(ids):
        own = ends[ids == claim]
        scale = np.abs(own[np.isfinite(own)]).max(initial=0)
        ends[ids == claim] = own / (scale or 1)
    return ends


def _rows(axes: Axes, results: Sequence[Result], places: np.ndarray, names: Sequence[str]) -> None:
    axes.axvline(0, color="black", linewidth=1.2)
    for row, (one, (low, value, high)) in enumerate(zip(results, places, strict=True)):
        look = LOOKS[one.verdict]
        axes.plot([low, high], [row, row], color=look["color"], linewidth=2.2)
        axes.plot(value, row, linestyle="none", markersize=8, markeredgewidth=1.5, **look)
        if not np.isfinite(value):
            axes.text(0, row, " no value", va="center", color=look["color"], fontsize="small")
    axes.set_yticks(range(len(results)), names, fontsize="small")
    axes.set(xlim=(-1.08, 1.08), ylim=(len(results) - 0.4, -0.6), xticks=[])
    axes.tick_params(axis="y", length=0)


def forest(results: Sequence[Result]) -> Figure:
    """One row a verdict: its value with its interval, on a scale of its own, beside the line of its criterion.

    Right of the line a criterion is met. Where a claim was tested on more than one network or dataset, each row says
    which; there is one panel for each first part of the claims' names.

    Args:
        results: at least one, those of a claim beside one another, as `lib.findings.claims.read_results` gives them.
    """
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(results):
        groups.setdefault(one.claim.id.split("/")[0], []).append(number)
    places = _places(results)
    heights = [len(rows) for rows in groups.values()]
    figure, grid = plt.subplots(
        len(groups),
        1,
        figsize=(6.8, ROW * sum(heights) + 0.55 * len(groups) + 0.9),
        height_ratios=heights,
        squeeze=False,
    )
    for axes, (group, rows) in zip(grid[:, 0], groups.items(), strict=True):
        names = []
        for one in (results[row] for row in rows):
            where = {key: one.context[key] for key in ("architecture", "dataset", "preset")}
            others = [other.context for other in results if other.claim.id == one.claim.id]
            telling = [value for key, value in where.items() if len({other[key] for other in others}) > 1]
            tail = one.claim.id.removeprefix(f"{group}/")
            names.append(", ".join([tail, *telling]))
        _rows(axes, [results[row] for row in rows], places[rows], names)
        axes.set_title(group, loc="left", fontsize="medium")
    grid[-1, 0].set_xlabel("fails its criterion  ←  |  →  meets it")
    handles = [
        Line2D([], [], linestyle="none", markersize=8, markeredgewidth=1.5, label=verdict, **look)
        for verdict, look in LOOKS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    sns.despine(figure, left=True, bottom=True)
    drawn = dict(zip(("place of low", "place of value", "place of high"), places.T, strict=True))
    return with_data(figure, numbers(results).assign(**drawn))
