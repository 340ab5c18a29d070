import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lib.models.kernels import _compiled, _split_mix, dropout_pool, random_bytes

SHAPES = [(3, 4, 28, 28), (2, 16, 7, 7), (2, 5, 9, 4), (1, 1, 1, 1)]


def activations(shape, dtype=torch.float32, seed=0):
    """Activations with channels last; every second row repeats the one before, so that windows contain ties."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    values[:, :, 1::2] = values[:, :, : values.shape[2] // 2 * 2 : 2]
    return values.to(dtype).to(memory_format=torch.channels_last).requires_grad_()


def plain(inputs, random, threshold, rectify):
    """The same computation with PyTorch's own functions."""
    if random is not None:
        n, c, h, w = inputs.shape
        mask = (random >= threshold).to(inputs.dtype) * (256 / (256 - threshold))
        inputs = inputs * mask.view(n, h, w, c).permute(0, 3, 1, 2)
    pooled = F.max_pool2d(inputs, 2, ceil_mode=True)
    return F.relu(pooled) if rectify else pooled


def both(inputs, random, threshold, rectify):
    """Outputs and gradients of the kernel and of PyTorch."""
    results = []
    for call in (dropout_pool, plain):
        outputs = call(inputs, random, threshold, rectify)
        to = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1)).to(outputs.dtype)
        results.append((outputs.detach(), *torch.autograd.grad(outputs, inputs, to)))
    return results


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("threshold", [0, 26, 250])
def test_dropout_pool_is_pytorchs_to_the_bit(shape, rectify, threshold):
    inputs = activations(shape)
    random = random_bytes(inputs.numel(), torch.Generator().manual_seed(2)) if threshold else None
    (outputs, gradient), (expected, expected_gradient) = both(inputs, random, threshold, rectify)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=0)
    assert not rectify or outputs.min() >= 0


@pytest.mark.parametrize("rectify", [True, False])
def test_dropout_pool_of_bfloat16_without_dropout_is_pytorchs_to_the_bit(rectify):
    (outputs, gradient), (expected, expected_gradient) = both(activations(SHAPES[2], torch.bfloat16), None, 0, rectify)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=0)


def test_dropout_pool_of_bfloat16_rounds_the_exact_product_to_the_nearest():
    inputs = activations(SHAPES[0], torch.bfloat16)
    random = random_bytes(inputs.numel(), torch.Generator().manual_seed(2))
    outputs = dropout_pool(inputs, random, 26, True)
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs, plain(inputs.float(), random, 26, True).bfloat16(), rtol=0, atol=0)


def test_dropout_pool_of_other_memory_order_is_the_same():
    inputs = activations(SHAPES[0])
    random = random_bytes(inputs.numel(), torch.Generator().manual_seed(2))
    rows = inputs.detach().contiguous().requires_grad_()
    assert torch.equal(dropout_pool(inputs, random, 26, True), dropout_pool(rows, random, 26, True))


@pytest.mark.parametrize("position", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_dropout_pool_keeps_what_is_not_a_number(position):
    inputs = torch.ones(1, 1, 2, 2)
    inputs[0, 0][position] = torch.nan
    assert dropout_pool(inputs, None, 0, True).isnan().all()


def test_dropout_pool_drops_what_lies_below_the_threshold():
    inputs = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
    random = torch.tensor([9, 10, 255, 255], dtype=torch.uint8)
    assert dropout_pool(inputs, random, 10, True).item() == pytest.approx(3 * 256 / 246)
    assert dropout_pool(inputs, random, 9, True).item() == pytest.approx(4 * 256 / 247)


def test_kernels_work_where_no_cache_can_be_written():
    code = {}
    exec("def double(x): return 2 * x", code)  # numba finds no cache folder for it, as in a read-only checkout
    assert _compiled(code["double"])(4) == 8


def test_random_bytes_are_those_of_splitmix64():
    words = np.empty(3, np.uint64)
    _split_mix(words, np.uint64(1234567))
    # The values of the public reference implementation, https://prng.di.unimi.it/splitmix64.c.
    assert words.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_bytes_depend_on_the_generator_alone():
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    first, second = random_bytes(1001, one), random_bytes(1001, one)
    assert first.shape == (1001,)
    assert first.dtype == torch.uint8
    assert torch.equal(first, random_bytes(1001, copy.copy(one).manual_seed(1)))
    for unlike in (second, random_bytes(1001, other)):
        # Independent bytes agree in one of 256 places.
        assert (first == unlike).float().mean() < 0.03


def test_random_bytes_are_uniform():
    drawn = random_bytes(1 << 20, torch.Generator().manual_seed(0)).numpy()
    expected = len(drawn) / 256
    counts = np.bincount(drawn, minlength=256)
    # Chi-squared with 255 degrees of freedom: mean 255, standard deviation 22.6.
    assert 150 < ((counts - expected) ** 2 / expected).sum() < 360
    # Each of the eight bytes of a word by itself: mean 127.5, standard error 0.2.
    np.testing.assert_allclose(drawn.reshape(-1, 8).mean(axis=0), 127.5, atol=1)
