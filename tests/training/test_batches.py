"""The order of the images, and shifts and flips compared with SciPy."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from helpers import member, subset

from lib.training.batches import batches, shift_and_flip

DATA = subset(300)


def config(**overrides):
    return member(dataset=DATA, **overrides)


def test_batches_permutation_visits_each_image_once():
    parts = list(batches(config(), 300, 0))
    assert [len(part) for part in parts] == [128, 128, 44]
    assert sorted(torch.cat(parts).tolist()) == list(range(300))


def test_batches_replacement_draws_full_batches():
    parts = list(batches(config(sampling="replacement"), 300, 0))
    assert [len(part) for part in parts] == [128, 128]
    drawn = torch.cat(parts)
    assert drawn.min() >= 0
    assert drawn.max() < 300
    assert len(drawn.unique()) < len(drawn)
    assert len(list(batches(config(sampling="replacement"), 49_500, 0))) == 386


def test_batches_replacement_of_few_images_is_one_batch():
    assert [len(part) for part in batches(config(sampling="replacement"), 10, 0)] == [128]


@pytest.mark.parametrize("sampling", ["permutation", "replacement"])
def test_batches_repeat_but_differ_between_epochs_members_and_seeds(sampling):
    def order(epoch=0, number=0, **overrides):
        chosen = member(number, dataset=DATA, sampling=sampling, **overrides)
        return torch.cat(list(batches(chosen, 300, epoch))).tolist()

    assert order() == order()
    others = [order(epoch=1), order(number=1), order(seed=1)]
    assert all(other != order() for other in others)
    assert order(learning_rate=0.5) == order()


# Augmentation


def augmented(monkeypatch, inputs, flip, x, y):
    """`shift_and_flip` with fixed draws: mirrored or not, and moved by shares of the size from -0.1 to 0.1."""
    draws = torch.tensor([0.0 if flip else 0.9, 0.5 + 5 * x, 0.5 + 5 * y])[:, None].repeat(1, len(inputs))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, generator: draws)
        return shift_and_flip(inputs, torch.Generator())


def photographs(count=4, height=12, width=20):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_shift_and_flip_of_nothing_is_the_identity(monkeypatch):
    inputs = photographs()
    np.testing.assert_allclose(augmented(monkeypatch, inputs, False, 0, 0), inputs, atol=1e-5)


def test_shift_and_flip_mirrors_left_and_right_only(monkeypatch):
    inputs = photographs()
    np.testing.assert_allclose(augmented(monkeypatch, inputs, True, 0, 0), inputs.flip(3), atol=1e-5)


@pytest.mark.parametrize(("x", "y"), [(0.1, 0), (0, 0.1), (-0.1, 0.05), (0.033, -0.071)])
def test_shift_and_flip_equals_scipys_shift_with_repeated_border(monkeypatch, x, y):
    inputs = photographs()
    moved = augmented(monkeypatch, inputs, False, x, y)
    expected = scipy.ndimage.shift(inputs.numpy(), (0, 0, -12 * y, -20 * x), order=1, mode="nearest")
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    assert (moved - inputs).abs().max() > 0.1


def test_shift_and_flip_draws_for_every_image_and_repeats_with_the_generator():
    inputs = photographs(1).repeat(64, 1, 1, 1)
    one, again, other = (shift_and_flip(inputs, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert len({image.numpy().tobytes() for image in one}) == 64
    # Results stay within the images' range: only their own pixels are mixed.
    assert one.min() >= inputs.min()
    assert one.max() <= inputs.max()


def test_shift_and_flip_mirrors_half_of_the_images():
    ramp = torch.linspace(0, 1, 20).expand(2000, 1, 4, 20)
    moved = shift_and_flip(ramp, torch.Generator().manual_seed(0))
    mirrored = (moved[..., 0] > moved[..., -1]).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.05)
