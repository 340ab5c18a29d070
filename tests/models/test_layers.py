"""The dropout layer."""

import pytest
import torch

from lib.models.layers import Dropout


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dropout(probability, seed=0):
    layer = Dropout(probability).train()
    layer.generator = generator(seed)
    return layer


def test_dropout_drops_the_rounded_share_and_keeps_the_mean():
    ones = torch.ones(1000, 1000)
    dropped = dropout(0.1)(ones)
    assert (dropped == 0).float().mean().item() == pytest.approx(26 / 256, abs=2e-3)
    assert torch.equal(dropped.unique(), torch.tensor([0.0, 256 / 230]))
    assert dropped.mean().item() == pytest.approx(1, abs=2e-3)


def test_dropout_no_position_is_biased():
    dropped = dropout(0.5)(torch.ones(40_000, 16)) == 0
    # 40,000 draws each: five standard deviations are 0.0125.
    assert (dropped.float().mean(dim=0) - 0.5).abs().max() < 0.0125
    correlation = torch.corrcoef(dropped.float().T) - torch.eye(16)
    assert correlation.abs().max() < 0.025


def test_dropout_calls_are_independent_but_repeat_with_the_generator():
    layer, ones = dropout(0.5), torch.ones(10_000)
    first, second = layer(ones), layer(ones)
    assert ((first == 0) == (second == 0)).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(dropout(0.5)(ones), first)
    assert not torch.equal(dropout(0.5, seed=1)(ones), first)


def test_dropout_is_the_identity_in_evaluation_and_at_zero():
    activations = torch.randn(7, generator=generator())
    assert dropout(0.5).eval()(activations) is activations
    assert dropout(0.0)(activations) is activations
    assert dropout(0.5)(activations) is not activations


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (9, 3, 5, 7)])
def test_dropout_any_size_and_memory_order(shape):
    ones = torch.ones(shape)
    for activations in (ones, ones.to(memory_format=torch.channels_last) if len(shape) == 4 else ones):
        dropped = dropout(0.5)(activations)
        assert dropped.shape == shape
        assert dropped.stride() == activations.stride()
        assert set(dropped.flatten().tolist()) <= {0.0, 2.0}


def test_dropout_gradient_is_the_mask():
    activations = torch.ones(100, requires_grad=True)
    dropped = dropout(0.5)(activations)
    dropped.sum().backward()
    assert torch.equal(activations.grad, dropped.detach())
