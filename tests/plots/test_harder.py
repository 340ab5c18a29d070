"""The figure of ensembles under shift shows the data that it is given."""

import numpy as np
import pandas as pd
import pytest
from helpers import legend_entries

from lib.plots import harder as plots

pytestmark = pytest.mark.usefixtures("clean_style")


@pytest.mark.parametrize("severities", [range(6), [0]])
def test_ensembles_under_shift_has_a_line_a_size_in_both_panels(severities):
    rows = [(severity, size, size / (1 + severity), size * severity) for severity in severities for size in (1, 2, 4)]
    figure = plots.ensembles_under_shift(pd.DataFrame(rows, columns=["severity", "size", "accuracy", "Brier score"]))
    accuracy, brier = figure.axes
    assert legend_entries(figure) == ["one network", "ensemble of 2", "ensemble of 4"]
    for axes, score in ((accuracy, lambda severity: 1 / (1 + severity)), (brier, lambda severity: severity)):
        for line, size in zip(axes.lines, (1, 2, 4), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), list(severities))
            np.testing.assert_allclose(line.get_ydata(), [size * score(severity) for severity in severities])
        assert len({line.get_color() for line in axes.lines}) == len({line.get_marker() for line in axes.lines}) == 3
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "Brier score"]
    assert brier.get_xlabel() == "severity of the corruptions, 0: none"
    np.testing.assert_array_equal(brier.get_xticks(), list(severities))
