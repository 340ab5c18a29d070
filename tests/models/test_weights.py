"""Flat vectors and back, and the one function that evaluates networks."""

import numpy as np
import pytest
import torch
from torch import nn

from lib.models import weights as w
from lib.models.networks import Dropout, build_model
from lib.models.weights import fresh_statistics, predict

# Networks this small are several times slower with threads that wait for one another on busy cores.
torch.set_num_threads(1)

SHAPE = (8, 8, 1)


def model(architecture="small_cnn", seed=0, dropout=0.0):
    network = build_model(architecture, SHAPE, 5, dropout, torch.Generator().manual_seed(seed))
    return network.set_pixel_statistics(np.full((1, 1, 1), 128.0), np.full((1, 1, 1), 64.0))


def images(count=23, seed=0):
    return np.random.default_rng(seed).integers(256, size=(count, *SHAPE), dtype=np.uint8)


def vectors(count=3, architecture="small_cnn"):
    return np.stack([w.flatten(model(architecture, seed)) for seed in range(count)])


def trained_like(seed=0):
    """A network with BatchNorm whose statistics are no longer those of a new one."""
    network = model("resnet8_v1", seed).train()
    with torch.no_grad():
        for start in range(3):
            network(w.as_pixels(images(16, seed=start)))
    return network


# Flat vectors


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_flatten_load_round_trip(architecture):
    source, target = model(architecture, 1), model(architecture, 2)
    vector = w.flatten(source)
    assert vector.dtype == np.float32
    assert vector.shape == (sum(p.numel() for p in source.parameters()),)
    assert not np.array_equal(w.flatten(target), vector)
    w.load(target, vector)
    np.testing.assert_array_equal(w.flatten(target), vector)
    for one, other in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("architecture", "channels"), [("small_cnn", 0), ("resnet8_v1", 16 * 3 + 32 * 2 + 64 * 2)])
def test_batch_norm_parameters_are_scales_and_shifts(architecture, channels):
    network = model(architecture)
    chosen = w.batch_norm_parameters(network)
    vector = w.flatten(network)
    assert chosen.shape == vector.shape
    assert chosen.sum() == 2 * channels
    # A new BatchNorm scales by one and shifts by zero.
    assert vector[chosen].sum() == channels
    assert set(vector[chosen]) <= {0, 1}


def test_flatten_order_is_that_of_parameters_whatever_the_memory_order():
    network = model()
    expected = np.concatenate([p.detach().contiguous().numpy().reshape(-1) for p in network.parameters()])
    np.testing.assert_array_equal(w.flatten(network), expected)


def test_flatten_is_a_copy():
    network = model()
    vector = w.flatten(network)
    kept = vector.copy()
    with torch.no_grad():
        next(network.parameters()).add_(1)
    np.testing.assert_array_equal(vector, kept)


def test_load_leaves_the_vector_alone_and_takes_a_read_only_one():
    vector = vectors(1)[0]
    vector.flags.writeable = False
    network = model(seed=3)
    w.load(network, vector)
    with torch.no_grad():
        next(network.parameters()).add_(1)
    np.testing.assert_array_equal(vector, vectors(1)[0])


def test_statistics_round_trip_and_are_empty_without_batch_norm():
    source, target = trained_like(), model("resnet8_v1", 2)
    statistics = w.flatten_statistics(source)
    assert statistics.shape == (2 * (16 * 3 + 32 * 2 + 64 * 2),)
    w.load(target, w.flatten(target), statistics)
    np.testing.assert_array_equal(w.flatten_statistics(target), statistics)
    assert w.flatten_statistics(model()).shape == (0,)
    assert w.flatten_statistics(model()).dtype == np.float32


def test_load_without_statistics_leaves_them():
    network = trained_like()
    before = w.flatten_statistics(network)
    w.load(network, vectors(1, "resnet8_v1")[0])
    np.testing.assert_array_equal(w.flatten_statistics(network), before)


@pytest.mark.parametrize("change", [lambda v: v[:-1], lambda v: np.append(v, 0), lambda v: v[None], lambda v: v[:0]])
def test_load_wrong_shape_is_named(change):
    vector = vectors(1)[0]
    with pytest.raises(ValueError, match=r"^weights must have the shape \(\d+,\), got \("):
        w.load(model(), change(vector))
    statistics = w.flatten_statistics(trained_like())
    with pytest.raises(ValueError, match=r"^statistics must have the shape \(480,\), got \("):
        w.load(model("resnet8_v1"), vectors(1, "resnet8_v1")[0], change(statistics))


# predict


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_predict_equals_a_plain_forward_pass(architecture):
    network = trained_like() if architecture == "resnet8_v1" else model(dropout=0.5)
    network.eval()
    with torch.no_grad():
        expected = network(torch.tensor(images()).permute(0, 3, 1, 2)).softmax(dim=1).numpy()
    probs = predict(network, w.flatten(network), images(), w.flatten_statistics(network))
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_predict_many_is_each_alone():
    many = predict(model(), vectors(3), images())
    assert many.shape == (3, 23, 5)
    for row, vector in zip(many, vectors(3), strict=True):
        np.testing.assert_array_equal(predict(model(seed=9), vector, images()), row)
    assert not np.allclose(many[0], many[1], atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 100])
def test_predict_does_not_depend_on_batch_size(batch_size):
    expected = predict(model(), vectors(2), images())
    np.testing.assert_allclose(predict(model(), vectors(2), images(), batch_size=batch_size), expected, atol=1e-6)


