"""The figures of the plane are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import legend_entries
from matplotlib.path import Path

from lib.plots import radial as plots
from lib.plots.style import METHOD_NAMES, RUN_COLORS

RNG = np.random.default_rng(0)
RADII, ANGLES = np.linspace(0, 2, 5), np.radians([-30, 0, 30, 60, 90, 120])
SHAPE = (len(RADII), len(ANGLES))


pytestmark = pytest.mark.usefixtures("clean_style")


def maps(count):
    return [RNG.random(SHAPE) for _ in range(count)]


def at(axes, point):
    """The value that the map shows at a point, or None."""
    (mesh,) = (found for found in axes.collections if hasattr(found, "get_coordinates"))
    corners, values = mesh.get_coordinates(), mesh.get_array()
    for row, column in np.ndindex(values.shape):
        ring = corners[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
        if Path(ring).contains_point(point):
            return values[row, column]
    return None


def test_radial_maps_put_values_and_stars_where_they_belong():
    values = maps(3)
    paths = [np.array([[0.1, 0.0], [1.0, 0.0]]), np.array([[0.0, 0.1], [0.05, 0.5], [0.0, 1.0]])]
    samples = [RNG.random((6, 2)), RNG.random((4, 2))]
    named = dict(zip(("a", "b", "c"), values, strict=True))
    figure = plots.radial_maps(RADII, ANGLES, named, (2, 0), paths, samples, "low-rank-gaussian", 30.0)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["a", "b", "c"]
    for axes, own in zip(panels.values(), values, strict=True):
        for ring, direction in np.ndindex(SHAPE):
            if ring:
                place = RADII[ring] * np.array([np.cos(ANGLES[direction] + 1e-3), np.sin(ANGLES[direction] + 1e-3)])
                assert at(axes, place) == own[ring, direction]
        assert at(axes, (-1, -1)) is None
        assert any(np.array_equal(line.get_xydata(), paths[1]) for line in axes.lines)
        stars = [line for line in axes.lines if line.get_marker() == "*"]
        np.testing.assert_array_equal([star.get_xydata()[0] for star in stars], np.eye(2))
        assert [star.get_color() for star in stars] == [RUN_COLORS[2], RUN_COLORS[0]]
        assert [len(line.get_xydata()) for line in axes.lines if line.get_marker() == "D"] == [6, 4]
        low, high = axes.get_xlim()
        assert low < RADII[-1] * np.sin(ANGLES[0])
        assert high > RADII[-1]
    assert panels["b"].get_xlabel() == "share of run 3's solution"
    assert panels["b"].get_ylabel() == "share of run 1's solution"
    (entries,) = [axes.get_legend().texts for axes in figure.axes if axes.get_legend()]
    assert [text.get_text() for text in entries[:2]] == ["run 3", "run 1"]
    assert entries[-1].get_text() == f"{METHOD_NAMES['low-rank-gaussian']},\n30 times as far"


def test_radial_surfaces_have_a_row_a_quantity():
    losses, errors = [10.0 ** RNG.uniform(-2, 2, SHAPE) for _ in range(2)], maps(2)
    losses[0][0, 0] = 0  # its logarithm must not be drawn as a hole
    figure = plots.radial_surfaces(RADII, ANGLES, losses, {"error": errors}, ["one", "other"], (0, 1))
    grid = figure.axes[:4]
    assert [axes.get_title() for axes in grid] == ["one", "other", "", ""]
    place = 1.5 * np.array([np.cos(ANGLES[2] + 1e-3), np.sin(ANGLES[2] + 1e-3)])
    expected = [*(own[3, 2] for own in losses), *(own[3, 2] for own in errors)]
    assert [at(axes, place) for axes in grid] == expected
    assert np.ma.getmaskarray(grid[0].collections[0].get_array()).sum() == 0
    assert grid[0].collections[0].get_array().min() == plots.SMALLEST_LOSS
    assert [axes.get_ylabel() for axes in figure.axes[4:]] == ["loss (nats)", "error"]
    assert (grid[2].get_xlabel(), grid[2].get_ylabel()) == ("run 1", "run 2")


def test_colours_are_finer_where_good_networks_are():
    similar, different = plots.towards_one(), plots._towards_zero()
    np.testing.assert_allclose(similar([0, 0.5, 1]), [0, 0.125, 1])
    for x in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert similar(x) == pytest.approx(1 - different(1 - x))
        assert different.inverse(different(x)) == pytest.approx(x)
        assert similar.inverse(similar(x)) == pytest.approx(x)


def test_ray_profiles():
    values = {"accuracy": RNG.random((2, 5)), "loss": RNG.random((2, 5))}
    figure = plots.ray_profiles(RADII, values, (0, 3), (0.8, 1.2))
    for axes, (label, both) in zip(figure.axes, values.items(), strict=True):
        assert axes.get_ylabel() == label
        np.testing.assert_array_equal([line.get_ydata() for line in axes.lines[1:]], both)
        assert axes.get_ylim()[0] == 0
    assert legend_entries(figure) == ["ray of run 1", "ray of run 4"]
