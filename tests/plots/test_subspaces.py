"""The figures of samples around runs are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import legend_entries
from matplotlib.colors import to_rgb

from lib.plots import subspaces as plots
from lib.plots.style import METHOD_COLORS, METHOD_NAMES, RUN_COLORS

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("clean_style")


def assert_filled_where(chosen, places, full, hollow, color):
    """Assert that chosen places `(..., 2)` are drawn filled and the others hollow, all in one colour."""
    np.testing.assert_array_equal(full.get_offsets(), places[chosen])
    np.testing.assert_array_equal(hollow.get_offsets(), places[~chosen])
    assert len(full.get_facecolor())
    assert not len(hollow.get_facecolor())
    for own in (full, hollow):
        np.testing.assert_allclose(own.get_edgecolor()[0, :3], to_rgb(color))


@pytest.mark.parametrize("methods", [("random", "dropout", "diagonal-gaussian"), ("random",)])
@pytest.mark.parametrize("runs", [3, 11])
def test_samples_in_plane_hold_paths_and_samples_of_every_run(methods, runs):
    paths, samples = RNG.random((runs, 5, 2)), {method: RNG.random((runs, 7, 2)) for method in methods}
    near = {method: RNG.random((runs, 7)) > 0.5 for method in methods}
    near["random"][0], near["random"][1] = True, False
    figure = plots.samples_in_plane(paths, samples, near)
    panels = figure.axes[: len(methods)]
    assert [axes.get_title() for axes in panels] == [METHOD_NAMES[method] for method in methods]
    for axes, method in zip(panels, methods, strict=True):
        lines, dots = np.reshape(axes.lines, (runs, 3)), np.reshape(axes.collections, (runs, 2))
        for run, ((path, first, final), (full, hollow)) in enumerate(zip(lines, dots, strict=True)):
            np.testing.assert_array_equal(path.get_xydata(), paths[run])
            np.testing.assert_array_equal(first.get_xydata(), paths[run, :1])
            np.testing.assert_array_equal(final.get_xydata(), paths[run, -1:])
            color = RUN_COLORS[run % 10]
            assert path.get_color() == color
            assert_filled_where(near[method][run], samples[method][run], full, hollow, color)
    assert {axes.get_xlabel() for axes in panels[-2:]} == {"t-SNE axis 1"}
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["t-SNE axis 2"] * (len(figure.axes) // 2)
    points = ["first weights", "final solution", "sample as accurate", "sample less accurate"]
    assert legend_entries(figure) == [*(f"run {run + 1}" for run in range(runs)), *points]


@pytest.mark.parametrize("stay", [0.0, 0.5, 1.0])
def test_distance_from_base_holds_points_and_both_lines(stay):
    methods = ("random", "dropout")
    lost, apart, stayed = ({method: RNG.random((2, 3)) for method in methods} for _ in range(3))
    stayed = {method: own < stay for method, own in stayed.items()}
    figure = plots.distance_from_base(lost, apart, stayed, 2.0)
    (axes,) = figure.axes
    for (samples, crosses), method in zip(np.reshape(axes.collections, (2, 2)), methods, strict=True):
        places = np.stack([lost[method], apart[method]], axis=-1)
        np.testing.assert_array_equal(samples.get_offsets(), places.reshape(-1, 2))
        np.testing.assert_array_equal(crosses.get_offsets(), places[~stayed[method]])
        np.testing.assert_allclose(samples.get_facecolor()[0, :3], to_rgb(METHOD_COLORS[method]))
    between, margin = axes.lines
    np.testing.assert_array_equal(between.get_ydata(), [1, 1])
    np.testing.assert_array_equal(margin.get_xdata(), [2, 2])
    assert axes.get_ylim()[0] == 0
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "validation accuracy lost (points)",
        "disagreement / between runs",
    )
    names = [METHOD_NAMES[method] for method in methods]
    assert legend_entries(figure) == [*names, "nearest to another run", "between runs", "2 points lost"]
