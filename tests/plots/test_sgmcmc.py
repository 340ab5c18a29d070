"""The figures of chains are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import legend_entries

from lib.plots import sgmcmc as plots

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("clean_style")


def test_chain_curves_draws_every_chain_and_the_ends_of_cycles():
    accuracies = {"one": RNG.random((3, 6)), "other": RNG.random((3, 6))}
    figure = plots.chain_curves(accuracies, [2, 4, 6])
    for axes, (network, curves) in zip(figure.axes, accuracies.items(), strict=True):
        assert axes.get_title() == network
        ends, chains = axes.lines[:3], axes.lines[3:]
        assert [line.get_xdata()[0] for line in ends] == [2, 4, 6]
        np.testing.assert_array_equal([line.get_ydata() for line in chains], curves)
        assert axes.get_ylabel() == "validation accuracy"
    assert legend_entries(figure) == ["chain 1", "chain 2", "chain 3"]


def test_cycle_cosines_names_the_chains():
    matrices = {name: np.eye(6) for name in ("one", "other")}
    figure = plots.cycle_cosines(matrices, 3)
    for axes, title in zip(figure.axes, matrices, strict=False):
        assert axes.get_title() == title
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["chain 1", "chain 2", "chain 3"]
        np.testing.assert_array_equal(axes.collections[0].get_array().ravel(), np.eye(6).ravel())


@pytest.mark.parametrize("chains", [2, 12])
def test_chains_in_plane_numbers_the_ends_of_cycles(chains):
    paths = RNG.random((chains, 7, 2))
    figure = plots.chains_in_plane({"small_cnn": paths}, np.array([3, 6]))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["1", "2"] * chains
    np.testing.assert_allclose([text.xy for text in axes.texts[:2]], paths[0, [3, 6]])
    np.testing.assert_allclose(axes.lines[0].get_xydata(), paths[0])
    assert legend_entries(figure)[-2:] == ["first weights", "end of a cycle"]
