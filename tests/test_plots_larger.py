"""The figures of larger datasets are drawn, labelled, and hold what they were given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib import plots
from lib.metrics import perturbed_limit, uncorrelated_limit
from lib.plots import larger


@pytest.fixture(autouse=True)
def clean_style():
    mpl.use("agg")
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def labels(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].texts]


def test_diversity_accuracy_holds_the_points_and_both_limits():
    points = {
        "random": (np.array([0.7, 0.4]), np.array([0.2, 0.8])),
        "independent": (np.array([0.69]), np.array([0.9])),
        "dropout": (np.zeros(0), np.zeros(0)),
    }
    figure = larger.diversity_accuracy(points, base_accuracy=0.71, num_classes=10)
    (axes,) = figure.axes
    for (x, y), dots in zip(points.values(), axes.collections, strict=False):
        np.testing.assert_array_equal(dots.get_offsets(), np.column_stack([x, y]))
    for line, limit in zip(axes.lines, (uncorrelated_limit, perturbed_limit), strict=True):
        curve, values = line.get_xydata().T
        np.testing.assert_allclose(values, limit(curve, 0.71, 10))
        assert curve[-1] == 0.71
    shown = ["independent errors", "flipped labels", "random directions", "independent solutions"]
    assert labels(figure) == [*shown, "dropout of weights", "base solution"]
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_diversity_accuracy_of_a_base_that_guesses_has_one_limit():
    figure = larger.diversity_accuracy({}, base_accuracy=0.1, num_classes=10)
    assert len(figure.axes[0].lines) == 1
    assert labels(figure) == ["independent errors", "base solution"]


@pytest.mark.parametrize("severities", [range(6), [0]])
def test_ensembles_under_shift_has_a_line_a_size_in_both_panels(severities):
    rows = [(severity, size, 1 / (1 + severity), severity) for severity in severities for size in (1, 2, 4)]
    figure = larger.ensembles_under_shift(pd.DataFrame(rows, columns=["severity", "size", "accuracy", "Brier score"]))
    accuracy, brier = figure.axes
    assert labels(figure) == ["one network", "ensemble of 2", "ensemble of 4"]
    for axes, values in ((accuracy, [1 / (1 + severity) for severity in severities]), (brier, list(severities))):
        assert len(axes.lines) == 3
        np.testing.assert_array_equal(axes.lines[2].get_xdata(), list(severities))
        np.testing.assert_allclose(axes.lines[2].get_ydata(), values)
        assert axes.get_ylabel()
