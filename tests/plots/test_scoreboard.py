"""The figure of all verdicts: what meets a criterion is right of its line, and row names say how rows differ."""

import math

import numpy as np
import pytest

from lib.findings.judging import Result, known
from lib.metrics.intervals import Estimate
from lib.plots import scoreboard

pytestmark = pytest.mark.usefixtures("clean_style")


def result(claim, value, low, high, architecture="small_cnn", folder="", dataset="digits"):
    context = {"dataset": dataset, "architecture": architecture, "preset": "smoke"}
    return Result(known(claim), Estimate(value, low, high, "jackknife"), context, folder=folder)


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_forest_puts_what_meets_a_criterion_to_the_right():
    results = [
        result("trajectories/weights-align-mean", 0.9, 0.85, 1.0),  # at least 0.8
        result("trajectories/functions-stay", 1.2, 1.1, 1.4),  # below 1
        result("independent/equidistant", 0.1, 0.05, 0.25),  # at most 0.15
    ]
    figure = scoreboard.forest(results)
    first, second = figure.axes
    bars = [line.get_xdata() for axes in (first, second) for line in axes.lines[1::2]]
    np.testing.assert_allclose(bars, [[0.25, 1], [-0.25, -1], [1, -1]])
    points = [line.get_xdata()[0] for axes in (first, second) for line in axes.lines[2::2]]
    np.testing.assert_allclose(points, [0.5, -0.5, 0.5])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["trajectories", "independent"]
    assert names(first) == ["weights-align-mean", "functions-stay"]
    looks = [line.get_marker() for axes in (first, second) for line in axes.lines[2::2]]
    assert looks == [scoreboard.LOOKS[one.verdict]["marker"] for one in results]
    assert len(set(looks)) == 3
    expected = ["holds here", "inconclusive", "does not hold here"]
    assert [text.get_text() for text in figure.legends[0].texts] == expected


def test_forest_shows_inferences_alone_and_the_words_that_occur():
    results = [
        result("independent/disagree", 0.6, 0.5, 0.7, dataset="cifar10"),
        result("independent/orthogonal", 0.05, 0.05, 0.05),
    ]
    figure = scoreboard.forest(results)
    assert names(figure.axes[0]) == ["disagree"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["reproduced"]


def test_forest_has_one_scale_a_claim_and_names_what_differs():
    results = [
        result("independent/orthogonal-mean", 0.3, 0.3, 0.3, architecture="resnet8_v1"),
        result("independent/orthogonal-mean", 0.05, 0.0, 0.05),
        result("independent/disagree", 0.6, 0.5, 0.7),
    ]
    (axes,) = scoreboard.forest(results).axes
    assert names(axes) == ["orthogonal-mean, resnet8_v1", "orthogonal-mean, small_cnn", "disagree"]
    np.testing.assert_allclose([line.get_xdata() for line in axes.lines[1:5:2]], [[-1, -1], [0.5, 0.25]])


def test_forest_has_a_row_a_run_which_its_seeds_share():
    results = [
        result("independent/disagree", value, value, value, folder=f"02_independent-{parameters}-0123456789ab")
        for parameters in ("seed_0-epochs_2", "seed_1-epochs_2", "seed_0-epochs_4")
        for value in [0.5 + len(parameters) / 100]
    ]
    (axes,) = scoreboard.forest(results).axes
    assert names(axes) == ["disagree, epochs_2", "disagree, epochs_4"]
    heights = [line.get_ydata()[0] for line in axes.lines[2::2]]
    assert heights[0] < 0 < heights[1] < 0.5
    assert heights[2] == 1


def test_forest_of_a_claim_without_value_or_distance():
    results = [
        result("diversity/random", math.nan, math.nan, math.nan),
        result("ensemble/accuracy", 0.0, 0.0, 0.0),
    ]
    figure = scoreboard.forest(results)
    assert figure.axes[0].texts[0].get_text().strip() == "no value"
    assert figure.axes[1].lines[2].get_xdata() == [0]
    figure.draw_without_rendering()
