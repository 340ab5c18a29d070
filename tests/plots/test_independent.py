"""The figures of pairs of solutions are labelled, and show the data that they are given."""

import numpy as np
import pytest

from lib.plots import independent as plots

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("clean_style")


@pytest.mark.parametrize("function", [plots.cosines, plots.disagreements])
@pytest.mark.parametrize("panels", [1, 2, 3])
def test_matrices_have_a_panel_a_network_with_its_numbers(function, panels):
    matrices = {name: RNG.random((4, 4)) for name in "abc"[:panels]}
    figure = function(matrices)
    shown = figure.axes[:panels]
    assert [axes.get_title() for axes in shown] == list(matrices)
    assert all(axes.get_xlabel() == axes.get_ylabel() == "run" for axes in shown)
    assert figure.get_figwidth() < 9
    assert figure.axes[0].texts[1].get_text() == f"{matrices['a'][0, 1]:.2f}"


def test_panels_share_their_colours():
    figure = plots.disagreements({"a": np.full((2, 2), 0.5), "b": np.full((2, 2), 0.25)})
    assert [axes.collections[0].get_clim() for axes in figure.axes[:2]] == [(0, 0.5)] * 2


def test_pair_distances_have_a_row_a_network():
    figure = plots.pair_distances({"a": RNG.random(6), "b": RNG.random(3)}, "distance")
    (axes,) = figure.axes
    assert [len(dots.get_offsets()) for dots in axes.collections[::2]] == [6, 3]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlabel() == "distance"
