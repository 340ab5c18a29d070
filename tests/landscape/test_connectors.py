"""Pairs of runs, and paths of low loss that are trained once between small networks."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import experiment, images, model, train

from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.landscape import connectors
from lib.landscape.connectors import Connector, disjoint_pairs, learning_rate_factor, train_connector
from lib.landscape.paths import CURVES, line
from lib.metrics import accuracy, negative_log_likelihood
from lib.models.predict import as_pixels, fresh_statistics, predict
from lib.models.weights import flatten, flatten_statistics, load
from lib.run.store import RunStore
from lib.training.trainer import build_member_model

SETTINGS = {"curve": "bezier", "epochs": 2, "learning_rate": 0.05, "seed": 0, "batch_size": 16}


def weights(architecture="small_cnn", seed=0):
    return flatten(model(architecture, seed))


def labels(count=23):
    return np.random.default_rng(1).integers(5, size=count)


def connect(network=None, start=None, end=None, tell=lambda epoch: None, **settings):
    start, end = (weights(seed=seed) if vector is None else vector for seed, vector in ((1, start), (2, end)))
    return train_connector(network or model(), start, end, images(), labels(), Connector(**SETTINGS | settings), tell)


def gradient(vector, weight_decay):
    """The gradient of the recipe's loss at one point, with all images in one batch."""
    network = model().eval()
    load(network, vector)
    F.cross_entropy(network(as_pixels(images())), torch.tensor(labels())).backward()
    return np.concatenate([p.grad.reshape(-1) for p in network.parameters()]) + weight_decay * vector


# Pairs and settings


def test_disjoint_pairs_share_no_run():
    assert disjoint_pairs(None, 2) == disjoint_pairs(None, 3) == disjoint_pairs(1, 9) == [(0, 1)]
    assert disjoint_pairs(None, 9) == disjoint_pairs(2, 4) == [(0, 1), (2, 3)]
    for count in (0, 2, -1):
        with pytest.raises(
            ConfigError, match=rf"^num_pairs must be from 1 to 1 for 3 runs, two per pair, got {count}$"
        ):
            disjoint_pairs(count, 3)


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


@pytest.mark.parametrize(
    ("epochs", "factors"),
    [
        (200, {1: 1, 100: 1, 101: 1 - 0.99 / 80, 140: 0.505, 180: 0.01, 181: 0.01, 200: 0.01}),
        (10, {1: 1, 5: 1, 6: 0.7525, 7: 0.505, 8: 0.2575, 9: 0.01, 10: 0.01}),
        (2, {1: 1, 2: 0.01}),
    ],
)
def test_learning_rate_at_the_recipes_epochs(epochs, factors):
    for epoch, factor in factors.items():
        assert learning_rate_factor(epoch, epochs) == pytest.approx(factor)


# Between trained networks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two small networks trained on digits, their architecture, the data and the store."""
    dataset, root = load_dataset("digits"), tmp_path_factory.mktemp("runs")
    first, second = train(root, epochs=3)
    return build_member_model(first.member, dataset), first, second, dataset, RunStore(root)


@pytest.mark.parametrize("curve", CURVES)
def test_connector_lowers_the_barrier_of_the_straight_line(trained, curve):
    network, first, second, dataset, store = trained
    connector = Connector(curve, 10, 0.05, 0, batch_size=64, weight_decay=1e-4)
    middle = connector.middle(network, first, second, dataset, store)
    start, on_path, end = points = connector.points(first, second, middle, [0, 0.5, 1])
    assert points.dtype == np.float32
    np.testing.assert_array_equal([start, end], [first.final, second.final])
    halfway = line(first.final, second.final, [0.5])[0]
    probs = predict(network, np.stack([halfway, on_path]), dataset.test.images)
    losses, accuracies = (score(probs, dataset.test.labels) for score in (negative_log_likelihood, accuracy))
    assert losses[0] > 1.5 > 1 > losses[1]
    assert accuracies[0] < 0.5 < 0.8 < accuracies[1]


