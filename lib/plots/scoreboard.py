"""All verdicts in one picture: values and intervals, each against its own criterion."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.findings.judging import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Result
from lib.findings.records import numbers, parameters_of
from lib.plots.downloads import with_data
from lib.plots.style import INK

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


def _draw(axes: Axes, rows: Mapping[str, Sequence[int]], results: Sequence[Result], places: np.ndarray) -> None:
    """The rows of one panel: by name the numbers of their results, the seeds of one run below one another."""
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, own in enumerate(rows.values()):
        for height, number in zip(row + np.linspace(-0.5, 0.5, len(own) + 2)[1:-1], own, strict=True):
            verdict, (low, value, high) = results[number].verdict, places[number]
            look = LOOKS[verdict]
            axes.plot([low, high], [height, height], color=look["color"], linewidth=2.2)
            axes.plot(
                value, height, linestyle="none", markersize=8 if len(own) == 1 else 5, markeredgewidth=1.5, **look
            )
            if not np.isfinite(value):
                axes.text(0, height, " no value", va="center", color=look["color"], fontsize="small")
    axes.set_yticks(range(len(rows)), rows, fontsize="small")
    axes.set(xlim=(-1.08, 1.08), ylim=(len(rows) - 0.4, -0.6), xticks=[])
    axes.tick_params(axis="y", length=0)


def _named_rows(results: Sequence[Result]) -> dict[str, dict[str, list[int]]]:
    """By the first part of a claim's name, and by the name of a row, the numbers of its results.

    Where a claim has results of several runs, rows say what tells them apart; those of several seeds share a row.
    """
    table = numbers(results).assign(parameters=[parameters_of(one) for one in results])
    panels: dict[str, dict[str, list[int]]] = {}
    for claim, own in table.groupby("claim", sort=False):
        panel, _, tail = claim.partition("/")
        telling = [name for name in ("architecture", "dataset", "preset", "parameters") if own[name].nunique() > 1]
        for number, words in own[telling].iterrows():
            name = ", ".join([tail, *filter(None, words)])
            panels.setdefault(panel, {}).setdefault(name, []).append(number)
    return panels


def forest(results: Sequence[Result]) -> Figure:
    """One row a verdict: its value with its interval, on a scale of its own, beside the line of its criterion.

    Right of the line a criterion is met. Where a claim was tested in more than one run, each row says of which, and
    several seeds share it; there is one panel for each first part of the claims' names.

    Args:
        results: at least one, those of a claim beside one another, as `lib.findings.records.read_results` gives them.
    """
    panels, places = _named_rows(results), _places(results)
    heights = [len(rows) for rows in panels.values()]
    figure, grid = plt.subplots(
        len(panels),
        1,
        figsize=(6.8, ROW * sum(heights) + 0.55 * len(panels) + 0.9),
        height_ratios=heights,
        squeeze=False,
    )
    for axes, (panel, rows) in zip(grid[:, 0], panels.items(), strict=True):
        _draw(axes, rows, results, places)
        axes.set_title(panel, loc="left", fontsize="medium")
    grid[-1, 0].set_xlabel("fails its criterion  ←  |  →  meets it")
    handles = [
        Line2D([], [], linestyle="none", markersize=8, markeredgewidth=1.5, label=verdict, **look)
        for verdict, look in LOOKS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    sns.despine(figure, left=True, bottom=True)
    drawn = dict(zip(("place of low", "place of value", "place of high"), places.T, strict=True))
    return with_data(figure, numbers(results).assign(**drawn))
