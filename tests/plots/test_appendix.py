"""The figures of the appendix hold what they were given, and are labelled."""

import numpy as np
import pytest

from lib.findings.claims import Estimate
from lib.plots import appendix

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("clean_style")


def legend(figure):
    return [text.get_text() for text in figure.legends[0].texts]


def estimates(values, low=0.1, high=0.1):
    rates = 4e-4 * 2 ** np.arange(len(values))
    return {
        rate: Estimate(value, value - low, value + high, 2000, "members")
        for rate, value in zip(rates, values, strict=True)
    }


def test_sources_of_diversity_draws_values_and_intervals():
    sources = {"both": estimates([0.3, 0.4, 0.5]), "order": estimates([0.1, 0.2, 0.3]), "none": estimates([0.0], 0, 0)}
    figure = appendix.sources_of_diversity({"fraction": sources, "diversity": sources})
    upper, lower = figure.axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("fraction", "diversity")
    assert lower.get_xlabel() == "learning rate"
    assert [tick.get_text() for tick in lower.get_xticklabels()] == ["0.0004", "0.0008", "0.0016"]
    assert legend(figure) == ["initialisation and order", "order alone", "neither"]
    drawn = [container.lines[0].get_ydata() for container in upper.containers]
    np.testing.assert_allclose(drawn[0], [0.3, 0.4, 0.5])
    (bars,) = upper.containers[0].lines[2]
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0.2, 0.4], [0.3, 0.5], [0.4, 0.6]])
    markers = [container.lines[0].get_marker() for container in upper.containers]
    assert len(set(markers)) == 3


@pytest.mark.parametrize(("low", "high"), [(np.nan, np.nan), (-0.05, 0.1)])
def test_sources_of_diversity_without_an_interval_or_with_one_beside_the_value(low, high):
    figure = appendix.sources_of_diversity({"fraction": {"both": estimates([0.3, 0.4], low, high)}})
    figure.canvas.draw()


def test_chain_curves_draws_every_chain_and_the_ends_of_cycles():
    accuracies = RNG.random((2, 3, 6))
    figure = appendix.chain_curves(accuracies, ["one", "other"], [2, 4, 6])
    for axes, curves in zip(figure.axes, accuracies, strict=True):
        ends, chains = axes.lines[:3], axes.lines[3:]
        assert [line.get_xdata()[0] for line in ends] == [2, 4, 6]
        np.testing.assert_array_equal([line.get_ydata() for line in chains], curves)
        assert axes.get_ylabel() == "validation accuracy"
    assert legend(figure) == ["chain 1", "chain 2", "chain 3"]


def test_cycle_cosines_names_the_chains():
    matrices = {name: np.eye(6) for name in ("one", "other")}
    figure = appendix.cycle_cosines(matrices, 3)
    for axes, title in zip(figure.axes, matrices, strict=False):
        assert axes.get_title() == title
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["chain 1", "chain 2", "chain 3"]
        np.testing.assert_array_equal(axes.collections[0].get_array().ravel(), np.eye(6).ravel())


@pytest.mark.parametrize("chains", [2, 12])
def test_chains_in_plane_numbers_the_ends_of_cycles(chains):
    paths = RNG.random((chains, 7, 2))
    figure = appendix.chains_in_plane({"small_cnn": paths}, np.array([3, 6]))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["1", "2"] * chains
    np.testing.assert_allclose([text.xy for text in axes.texts[:2]], paths[0, [3, 6]])
    np.testing.assert_allclose(axes.lines[0].get_xydata(), paths[0])
    assert legend(figure)[-2:] == ["first weights", "end of a cycle"]
