"""The figure of ensembles by size shows the data that it is given."""

import numpy as np
import pandas as pd
import pytest
from helpers import drawn_bars, drawn_points, legend_entries

from lib.plots import ensemble as plots
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("clean_style")


def by_size(*metrics):
    """Random scores of ensembles of one, two and three runs."""
    return pd.DataFrame({"size": [1, 1, 1, 2, 2, 3]} | {name: RNG.random(6) for name in metrics})


def test_ensemble_sizes_hold_means_and_deviations():
    metrics = ["accuracy", "Brier score", "negative log-likelihood", "calibration error"]
    scores = {way: by_size(*metrics) for way in ("independent", "random", "weight-average")}
    figure = plots.ensemble_sizes(scores)
    assert len(figure.axes) == 4
    for axes, metric in zip(figure.axes, metrics, strict=True):
        points, spans = drawn_points(axes), drawn_bars(axes)
        assert list(points) == [METHOD_NAMES[way] for way in scores]
        for way, table in scores.items():
            own = [table[metric][table["size"] == size] for size in (1, 2, 3)]
            x, y = points[METHOD_NAMES[way]].T
            np.testing.assert_allclose(y, [part.mean() for part in own])
            np.testing.assert_allclose(spans[METHOD_NAMES[way]], [np.std(part) for part in own], atol=1e-12)
            # Methods are set apart, but each is nearest to its own size.
            np.testing.assert_array_equal(np.rint(x), [1, 2, 3])
    assert len({points[0, 0] for points in drawn_points(figure.axes[0]).values()}) == 3
    assert legend_entries(figure) == [METHOD_NAMES[way] for way in scores]
    labels = ["accuracy", "Brier score", "negative log-likelihood\n(nats)", "calibration error"]
    assert [axes.get_ylabel() for axes in figure.axes] == labels
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", *["runs in the ensemble"] * 2]


def test_ensemble_sizes_of_one_method_lie_on_their_size():
    figure = plots.ensemble_sizes({"independent": by_size("accuracy", "Brier score")})
    for axes in figure.axes:
        np.testing.assert_array_equal(drawn_points(axes)[METHOD_NAMES["independent"]][:, 0], [1, 2, 3])
        ((line, *_),) = [one.lines for one in axes.containers]
        assert (line.get_color(), line.get_marker()) == (METHOD_COLORS["independent"], METHOD_MARKERS["independent"])
