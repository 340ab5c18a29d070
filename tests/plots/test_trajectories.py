"""The figures of runs during training are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import legend_entries

from lib.plots import trajectories as plots
from lib.plots.style import RUN_COLORS

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("clean_style")


@pytest.mark.parametrize(
    ("function", "label"),
    [(plots.weights_alike, "cosine similarity of weights"), (plots.labels_differ, "fraction of labels that differ")],
)
def test_matrices_of_checkpoints_have_a_block_a_run(function, label):
    matrix = RNG.random((12, 12))
    axes, bar = function(matrix, 3).axes
    assert np.allclose(axes.collections[0].get_array().ravel(), matrix.ravel())
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3"]
    assert axes.get_xlabel() == "run, each from first checkpoint to last"
    assert bar.get_ylabel() == label


def test_unlike_checkpoints_are_dark_in_both_matrices():
    matrix = np.array([[0.0, 1.0], [1.0, 0.0]])
    alike, differ = (
        function(matrix, 2).axes[0].collections[0] for function in (plots.weights_alike, plots.labels_differ)
    )
    assert sum(alike.to_rgba(0.0)[:3]) < sum(alike.to_rgba(1.0)[:3])
    assert sum(differ.to_rgba(1.0)[:3]) < sum(differ.to_rgba(0.0)[:3])


@pytest.mark.parametrize("runs", [2, 12])
def test_trajectories_in_plane(runs):
    points = RNG.random((runs, 4, 2))
    figure = plots.trajectories_in_plane(points, RNG.random((runs, 4)))
    (axes,) = figure.axes
    # Each run has a path, a ring around its start, and a star at its end.
    for run, (path, first, last) in enumerate(np.reshape(axes.lines, (runs, 3))):
        assert np.allclose(path.get_xydata(), points[run])
        assert np.allclose(first.get_xydata(), points[run, :1])
        assert np.allclose(last.get_xydata(), points[run, -1:])
        assert path.get_color() == first.get_markeredgecolor() == last.get_color() == RUN_COLORS[run % 10]
    entries = legend_entries(figure)
    assert entries[0] == "run 1"
    assert entries[-2:] == ["first weights", "final solution"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t-SNE axis 1", "t-SNE axis 2")


def test_learning_curves():
    curves = RNG.random((3, 5))
    (axes,) = plots.learning_curves(curves).axes
    assert np.allclose(axes.lines[1].get_ydata(), curves[1])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "validation accuracy")
