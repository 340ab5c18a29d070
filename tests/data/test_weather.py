"""Snow, frost, fog and spatter: their effects on flat images."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lib.data.weather import FROST_TEXTURES, _frost_textures


def constant(value, *shape):
    return np.broadcast_to(np.uint8(value), shape or (2, 32, 32, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_snow_on_black_is_half_turn_symmetric(channels):
    changed = corrupt(constant(0, 3, 32, 24, channels), "snow", 5)
    np.testing.assert_allclose(changed, changed[:, ::-1, ::-1].astype(int), atol=1)
    # Black is mixed with a fifth of a middle grey, and the flakes are on top of that.
    assert changed.min() >= 25
    assert changed.max() > 100


def test_frost_adds_ice():
    changed = corrupt(constant(0, 500, 32, 32, 3), "frost", 1)
    ice = np.mean([color for color, _ in FROST_TEXTURES], axis=0)
    # Each image shows one texture, so this is a mean over textures, less half a level that is cut off.
    np.testing.assert_allclose(changed.mean(axis=(0, 1, 2)), 0.2 * ice - 0.5, rtol=0.08)
    assert changed.std(axis=(1, 2)).min() > 0.5
    np.testing.assert_array_equal(corrupt(constant(255), "frost", 1), constant(255))


def test_frost_is_as_rough_as_ice():
    """In crops of an image's size, neighbouring pixels correlate by 0.24 to 0.49, as in the recipe's photographs."""
    for texture in _frost_textures(128):
        parts = np.stack(
            [texture[i : i + 32, j : j + 32].mean(axis=-1) for i in range(0, 97, 8) for j in range(0, 97, 8)]
        )
        down = [np.corrcoef(part[1:].ravel(), part[:-1].ravel())[0, 1] for part in parts]
        right = [np.corrcoef(part[:, 1:].ravel(), part[:, :-1].ravel())[0, 1] for part in parts]
        for correlation in (np.mean(down), np.mean(right)):
            assert 0.24 <= correlation <= 0.49


@pytest.mark.parametrize(("severity", "strength"), [(1, 0.2), (5, 1.5)])
def test_fog_is_a_cloud_from_none_to_full(severity, strength):
    changed = corrupt(constant(255, 3, 32, 32, 1), "fog", severity)
    np.testing.assert_array_equal(changed.min(axis=(1, 2, 3)), int(255 / (1 + strength)))
    np.testing.assert_allclose(changed.max(axis=(1, 2, 3)), 255, atol=1)
    np.testing.assert_array_equal(corrupt(constant(0), "fog", severity), constant(0))


def test_fog_decay_makes_it_smooth():
    smooth, rough = (corrupt(constant(255, 20, 32, 32, 1), "fog", severity).astype(float) for severity in (2, 5))
    smooth, rough = (np.abs(np.diff(fog, axis=1)).mean() / fog.std() for fog in (smooth, rough))
    assert rough > 1.2 * smooth


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_spatter_water_is_light_and_mud_is_dark(severity, channels):
    grey = constant(100, 4, 32, 32, channels)
    changed = corrupt(grey, "spatter", severity)
    touched = changed[changed != 100]
    assert 0 < len(touched) < changed.size / 2
    assert (touched > 100).all() if severity <= 3 else (touched < 100).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_spatter_without_a_drop(severity):
    images = constant(np.arange(96).reshape(32, 3), 1, 32, 32, 3)
    dry = SimpleNamespace(normal=lambda mean, std, shape: np.full(shape, mean))
    function, constants = CORRUPTIONS["spatter"]
    unchanged = 255 * function(images, (dry,), *constants[severity - 1])
    np.testing.assert_allclose(unchanged, images, atol=1)
