"""Pairs of runs, and connectors that are trained once."""

import numpy as np
import pytest
from helpers import experiment, train

from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.landscape import connectors
from lib.landscape.connectors import Connector, chosen_pair, disjoint_pairs, positions
from lib.landscape.paths import bezier, chain, train_connector
from lib.run.store import RunStore
from lib.training.trainer import build_member_model

SETTINGS = {"curve": "bezier", "epochs": 1, "learning_rate": 0.05, "seed": 0}


def test_chosen_pair_counts_from_one():
    assert chosen_pair(None, 2) == (0, 1)
    assert chosen_pair([3, 1], 3) == (2, 0)


@pytest.mark.parametrize("runs", [[1, 1], [0, 1], [1, 4], [1], [1, 2, 3], [1.0, 2], [True, 2], ["1", "2"], []])
def test_chosen_pair_that_is_none_is_one_line(runs):
    with pytest.raises(ConfigError, match=r"^runs must be two different numbers from 1 to 3, as in \[1, 2\], got \["):
        chosen_pair(runs, 3)


def test_disjoint_pairs_share_no_run():
    assert disjoint_pairs(None, 2) == disjoint_pairs(None, 3) == disjoint_pairs(1, 9) == [(0, 1)]
    assert disjoint_pairs(None, 9) == disjoint_pairs(2, 4) == [(0, 1), (2, 3)]
    assert disjoint_pairs(3, 6) == [(0, 1), (2, 3), (4, 5)]


@pytest.mark.parametrize("count", [0, 2, -1])
def test_disjoint_pairs_that_are_not_there_are_one_line(count):
    message = rf"^num_pairs must be from 1 to 1 for 3 runs, two a pair, got {count}$"
    with pytest.raises(ConfigError, match=message):
        disjoint_pairs(count, 3)


def test_positions_have_the_ends_and_the_middle():
    np.testing.assert_array_equal(positions(5), [0, 0.25, 0.5, 0.75, 1])
    for count in (4, 1, -3, None):
        with pytest.raises(ConfigError, match=rf"^num_points must be an odd number, at least 3, .*, got {count}$"):
            positions(count)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"curve": "bezir"}, r"^unknown curve 'bezir'; did you mean 'bezier'\? allowed: bezier, chain$"),
        ({"epochs": 0}, r"^curve_epochs must be at least 1, got 0$"),
        ({"epochs": None}, r"^curve_epochs must be at least 1, got None$"),
        ({"learning_rate": 0.0}, r"^curve_learning_rate must be above 0, got 0.0$"),
        ({"learning_rate": float("nan")}, r"^curve_learning_rate must be above 0, got nan$"),
    ],
)
def test_connector_bad_settings_are_one_line(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Connector(**SETTINGS | wrong)


def test_connector_learning_rate_is_the_curves_unless_given():
    standardized, raw = experiment(seed=3), experiment(pixel_scaling="raw")
    bezier_rate, chain_rate = (Connector.of(standardized, curve, 5, None) for curve in ("bezier", "chain"))
    assert (bezier_rate.learning_rate, chain_rate.learning_rate) == (0.1, 0.02)
    assert bezier_rate.seed == 3
    assert Connector.of(raw, "bezier", 5, None).learning_rate == pytest.approx(0.01)
    assert Connector.of(raw, "bezier", 5, 2).learning_rate == 2.0
    with pytest.raises(ConfigError, match=r"^unknown curve 'line'"):
        Connector.of(raw, "line", 5, None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    dataset = load_dataset("digits")
    root = tmp_path_factory.mktemp("runs")
    first, second = train(root, epochs=1)
    return first, second, dataset, RunStore(root)


def test_connector_is_trained_once(trained, monkeypatch):
    first, second, dataset, store = trained
    network = build_member_model(first.member, dataset)
    connector = Connector(**SETTINGS)
    middle = connector.middle(network, first, second, dataset, store)
    data = dataset.train.images, dataset.train.labels
    settings = SETTINGS | {"batch_size": connectors.BATCH_SIZE, "weight_decay": connectors.WEIGHT_DECAY}
    np.testing.assert_array_equal(middle, train_connector(network, first.final, second.final, *data, **settings))

    trainings = []
    monkeypatch.setattr(
        connectors, "train_connector", lambda *_, **settings: trainings.append(settings) or np.zeros(3, np.float32)
    )
    np.testing.assert_array_equal(connector.middle(network, first, second, dataset, store), middle)
    assert trainings == []
    # Another direction, or any other setting, is another path.
    Connector(**SETTINGS).middle(network, second, first, dataset, store)
    for other in ({"curve": "chain"}, {"epochs": 2}, {"learning_rate": 0.1}, {"seed": 1}, {"weight_decay": 0.0}):
        Connector(**SETTINGS | other).middle(network, first, second, dataset, store)
    assert len(trainings) == 6


def test_connector_points_lie_on_its_curve(trained):
    first, second, _, _ = trained
    middle, t = np.ones_like(first.final), [0, 0.3, 1]
    for curve, expected in (("bezier", bezier), ("chain", chain)):
        points = Connector(**SETTINGS | {"curve": curve}).points(first, second, middle, t)
        np.testing.assert_array_equal(points, expected(first.final, middle, second.final, t))
        np.testing.assert_array_equal(points[[0, 2]], [first.final, second.final])
