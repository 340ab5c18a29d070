"""The figures of samples around runs are drawn, labelled, and hold what they were given."""

import matplotlib as mpl
import numpy as np
import pytest
from helpers import legend_entries as entries

from lib.plots import subspaces as plots
from lib.plots.style import METHOD_COLORS, RUN_COLORS
from lib.subspaces.methods import METHOD_NAMES

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("clean_style")


def filled(dots):
    """Whether the points are not hollow."""
    return len(dots.get_facecolor()) > 0


def mixed(*shape):
    """Booleans of both kinds in every row."""
    return np.arange(np.prod(shape)).reshape(shape) % 3 > 0


# Figure 4


@pytest.mark.parametrize("methods", [("random", "dropout", "diagonal-gaussian", "low-rank-gaussian"), ("random",)])
def test_samples_in_plane_hold_paths_and_samples_of_every_run(methods):
    paths, near = RNG.random((3, 5, 2)), {method: mixed(3, 7) for method in methods}
    samples = {method: RNG.random((3, 7, 2)) for method in methods}
    figure = plots.samples_in_plane(paths, samples, near)
    panels = figure.axes[: len(methods)]
    assert [axes.get_title() for axes in panels] == [METHOD_NAMES[method] for method in methods]
    for axes, method in zip(panels, methods, strict=True):
        lines, dots = np.reshape(axes.lines, (3, 2)), np.reshape(axes.collections, (3, 3))
        for run, ((path, first), (full, hollow, final)) in enumerate(zip(lines, dots, strict=True)):
            np.testing.assert_array_equal(path.get_xydata(), paths[run])
            assert path.get_color() == RUN_COLORS[run]
            np.testing.assert_array_equal(first.get_xydata(), paths[run, :1])
            np.testing.assert_array_equal(final.get_offsets(), paths[run, -1:])
            np.testing.assert_array_equal(full.get_offsets(), samples[method][run][near[method][run]])
            np.testing.assert_array_equal(hollow.get_offsets(), samples[method][run][~near[method][run]])
            assert filled(full)
            assert filled(final)
            assert not filled(hollow)
            for own in (full, hollow):
                np.testing.assert_allclose(own.get_edgecolor()[0, :3], RUN_COLORS[run])
    assert [axes.get_xlabel() for axes in figure.axes[-2:]] == ["t-SNE axis 1"] * 2
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["t-SNE axis 2"] * (len(figure.axes) // 2)
    samples_of = ["first weights", "final solution", "sample as accurate", "sample less accurate"]
    assert entries(figure) == ["run 1", "run 2", "run 3", *samples_of]


@pytest.mark.parametrize("accurate", [True, False])
def test_samples_in_plane_of_one_kind_alone(accurate):
    samples = RNG.random((1, 4, 2))
    figure = plots.samples_in_plane(RNG.random((1, 3, 2)), {"random": samples}, {"random": np.full((1, 4), accurate)})
    full, hollow, _ = figure.axes[0].collections
    shown, empty = (full, hollow) if accurate else (hollow, full)
    np.testing.assert_array_equal(shown.get_offsets(), samples[0])
    assert len(empty.get_offsets()) == 0


def test_samples_in_plane_of_more_runs_than_colours():
    figure = plots.samples_in_plane(
        RNG.random((11, 3, 2)), {"random": RNG.random((11, 2, 2))}, {"random": mixed(11, 2)}
    )
    colors = [line.get_color() for line in figure.axes[0].lines[::2]]
    assert colors == [*RUN_COLORS, RUN_COLORS[0]]
    assert entries(figure)[10] == "run 11"


# How far they go


def test_distance_from_base_holds_points_and_both_lines():
    methods = ("random", "dropout")
    lost, apart = ({method: RNG.random((2, 3)) for method in methods} for _ in range(2))
    stayed = {method: mixed(2, 3) for method in methods}
    figure = plots.distance_from_base(lost, apart, stayed, 2.0)
    (axes,) = figure.axes
    for (full, hollow), method in zip(np.reshape(axes.collections, (2, 2)), methods, strict=True):
        places = np.stack([lost[method], apart[method]], axis=-1)
        np.testing.assert_array_equal(full.get_offsets(), places[stayed[method]])
        np.testing.assert_array_equal(hollow.get_offsets(), places[~stayed[method]])
        assert filled(full)
        assert not filled(hollow)
        for own in (full, hollow):
            np.testing.assert_allclose(own.get_edgecolor()[0, :3], mpl.colors.to_rgb(METHOD_COLORS[method]))
    between, margin = axes.lines
    np.testing.assert_array_equal(between.get_ydata(), [1, 1])
    np.testing.assert_array_equal(margin.get_xdata(), [2, 2])
    assert axes.get_ylim()[0] == 0
    assert axes.get_xlabel() == "validation accuracy lost (points)"
    assert axes.get_ylabel() == "disagreement / between runs"
    names = [METHOD_NAMES[method] for method in methods]
    assert entries(figure) == [*names, "nearest to another run", "between runs", "2 points lost"]


@pytest.mark.parametrize("stays", [True, False])
def test_distance_from_base_of_samples_that_all_stayed_or_left(stays):
    points, inside = {"random": np.array([[0.5, 3.0]])}, {"random": np.full((1, 2), stays)}
    figure = plots.distance_from_base(points, points, inside, 0.5)
    full, hollow = figure.axes[0].collections
    assert (len(full.get_offsets()), len(hollow.get_offsets())) == ((2, 0) if stays else (0, 2))
    assert entries(figure)[-1] == "0.5 points lost"
