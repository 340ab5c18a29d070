"""Every figure is drawn, labelled, and holds what it was given."""

import numpy as np
import pytest
import seaborn as sns

from lib import plots

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("clean_style")


def labelled(figure) -> bool:
    return all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)


def symmetric(size: int) -> np.ndarray:
    matrix = RNG.random((size, size))
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("similar_is_high", [True, False])
def test_checkpoint_similarity(similar_is_high):
    matrix = symmetric(12)
    figure = plots.checkpoint_similarity(matrix, 3, "cosine", similar_is_high)
    heat = figure.axes[0].collections[0]
    assert np.allclose(heat.get_array().ravel(), matrix.ravel())
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["run 1", "run 2", "run 3"]
    assert labelled(figure)


@pytest.mark.parametrize("runs", [2, 12])
def test_trajectories_in_plane(runs):
    points = RNG.random((runs, 4, 2))
    figure = plots.trajectories_in_plane(points, RNG.random((runs, 4)))
    assert len(figure.axes[0].lines) == runs
    assert np.allclose(figure.axes[0].lines[0].get_xydata(), points[0])
    texts = [text.get_text() for text in figure.legends[0].texts]
    assert texts[0] == "run 1"
    assert texts[-2:] == ["first weights", "final solution"]
    assert labelled(figure)


def test_learning_curves():
    curves = RNG.random((3, 5))
    figure = plots.learning_curves(curves)
    assert np.allclose(figure.axes[0].lines[1].get_ydata(), curves[1])
    assert labelled(figure)


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_solution_similarity(panels):
    matrices = [symmetric(4) for _ in range(panels)]
    figure = plots.solution_similarity(matrices, ["a", "b", "c"][:panels], "cosine", (0, 1), "viridis")
    assert [axes.get_title() for axes in figure.axes[:panels]] == ["a", "b", "c"][:panels]
    assert figure.get_figwidth() < 9
    assert figure.axes[0].texts[1].get_text() == f"{matrices[0][0, 1]:.2f}"


def test_pair_distances():
    figure = plots.pair_distances([RNG.random(6), RNG.random(6)], ["a", "b"], "distance")
    assert [len(dots.get_offsets()) for dots in figure.axes[0].collections[::2]] == [6, 6]
    assert figure.axes[0].get_xlim()[0] == 0


def test_run_colors_differ_for_the_colour_blind_and_in_grey():
    palette = plots.RUN_COLORS
    assert len({tuple(color) for color in palette}) == len(plots.RUN_MARKERS) == 10
    assert palette == sns.color_palette("colorblind", 10)
