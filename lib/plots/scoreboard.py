"""All verdicts in one figure: values and intervals, each relative to its own criterion."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.findings.claim import INFERENCE
from lib.findings.judging import FAILS, HOLDS, INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Result
from lib.findings.records import numbers, parameters_of
from lib.plots.downloads import with_data
from lib.plots.style import INK

#: Colour and marker of each verdict, distinguishable in grey.
_MET, _FAILED = {"color": "#00805e", "marker": "o"}, {"color": "#c04a00", "marker": "X"}
LOOKS = {
    REPRODUCED: _MET,
    HOLDS: _MET,
    INCONCLUSIVE: {"color": "#6b7583", "marker": "s", "markerfacecolor": "white"},
    FAILS: _FAILED,
    NOT_REPRODUCED: _FAILED,
}


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the `place of low`, `value` and `high` on each claim's own scale: -1 to 1, 0 at the criterion.

    Values above 0 meet the criterion. Results of one claim share a scale; nan stays nan.
    """
    ends = table[["low", "value", "high"]].sub(table["threshold"], axis=0).add_prefix("place of ")
    ends = ends.mul(np.where(table["operator"].str.startswith("<"), -1, 1), axis=0)
    scales = ends.abs().max(axis=1).groupby(table["claim"]).transform("max")
    return table.join(ends.div(scales.replace(0, 1), axis=0))


def _named(table: pd.DataFrame, results: Sequence[Result]) -> pd.Series:
    """Row name of each result: the claim, without its finding, and whatever differs between runs of that claim."""
    table = table.assign(parameters=[parameters_of(one) for one in results])
    names = table["claim"].str.partition("/")[2]
    for column in ("architecture", "dataset", "preset", "parameters"):
        telling = table.groupby("claim")[column].transform("nunique") > 1
        names += (", " + table[column]).where(telling & (table[column] != ""), "")
    return names


def _draw(axes: Axes, rows: Sequence[tuple[str, pd.DataFrame]]) -> None:
    """Draw the rows of one panel; results of several seeds are below one another in one row."""
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, (_, own) in enumerate(rows):
        heights = row + np.linspace(-0.5, 0.5, len(own) + 2)[1:-1]
        places = own[["verdict", "place of low", "place of value", "place of high"]].to_numpy()
        for height, (verdict, low, value, high) in zip(heights, places, strict=True):
            look = LOOKS[verdict]
            axes.plot([low, high], [height, height], color=look["color"], linewidth=2.2)
            size = {"markersize": 8 if len(own) == 1 else 5, "markeredgewidth": 1.5}
            axes.plot(value, height, linestyle="none", **size, **look)
            if not np.isfinite(value):
                axes.text(0, height, " no value", va="center", color=look["color"], fontsize="small")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize="small")
    axes.set(xlim=(-1.08, 1.08), ylim=(len(rows) - 0.4, -0.6), xticks=[])
    axes.tick_params(axis="y", length=0)


def forest(results: Sequence[Result]) -> Figure:
    """One row per verdict: its value with its interval, on its own scale, beside the line of its criterion.

    Values right of the line meet their criterion. If a claim was tested in several runs, each has a row that names it,
    and seeds share a row; there is one panel per finding, the first part of a claim's name. Only inferences are shown,
    and there must be at least one; `lib.findings.records.read_results` returns the results.
    """
    results = [one for one in results if one.claim.kind == INFERENCE]
    table = _placed(numbers(results))
    names, findings = _named(table, results), table["claim"].str.partition("/")[0]
    panels = {finding: list(own.groupby(names, sort=False)) for finding, own in table.groupby(findings, sort=False)}
    heights = [len(rows) for rows in panels.values()]
    size = 6.8, 0.34 * sum(heights) + 0.55 * len(panels) + 0.9
    figure, grid = plt.subplots(len(panels), 1, figsize=size, height_ratios=heights, squeeze=False)
    for axes, (finding, rows) in zip(grid[:, 0], panels.items(), strict=True):
        _draw(axes, rows)
        axes.set_title(finding, loc="left", fontsize="medium")
    axes.set_xlabel("fails its criterion  ←  |  →  meets it")
    look = {"linestyle": "none", "markersize": 8, "markeredgewidth": 1.5}
    shown = [verdict for verdict in LOOKS if verdict in set(table["verdict"])]
    handles = [Line2D([], [], **look, **LOOKS[verdict], label=verdict) for verdict in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    sns.despine(figure, left=True, bottom=True)
    return with_data(figure, table)
