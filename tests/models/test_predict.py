"""Predictions of flat weights, and the BatchNorm statistics that they need."""

import copy

import numpy as np
import pytest
import torch
from helpers import images, model, trained_like, vectors
from torch.optim.swa_utils import update_bn

from lib.models import weights as w
from lib.models.layers import Dropout
from lib.models.predict import as_pixels, fresh_statistics, predict


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


@pytest.mark.parametrize("batch_size", [7, 100])
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


def test_predict_has_dropout_off():
    network = model(dropout=0.5).train()
    one, other = (predict(network, vectors(1)[0], images()) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, predict(model(), vectors(1)[0], images()))
    # In training mode the same network is noisy.
    network.train()
    pixels = as_pixels(images())
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
    stats = fresh_statistics(network, rows, images())
    together = predict(network, rows, images(), stats)
    np.testing.assert_array_equal(w.flatten(network), rows[-1])
    # A network alone uses no more threads than among others.
    np.testing.assert_array_equal(stats[0], fresh_statistics(network, rows[0], images()))
    np.testing.assert_array_equal(together[0], predict(network, rows[0], images(), stats[0]))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    np.testing.assert_array_equal(stats, fresh_statistics(network, rows, images()))
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
    network(as_pixels(images())).sum().backward()
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
    pixels = as_pixels(np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (1, 3, 2, 4)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(ValueError, match="images must have the shape"):
        as_pixels(np.zeros((2, 4, 3), np.uint8))


# fresh_statistics


def test_fresh_statistics_are_those_of_update_bn_where_batches_are_equal():
    network = trained_like()
    vector = w.flatten(network)
    expected = copy.deepcopy(network)
    update_bn(as_pixels(images(40)).split(10), expected)
    np.testing.assert_array_equal(fresh_statistics(network, vector, images(40), 10), w.flatten_statistics(expected))


def test_fresh_statistics_do_not_mind_one_more_image():
    vector = w.flatten(trained_like())
    one, other = (fresh_statistics(model("resnet8_v1"), vector, images(count), 200) for count in (200, 201))
    probs = [predict(model("resnet8_v1"), vector, images(), own) for own in (one, other)]
    # Counting a last batch of one image as much as the first changed them by 0.1 and more.
    np.testing.assert_allclose(*probs, atol=0.02)


def test_fresh_statistics_make_evaluation_equal_training_mode_on_one_batch():
    network = trained_like()
    vector = w.flatten(network)
    network.train()
    with torch.no_grad():
        expected = network(as_pixels(images(200))).softmax(dim=1).numpy()
    statistics = fresh_statistics(network, vector, images(200), batch_size=200)
    # Evaluation divides by the unbiased variance, training by the biased one; they differ by at least 1 / 200.
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


def test_fresh_statistics_without_batch_norm_are_empty():
    assert fresh_statistics(model(), vectors(1)[0], images()).shape == (0,)
    assert fresh_statistics(model(), vectors(2), images()).shape == (2, 0)
