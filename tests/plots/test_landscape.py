"""The figures of the plane and of the path are drawn, labelled, and hold what they were given."""

import matplotlib as mpl
import numpy as np
import pytest

from lib.landscape.maps import fan
from lib.plots import landscape as plots
from lib.plots.style import METHOD_NAMES, RUN_COLORS

RNG = np.random.default_rng(0)
RADII, ANGLES = fan(5, 4)
SHAPE = (len(RADII), len(ANGLES))


pytestmark = pytest.mark.usefixtures("clean_style")


def maps(count):
    return [RNG.random(SHAPE) for _ in range(count)]


def at(axes, point):
    """The value of the map that is drawn over a point."""
    (mesh,) = (found for found in axes.collections if hasattr(found, "get_coordinates"))
    corners, values = mesh.get_coordinates(), mesh.get_array()
    for row, column in np.ndindex(values.shape):
        ring = corners[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
        if mpl.path.Path(ring).contains_point(point):
            return values[row, column]
    return None


def entries(figure):
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    return [text.get_text() for legend in legends if legend for text in legend.texts]


def colors_of(axes):
    return {mpl.colors.to_hex(line.get_color()) for line in axes.lines}


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
    assert entries(figure)[:2] == ["run 3", "run 1"]
    assert entries(figure)[-1] == f"{METHOD_NAMES['low-rank-gaussian']},\n30 times as far"


def test_radial_surfaces_have_a_row_a_quantity():
    losses, errors = [10.0 ** RNG.uniform(-2, 2, SHAPE) for _ in range(2)], maps(2)
    losses[0][0, 0] = 0  # the logarithm of which is not drawn as a hole
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
    similar, different = plots._towards_one(), plots._towards_zero()
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
    assert entries(figure) == ["ray of run 1", "ray of run 4"]


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
    assert {mpl.colors.to_hex(RUN_COLORS[run]) for run in (4, 5)} <= colors_of(axes)


def test_stitched_fans():
    positions, radii = np.linspace(0, 1, 5), np.linspace(0, 1.5, 4)
    values = {"accuracy": RNG.random((4, 5)), "same": RNG.random((4, 5))}
    figure = plots.stitched_fans(positions, radii, values, (0, 1))
    for axes, (title, own) in zip(figure.axes[:2], values.items(), strict=True):
        assert axes.get_title() == title
        for row, column in np.ndindex(own.shape):
            inside = np.clip([positions[column], radii[row]], 0.01, [0.99, 1.6])
            assert at(axes, inside) == own[row, column]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["run 1", "middle of the path", "run 2"]
    assert figure.axes[2].get_xlabel() == "fraction of test images"