def test_predict_statistics_row_by_row():
    networks = [trained_like(seed) for seed in range(2)]
    rows = np.stack([w.flatten(network) for network in networks])
    statistics = np.stack([w.flatten_statistics(network) for network in networks])
    many = predict(model("resnet8_v1"), rows, images(), statistics)
    for index in range(2):
        alone = predict(model("resnet8_v1"), rows[index], images(), statistics[index])
        np.testing.assert_array_equal(many[index], alone)
    assert not np.allclose(predict(model("resnet8_v1"), rows, images(), statistics[::-1]), many, atol=1e-3)


def test_predict_probabilities_sum_to_one():
    probs = predict(model(), 10 * vectors(3), images())
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)


def test_predict_has_dropout_off():
    network = model(dropout=0.5).train()
    one, other = (predict(network, vectors(1)[0], images()) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, predict(model(), vectors(1)[0], images()))
    # In training mode the same network is noisy.
    network.train()
    pixels = w.as_pixels(images())
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = torch.Generator().manual_seed(0)
    assert not torch.equal(network(pixels), network(pixels))


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_predict_is_the_same_to_the_bit_on_two_threads(architecture, two_threads):
    rows = vectors(5, architecture)
    network = model(architecture, seed=9)
    stats = w.fresh_statistics(network, rows, images())
    np.testing.assert_array_equal(w.flatten(network), rows[-1])
    together = predict(network, rows, images(), stats)
    np.testing.assert_array_equal(w.flatten(network), rows[-1])
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    np.testing.assert_array_equal(stats, w.fresh_statistics(network, rows, images()))
    np.testing.assert_array_equal(together, predict(network, rows, images(), stats))


def test_predict_on_two_threads_hands_on_an_error(two_threads):
    with pytest.raises(ValueError, match=r"^weights must have the shape"):
        predict(model(), vectors(4)[:, 1:], images())
    assert torch.get_num_threads() == 2


def test_predict_leaves_the_model_in_evaluation_mode_with_the_last_weights_still_trainable():
    network = model(seed=9).train()
    predict(network, vectors(2), images())
    assert not any(module.training for module in network.modules())
    np.testing.assert_array_equal(w.flatten(network), vectors(2)[-1])
    network(w.as_pixels(images())).sum().backward()
    assert next(network.parameters()).grad is not None


def test_predict_changes_no_global_state():
    threads, state, grad = torch.get_num_threads(), torch.get_rng_state(), torch.is_grad_enabled()
    predict(model(dropout=0.5), vectors(1), images())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() is grad


def test_predict_without_statistics_raises_with_batch_norm_only():
    with pytest.raises(ValueError, match=r"^statistics are needed by a network with BatchNorm"):
        predict(model("resnet8_v1"), vectors(1, "resnet8_v1"), images())
    assert predict(model(), vectors(1), images(), np.zeros((1, 0), np.float32)).shape == (1, 23, 5)


def test_predict_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"^images must have the shape \(n, 8, 8, 1\), got \(3, 8, 9, 1\)"):
        predict(model(), vectors(1), np.zeros((3, 8, 9, 1), np.uint8))
    with pytest.raises(ValueError, match=r"^images must have the shape"):
        predict(model(), vectors(1), np.zeros((8, 8, 1), np.uint8))
    with pytest.raises(ValueError, match=r"^weights must have the shape \(\d+,\), got \(7,\)"):
        predict(model(), np.zeros((2, 7)), images())
    with pytest.raises(ValueError, match=r"^statistics must have 2 rows, as weights, got 1"):
        predict(model("resnet8_v1"), vectors(2, "resnet8_v1"), images(), np.zeros((1, 480)))


def test_as_pixels_keeps_type_and_moves_channels():
    pixels = w.as_pixels(np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (1, 3, 2, 4)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="images must have the shape"):
        w.as_pixels(np.zeros((2, 4, 3), np.uint8))


# fresh_statistics


def first_norm(network):
    return next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def test_fresh_statistics_are_batch_averages():
    network = trained_like()
    statistics = fresh_statistics(network, w.flatten(network), images(24), batch_size=8)
    # By hand for the first layer, whose input does not depend on other statistics.
    with torch.no_grad():
        activations = network.layers[0](network.normalize(w.as_pixels(images(24))))
    batches = activations.split(8)
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    np.testing.assert_allclose(statistics[:16], means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics[16:32], variances, rtol=1e-4, atol=1e-5)


def test_fresh_statistics_make_evaluation_equal_training_mode_on_one_batch():
    network = trained_like()
    vector = w.flatten(network)
    network.train()
    with torch.no_grad():
        expected = network(w.as_pixels(images(200))).softmax(dim=1).numpy()
    statistics = fresh_statistics(network, vector, images(200), batch_size=200)
    # Evaluation divides by the unbiased variance, training by the biased one: 1 / 200 apart, at least.
    np.testing.assert_allclose(predict(network, vector, images(200), statistics), expected, atol=0.03)
    stale = w.flatten_statistics(trained_like())
    assert np.abs(predict(network, vector, images(200), stale) - expected).max() > 0.03


def test_fresh_statistics_do_not_depend_on_what_the_model_held():
    vector = vectors(1, "resnet8_v1")[0]
    one = fresh_statistics(model("resnet8_v1"), vector, images())
    network = trained_like(seed=5)
    np.testing.assert_array_equal(fresh_statistics(network, vector, images()), one)
    many = fresh_statistics(network, vectors(2, "resnet8_v1"), images())
    assert many.shape == (2, 480)
    np.testing.assert_array_equal(many[0], one)
    assert not np.allclose(many[1], one)


def test_fresh_statistics_give_momentum_back():
    network = trained_like()
    fresh_statistics(network, w.flatten(network), images())
    assert first_norm(network).momentum == 0.01


def test_fresh_statistics_without_batch_norm_are_empty():
    assert fresh_statistics(model(), vectors(1)[0], images()).shape == (0,)
    assert fresh_statistics(model(), vectors(2), images()).shape == (2, 0)
