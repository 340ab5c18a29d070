"""The figures of the path are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import legend_entries as entries

from lib.plots import tunnel as plots
from lib.plots.style import RUN_COLORS

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("clean_style")


@pytest.mark.parametrize("pairs", [[(0, 1)], [(0, 1), (2, 3)]])
def test_path_profiles(pairs):
    t, count = np.linspace(0, 1, 7), len(pairs)
    losses, accuracies, differences = (RNG.random((count, *shape, 7)) for shape in ((2,), (2,), (2, 2)))
    figure = plots.path_profiles(t, losses, accuracies, differences, pairs)
    loss, accuracy, line, path = figure.axes
    # The first pair comes last, on top of the others.
    np.testing.assert_array_equal([one.get_ydata() for one in loss.lines], losses[::-1].reshape(-1, 7))
    np.testing.assert_array_equal([one.get_ydata() for one in accuracy.lines], accuracies[::-1].reshape(-1, 7))
    for axes, own in ((line, differences[:, 0]), (path, differences[:, 1])):
        np.testing.assert_array_equal([one.get_ydata() for one in axes.lines], own[::-1].reshape(-1, 7))
    assert entries(figure) == ["straight line", "path of low loss", "from run 1", "from run 2"]
    assert [axes.get_xlabel() for axes in (line, path)] == ["on the straight line", "on the path of low loss"]
    assert loss.get_ylabel() == "loss (nats)"


def test_tunnel_functions():
    paths, tunnel = [RNG.random((4, 2)), RNG.random((4, 2))], RNG.random((9, 2))
    figure = plots.tunnel_functions(paths, tunnel, (4, 5))
    axes = figure.axes[0]
    joined = [paths[0][-1], *tunnel, paths[1][-1]]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), joined)
    assert entries(figure) == ["path of low loss", "run 5", "run 6", "first weights", "final solution"]
    stars = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(stars, [path[-1] for path in paths])
    assert [line.get_color() for line in axes.lines if line.get_marker() == "*"] == [RUN_COLORS[4], RUN_COLORS[5]]


def test_stitched_fans():
    positions, radii = np.linspace(0, 1, 5), np.linspace(0, 1.5, 4)
    values = {"accuracy": RNG.random((4, 5)), "same": RNG.random((4, 5))}
    figure = plots.stitched_fans(positions, radii, values, (0, 1))
    for axes, (title, own) in zip(figure.axes[:2], values.items(), strict=True):
        assert axes.get_title() == title
        mesh = axes.collections[0]
        np.testing.assert_array_equal(mesh.get_array(), own)
        corners = mesh.get_coordinates()
        np.testing.assert_allclose(corners[0, :, 0], [0, 0.125, 0.375, 0.625, 0.875, 1])
        np.testing.assert_allclose(corners[:, 0, 1], [0, 0.25, 0.75, 1.25, 1.75])
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["run 1", "middle of the path", "run 2"]
    assert figure.axes[2].get_xlabel() == "fraction of test images"
