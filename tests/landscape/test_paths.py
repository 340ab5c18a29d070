"""Lines, planes and curves with points known on paper, and connectors trained between small networks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import train

from lib.data.datasets import load_dataset
from lib.errors import ConfigError
from lib.landscape.paths import (
    CURVES,
    Plane,
    bezier,
    chain,
    descend,
    learning_rate_factor,
    line,
    polar_grid,
    train_connector,
)
from lib.metrics import accuracy, negative_log_likelihood
from lib.models.networks import build_model
from lib.models.weights import as_pixels, flatten, flatten_statistics, fresh_statistics, load, predict
from lib.training.trainer import build_member_model

SHAPE = (8, 8, 1)
SETTINGS = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05, "weight_decay": 5e-4, "seed": 0}


def vectors(count, length=40, seed=0):
    return np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)


def model(architecture="small_cnn", seed=0, dropout=0.0):
    network = build_model(architecture, SHAPE, 5, dropout, torch.Generator().manual_seed(seed))
    return network.set_pixel_statistics(np.full((1, 1, 1), 128.0), np.full((1, 1, 1), 64.0))


def weights(architecture="small_cnn", seed=0):
    return flatten(model(architecture, seed))


def images(count=23):
    return np.random.default_rng(0).integers(256, size=(count, *SHAPE), dtype=np.uint8)


def labels(count=23):
    return np.random.default_rng(1).integers(5, size=count)


def connect(network=None, start=None, end=None, **settings):
    start, end = (weights(seed=seed) if vector is None else vector for seed, vector in ((1, start), (2, end)))
    return train_connector(network or model(), start, end, images(), labels(), **SETTINGS | settings)


def gradient(vector, weight_decay):
    """The gradient of the loss that the recipe minimises at one point, all images in one batch."""
    network = model().eval()
    load(network, vector)
    F.cross_entropy(network(as_pixels(images())), torch.tensor(labels())).backward()
    return np.concatenate([p.grad.reshape(-1) for p in network.parameters()]) + weight_decay * vector


# Straight lines


def test_line_from_end_to_end_in_equal_steps():
    start, end = vectors(2)
    points = line(start, end, 5)
    assert points.dtype == np.float32
    assert points.shape == (5, 40)
    np.testing.assert_array_equal(points[0], start)
    np.testing.assert_array_equal(points[-1], end)
    np.testing.assert_allclose(points[2], (start + end) / 2, atol=1e-6)
    np.testing.assert_allclose(np.diff(points, axis=0), np.tile((end - start) / 4, (4, 1)), atol=1e-6)


def test_line_of_two_steps_is_the_ends():
    np.testing.assert_array_equal(line([1, 2], [3, 4], 2), [[1, 2], [3, 4]])


def test_line_bad_input_is_named():
    with pytest.raises(ValueError, match=r"^steps must be at least 2, got 1$"):
        line([1], [2], 1)
    with pytest.raises(ValueError, match=r"^end must have the shape \(2,\) of start, got \(3,\)$"):
        line([1, 2], [1, 2, 3], 3)
    with pytest.raises(ValueError, match=r"^start must have the shape \(P,\), got \(1, 2\)$"):
        line([[1, 2]], [[1, 2]], 3)


# Planes


@pytest.mark.parametrize("skew", [0, 0.9, -3])
def test_plane_has_the_optima_at_its_unit_points_and_the_origin_at_zero(skew):
    first, second = vectors(2) * [[1], [7]]
    second = second + skew * first
    plane = Plane(first, second)
    np.testing.assert_allclose(plane.points([[1, 0], [0, 1], [0, 0]]), [first, second, 0 * first], rtol=1e-6)
    np.testing.assert_allclose(
        plane.coordinates(np.stack([first, second, 0 * first])), [[1, 0], [0, 1], [0, 0]], atol=1e-12
    )


def test_plane_coordinates_of_points_are_where_they_came_from():
    plane = Plane(*vectors(2))
    coordinates = np.random.default_rng(2).normal(size=(30, 2))
    points = plane.points(coordinates)
    assert points.dtype == np.float32
    assert points.shape == (30, 40)
    np.testing.assert_allclose(plane.coordinates(points), coordinates, atol=1e-6)


def test_plane_points_keep_the_shape_of_a_grid():
    plane = Plane([1, 0, 0], [0, 1, 0])
    grid = np.arange(24.0).reshape(3, 4, 2)
    points = plane.points(grid)
    assert points.shape == (3, 4, 3)
    np.testing.assert_array_equal(points, np.concatenate([grid, np.zeros((3, 4, 1))], axis=-1))
    np.testing.assert_array_equal(plane.points([5, 6]), [5, 6, 0])


def test_plane_projects_what_lies_off_it_orthogonally():
    # By hand: in the basis (1, 0, 0), (1, 1, 0) the point under (5, 2, 9) is 3 times the first plus 2 times the second.
    np.testing.assert_allclose(Plane([1, 0, 0], [1, 1, 0]).coordinates([[5, 2, 9]]), [[3, 2]], atol=1e-12)
    first, second, off = vectors(3)
    plane = Plane(first, second)
    rest = off - plane.points(plane.coordinates(off[None]))[0]
    np.testing.assert_allclose([rest @ first, rest @ second], 0, atol=1e-4)
    assert np.linalg.norm(rest) > 1
    solved = np.linalg.lstsq(np.stack([first, second], axis=1), off, rcond=None)[0]
    np.testing.assert_allclose(plane.coordinates(off[None])[0], solved, atol=1e-5)


def test_plane_of_no_weights_is_empty():
    assert Plane(*vectors(2)).points(np.zeros((0, 2))).shape == (0, 40)
    assert Plane(*vectors(2)).coordinates(np.zeros((0, 40))).shape == (0, 2)


@pytest.mark.parametrize("factor", [1, -2.5, 1e-6, 0])
def test_plane_of_parallel_vectors_is_refused(factor):
    first = vectors(1)[0]
    for pair in ((first, first * np.float32(factor)), (first * np.float32(factor), first)):
        with pytest.raises(ValueError, match=r"^first and second must span a plane, got parallel vectors$"):
            Plane(*pair)


def test_plane_of_nearly_parallel_vectors_still_solves():
    first, second = vectors(2).astype(float)
    plane = Plane(first, first + 1e-4 * second)
    np.testing.assert_allclose(plane.coordinates([2 * first + 1e-4 * second]), [[1, 1]], atol=1e-9)


def test_plane_bad_input_is_named():
    with pytest.raises(ValueError, match=r"^second must have the shape \(2,\) of first, got \(3,\)$"):
        Plane([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"^first and second must be finite$"):
        Plane([1, np.nan], [1, 2])
    plane = Plane([1, 2, 0], [0, 1, 0])
    with pytest.raises(ValueError, match=r"^coordinates must have the shape \(\.\.\., 2\), got \(3,\)$"):
        plane.points([1, 2, 3])
    for wrong in (np.zeros(3), np.zeros((2, 4))):
        with pytest.raises(ValueError, match=r"^weights must have the shape \(N, 3\), got \("):
            plane.coordinates(wrong)


def test_polar_grid_has_the_rays_of_the_optima_at_zero_and_a_right_angle():
    grid = polar_grid([0, 1, 2], [0, np.pi / 2, np.pi / 4, np.pi])
    assert grid.shape == (3, 4, 2)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(grid[1], [[1, 0], [0, 1], [half, half], [-1, 0]], atol=1e-15)
    np.testing.assert_array_equal(grid[0], 0)
    np.testing.assert_array_equal(grid[2], 2 * grid[1])
    optima = vectors(2)
    np.testing.assert_allclose(Plane(*optima).points(grid)[1, :2], optima, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"^radii and angles must have the shapes \(R,\) and \(A,\), got \(\) and \(1,\)"
    ):
        polar_grid(1, [0])


# Curves


def test_bezier_at_the_ends_and_the_middle():
    start, middle, end = vectors(3)
    points = bezier(start, middle, end, [0, 0.5, 1])
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points[[0, 2]], [start, end])
    np.testing.assert_allclose(points[1], start / 4 + middle / 2 + end / 4, atol=1e-6)
    np.testing.assert_allclose(bezier([16], [32], [64], [0.25]), [[9 + 12 + 4]])


def test_chain_at_the_ends_and_the_middle():
    start, middle, end = vectors(3)
    points = chain(start, middle, end, [0, 0.5, 1])
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, [start, middle, end])
    np.testing.assert_allclose(chain([16], [32], [64], [0.25, 0.75]), [[24], [48]])


@pytest.mark.parametrize("curve", [bezier, chain])
def test_curve_of_a_middle_halfway_is_the_straight_line(curve):
    start, end = vectors(2)
    points = curve(start, (start + end) / 2, end, np.linspace(0, 1, 7))
    np.testing.assert_allclose(points, line(start, end, 7), atol=1e-6)


@pytest.mark.parametrize("curve", [bezier, chain])
def test_curve_bad_input_is_named(curve):
    for t in (0.5, [-0.1], [1.1], [np.nan]):
        with pytest.raises(ValueError, match=r"^t must have the shape \(n,\) and lie from 0 to 1, got "):
            curve([1], [2], [3], t)
    with pytest.raises(ValueError, match=r"^middle must have the shape \(1,\) of start, got \(2,\)$"):
        curve([1], [2, 2], [3], [0.5])


# Connectors


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


@pytest.fixture(scope="module")
def optima(tmp_path_factory):
    """Two small networks trained on digits, their architecture, and the data."""
    dataset = load_dataset("digits")
    first, second = train(tmp_path_factory.mktemp("runs"), epochs=3)
    return build_member_model(first.member, dataset), first.final, second.final, dataset


@pytest.mark.parametrize("curve", ["bezier", "chain"])
def test_connector_lowers_the_barrier_of_the_straight_line(optima, curve):
    network, start, end, dataset = optima
    data = dataset.train.images, dataset.train.labels
    settings = {"epochs": 20, "batch_size": 64, "learning_rate": 0.05, "weight_decay": 1e-4, "seed": 0}
    middle = train_connector(network, start, end, *data, curve=curve, **settings)
    halfway = line(start, end, 3)[1]
    on_path = {"bezier": bezier, "chain": chain}[curve](start, middle, end, [0.5])[0]
    probs = predict(network, np.stack([halfway, on_path]), dataset.test.images)
    losses, accuracies = (score(probs, dataset.test.labels) for score in (negative_log_likelihood, accuracy))
    assert losses[0] > 1.5
    assert accuracies[0] < 0.5
    assert losses[1] < 0.5
    assert accuracies[1] > 0.8


def test_descend_finds_low_loss_beside_the_straight_line(optima):
    network, start, end, dataset = optima
    data = dataset.train.images, dataset.train.labels
    points = line(start, end, 3)
    settings = {"epochs": 3, "batch_size": 64, "learning_rate": 0.05, "weight_decay": 0.0, "seed": 0}
    low = descend(network, points, *data, **settings)
    assert low.shape == points.shape
    losses = [
        negative_log_likelihood(predict(network, w, dataset.test.images), dataset.test.labels) for w in (points, low)
    ]
    assert (losses[1] < losses[0]).all()
    assert losses[1][1] < 1 < losses[0][1]


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_connector_same_seed_same_bits_other_seed_other(architecture):
    ends = weights(architecture, 1), weights(architecture, 2)
    one = connect(model(architecture), *ends)
    assert one.dtype == np.float32
    assert one.shape == ends[0].shape
    # Nor does it matter what the model held before.
    used = model(architecture, seed=7)
    if architecture == "resnet8_v1":
        fresh_statistics(used, ends[1], images())
    torch.manual_seed(3)
    np.testing.assert_array_equal(connect(used.train(), *ends), one)
    assert not np.array_equal(connect(model(architecture), *ends, seed=1), one)


@pytest.mark.parametrize("curve", sorted(CURVES))
def test_connector_leaves_ends_weights_and_global_state_alone(curve):
    network, start, end = model(seed=5), weights(seed=1), weights(seed=2)
    for vector in (start, end):
        vector.flags.writeable = False
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    middle = connect(network, start, end, curve=curve)
    np.testing.assert_array_equal(flatten(network), weights(seed=5))
    assert all(parameter.grad is None for parameter in network.parameters())
    np.testing.assert_array_equal([start, end], [weights(seed=1), weights(seed=2)])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert np.abs(middle - (start + end) / 2).max() > 1e-3


def test_connector_begins_halfway():
    halfway = (weights(seed=1) + weights(seed=2)) / 2
    np.testing.assert_allclose(connect(epochs=0), halfway, atol=1e-7)
    np.testing.assert_array_equal(connect(learning_rate=0.0), connect(epochs=0))


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


def test_descend_is_gradient_descent_with_momentum():
    w = weights(seed=1)
    settings = {"batch_size": 23, "learning_rate": 0.5, "weight_decay": 0.1, "seed": 0}
    first = gradient(w, 0.1)
    after_one = w - 0.5 * first
    after_two = after_one - 0.01 * 0.5 * (0.9 * first + gradient(after_one, 0.1))
    end = descend(model(), w[None], images(), labels(), epochs=2, **settings)[0]
    np.testing.assert_allclose(end, after_two, atol=1e-6)
    assert np.abs(after_two - after_one).max() > 1e-4


def test_descend_from_many_points_is_each_alone():
    points = line(weights(seed=1), weights(seed=2), 3)
    many = descend(model(), points, images(), labels(), **SETTINGS)
    for point, end in zip(points, many, strict=True):
        np.testing.assert_array_equal(descend(model(), point[None], images(), labels(), **SETTINGS), [end])
    assert not np.array_equal(many, descend(model(), points, images(), labels(), **SETTINGS | {"seed": 1}))
    assert descend(model(), points[:0], images(), labels(), **SETTINGS).shape == (0, points.shape[1])


def test_connector_has_dropout_off():
    np.testing.assert_array_equal(connect(model(dropout=0.5)), connect(model()))


def test_connector_normalises_by_the_batch_and_tracks_it():
    network = model("resnet8_v1")
    before = flatten_statistics(network)
    connect(network, weights("resnet8_v1", 1), weights("resnet8_v1", 2))
    assert not np.allclose(flatten_statistics(network), before)
    assert not any(module.training for module in network.modules())


def test_connector_progress_is_the_mean_loss_of_every_epoch():
    seen, w = [], weights(seed=1)
    settings = {"epochs": 3, "batch_size": 10, "learning_rate": 0.0}
    connect(None, w, w, progress=lambda *news: seen.append(news), **settings)
    expected = negative_log_likelihood(predict(model(), w, images()), labels())
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    np.testing.assert_allclose([loss for _, loss in seen], expected, rtol=1e-5)


def test_connector_trains_on_one_thread():
    seen = []
    torch.set_num_threads(2)
    try:
        connect(progress=lambda *_: seen.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert seen == [1, 1]


def test_connector_that_diverges_is_one_line():
    with pytest.raises(ConfigError, match=r"^the path diverged in epoch 1; learning_rate 1e\+30 is too high$"):
        connect(learning_rate=1e30, batch_size=2)


def test_connector_bad_input_is_named():
    with pytest.raises(ConfigError, match=r"^unknown curve 'bezir'; did you mean 'bezier'\? allowed: bezier, chain$"):
        connect(curve="bezir")
    with pytest.raises(ValueError, match=r"^end must have the shape \(\d+,\) of start, got \(3,\)$"):
        connect(end=np.zeros(3))
    with pytest.raises(ValueError, match=r"^weights must have the length \d+ of the model, got 3$"):
        connect(start=np.zeros(3), end=np.ones(3))
    with pytest.raises(ValueError, match=r"^epochs must be at least 0 and batch_size at least 1, got 2 and 0$"):
        connect(batch_size=0)
    for wrong in ((images()[..., 0], labels()), (images(), labels(3))):
        with pytest.raises(ValueError, match=r"^images and labels must be \(n, 8, 8, 1\) and \(n,\), got \(23, 8, 8"):
            train_connector(model(), weights(), weights(seed=1), *wrong, **SETTINGS)
    with pytest.raises(ValueError, match=r"^points must have the shape \(n, P\), got \("):
        descend(model(), weights(), images(), labels(), **SETTINGS)
