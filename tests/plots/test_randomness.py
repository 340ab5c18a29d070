"""The figure of the sources of diversity is labelled, and shows the data that it is given."""

import numpy as np
import pandas as pd
import pytest
from helpers import legend_entries

from lib.plots.randomness import sources_of_diversity

pytestmark = pytest.mark.usefixtures("clean_style")

COLUMNS = ["measure", "series", "learning rate", "value", "low", "high"]
BOTH, ORDER, NEITHER = "initialisation and order", "order alone", "neither"


def differences(measure, low=0.1, high=0.1):
    rows = [[BOTH, rate, value, value - low, value + high] for rate, value in ((4e-4, 0.3), (8e-4, 0.4), (1.6e-3, 0.5))]
    rows += [[ORDER, rate, value, value - low, value + high] for rate, value in ((4e-4, 0.1), (1.6e-3, 0.3))]
    rows.append([NEITHER, 1.6e-3, 0.0, 0.0, 0.0])
    return pd.DataFrame([[measure, *row] for row in rows], columns=COLUMNS)


def test_sources_of_diversity_draws_values_and_intervals():
    figure = sources_of_diversity(pd.concat([differences("fraction"), differences("diversity")]))
    upper, lower = figure.axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("fraction", "diversity")
    assert lower.get_xlabel() == "learning rate"
    assert [tick.get_text() for tick in lower.get_xticklabels()] == ["0.0004", "0.0008", "0.0016"]
    assert legend_entries(figure) == [BOTH, ORDER, NEITHER]
    drawn = [container.lines[0].get_ydata() for container in upper.containers]
    np.testing.assert_allclose(drawn[0], [0.3, 0.4, 0.5])
    (bars,) = upper.containers[0].lines[2]
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0.2, 0.4], [0.3, 0.5], [0.4, 0.6]])
    markers = [container.lines[0].get_marker() for container in upper.containers]
    assert len(set(markers)) == 3


@pytest.mark.parametrize(("low", "high"), [(np.nan, np.nan), (-0.05, 0.1)])
def test_sources_of_diversity_without_an_interval_or_with_one_beside_the_value(low, high):
    sources_of_diversity(differences("fraction", low, high)).canvas.draw()
