"""Networks as flat vectors and back."""

import numpy as np
import pytest
import torch
from helpers import model, trained_like, vectors

from lib.models import weights as w


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