def test_connector_is_trained_once(trained, monkeypatch):
    network, first, second, dataset, store = trained
    connector = Connector(**SETTINGS | {"epochs": 1})
    middle = connector.middle(network, first, second, dataset, store)
    data = dataset.train.images, dataset.train.labels
    np.testing.assert_array_equal(middle, train_connector(network, first.final, second.final, *data, connector))

    trainings = []
    monkeypatch.setattr(
        connectors, "train_connector", lambda *given: trainings.append(given) or np.zeros(3, np.float32)
    )
    np.testing.assert_array_equal(connector.middle(network, first, second, dataset, store), middle)
    assert trainings == []
    # Another direction or any other setting gives another path.
    connector.middle(network, second, first, dataset, store)
    for other in ({"curve": "chain"}, {"epochs": 2}, {"learning_rate": 0.1}, {"seed": 1}, {"weight_decay": 0.0}):
        Connector(**asdict(connector) | other).middle(network, first, second, dataset, store)
    assert len(trainings) == 6


# How the middle is trained


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_connector_same_seed_same_bits_other_seed_other(architecture):
    ends = weights(architecture, 1), weights(architecture, 2)
    one = connect(model(architecture), *ends)
    assert one.dtype == np.float32
    assert one.shape == ends[0].shape
    # What the model held before does not matter either.
    used = model(architecture, seed=7)
    if architecture == "resnet8_v1":
        fresh_statistics(used, ends[1], images())
    torch.manual_seed(3)
    np.testing.assert_array_equal(connect(used.train(), *ends), one)
    assert not np.array_equal(connect(model(architecture), *ends, seed=1), one)


def test_connector_leaves_ends_weights_and_global_state_alone():
    network, start, end = model(seed=5), weights(seed=1), weights(seed=2)
    for vector in (start, end):
        vector.flags.writeable = False
    state = torch.get_rng_state()
    middle = connect(network, start, end)
    np.testing.assert_array_equal(flatten(network), weights(seed=5))
    assert all(parameter.grad is None for parameter in network.parameters())
    np.testing.assert_array_equal([start, end], [weights(seed=1), weights(seed=2)])
    assert torch.equal(torch.get_rng_state(), state)
    assert np.abs(middle - (start + end) / 2).max() > 1e-3


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_connector_step_is_the_gradient_at_the_point_times_the_share_of_the_middle(weight_decay):
    # With both ends at w, and the middle halfway, every point of the curve is w: only the share depends on t.
    w = weights(seed=1)
    expected = gradient(w, weight_decay)
    shares = {}
    for curve in CURVES:
        for seed in range(5):
            settings = {"epochs": 1, "batch_size": 23, "learning_rate": 100.0, "weight_decay": weight_decay}
            step = connect(None, w, w, curve=curve, seed=seed, **settings) - w
            share = -(step @ expected) / (expected @ expected)  # the only epoch's rate is 1 % of 100
            np.testing.assert_allclose(step, -share * expected, atol=1e-5)
            shares[curve, seed] = share
    for seed in range(5):
        # 1 - |2t - 1| is twice the distance u of t from the nearer end, and 2t(1 - t) is 2u(1 - u).
        u = shares["chain", seed] / 2
        assert 0 < u < 0.5
        assert shares["bezier", seed] == pytest.approx(2 * u * (1 - u), rel=1e-3)
    assert len({round(shares["chain", seed], 3) for seed in range(5)}) == 5


def test_connector_normalises_by_the_batch_and_tracks_it():
    network = model("resnet8_v1")
    before = flatten_statistics(network)
    connect(network, weights("resnet8_v1", 1), weights("resnet8_v1", 2))
    assert not np.allclose(flatten_statistics(network), before)
    assert not any(module.training for module in network.modules())


def test_connector_tells_every_epoch_and_trains_on_one_thread():
    seen = []
    torch.set_num_threads(2)
    try:
        connect(tell=lambda epoch: seen.append((epoch, torch.get_num_threads())))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [(1, 1), (2, 1)]


def test_connector_that_diverges_is_one_line():
    with pytest.raises(ConfigError, match=r"^the path diverged in epoch 1; curve_learning_rate 1e\+30 is too high$"):
        connect(learning_rate=1e30, batch_size=2)
    with pytest.raises(ValueError, match="same shape"):
        connect(end=np.zeros(3))
