"""The 19 corruptions: values worked out by hand, values of the published program, and properties they all share."""

import random

import numpy as np
import pytest

from lib.data import corruptions
from lib.data.corruptions import BENCHMARK, CORRUPTIONS, SEVERITIES, corrupt
from lib.data.datasets import load_dataset

ALL = list(CORRUPTIONS)
WITHOUT_CHANCE = [
    *("defocus_blur", "zoom_blur", "brightness", "contrast"),
    *("pixelate", "jpeg_compression", "gaussian_blur", "saturate"),
]


def random_images(*shape):
    """Random images that are smooth, like photographs."""
    coarse = np.random.default_rng(0).integers(0, 256, (shape[0], -(-shape[1] // 4), -(-shape[2] // 4), shape[3]))
    return np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)[:, : shape[1], : shape[2]].astype(np.uint8)


def constant(value, *shape):
    return np.broadcast_to(np.uint8(value), shape or (2, 32, 32, 1))


def squared_error(images, changed):
    return np.mean((changed.astype(float) - images) ** 2)


def apply(name, severity, images, *streams):
    """Images corrupted with the given streams as random numbers, as uint8 whatever the corruption returns."""
    function, constants = CORRUPTIONS[name]
    changed = function(images, streams, *constants[severity - 1])
    return changed if changed.dtype == np.uint8 else (np.clip(changed, 0, 1) * 255).astype(np.uint8)


class Numbers:
    """A random number generator that gives the same numbers with every version of NumPy."""

    def __init__(self):
        self.source = random.Random(0)

    def random(self, shape):
        return np.array([self.source.random() for _ in range(np.prod(shape))]).reshape(shape)

    def normal(self, mean, std, shape):
        return mean + std * np.sqrt(12) * (self.random(shape) - 0.5)

    def uniform(self, low, high, shape):
        return low + (high - low) * self.random(shape)

    def integers(self, low, high, shape):
        return (low + (high - low) * self.random(shape)).astype(int)

    def poisson(self, mean):
        return np.floor(2 * mean * self.random(mean.shape))


# What all of them have in common


def test_names_of_the_benchmark():
    assert len(BENCHMARK) == 15
    assert tuple(CORRUPTIONS) == (*BENCHMARK, "speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert {len(constants) for _, constants in CORRUPTIONS.values()} == {len(SEVERITIES)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((constant(0), "gausian_noise", 1), "unknown corruption 'gausian_noise'; did you mean 'gaussian_noise'"),
        ((constant(0), "fog", 6), "unknown severity 6; .*allowed: 0, 1, 2, 3, 4, 5"),
        ((np.zeros((2, 32, 32, 1)), "fog", 1), r"images: expected uint8 .*received float64 \(2, 32, 32, 1\)"),
        ((constant(0, 2, 32, 32, 2), "fog", 1), "images: .*C = 1 or 3"),
        ((constant(0, 2, 32, 7, 1), "fog", 0), "images: .*at least 8"),
    ],
)
def test_corrupt_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        corrupt(*arguments)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (3, 33, 20, 3)])
@pytest.mark.parametrize("name", ALL)
def test_corrupt_is_a_seeded_copy_and_prefixes_agree(name, shape, monkeypatch):
    images, state = random_images(*shape), np.random.get_state(legacy=False)  # noqa: NPY002
    before = images.copy()
    changed = corrupt(images, name, 5, seed=1)
    assert (changed.shape, changed.dtype) == (shape, np.uint8)
    # Grey images have no saturation.
    assert (squared_error(images, changed) > 1) == ((name, shape[3]) != ("saturate", 1))
    np.testing.assert_array_equal(corrupt(images, name, 0), images)
    assert np.array_equal(corrupt(images, name, 5, seed=2), changed) == (name in WITHOUT_CHANCE)
    for count in (0, 1, 2):
        np.testing.assert_array_equal(corrupt(images[:count], name, 5, seed=1), changed[:count])
    monkeypatch.setattr(corruptions, "CHUNK", 2 * images[0].size)
    np.testing.assert_array_equal(corrupt(images, name, 5, seed=1), changed)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_equal(np.random.get_state(legacy=False), state)  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in ALL if name not in WITHOUT_CHANCE])
def test_images_have_numbers_of_their_own(name):
    one, other = corrupt(np.repeat(random_images(1, 28, 28, 1), 2, axis=0), name, 3)
    assert not np.array_equal(one, other)


def test_severities_have_numbers_of_their_own():
    images = constant(128, 1, 32, 32, 1)
    one, other = (corrupt(images, "gaussian_noise", severity)[0, :, :, 0] - 127.5 for severity in (4, 5))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.15


@pytest.mark.parametrize(
    "name",
    # Left out: those that move pixels (elastic_transform moves less at higher severities, and glass_blur has a smaller
    # width at severity 4 than at 3), frost and spatter, which change their kind, and saturate, which works both ways.
    [name for name in ALL if name not in {"glass_blur", "elastic_transform", "frost", "spatter", "saturate"}],
)
def test_severities_are_in_order(name):
    images = load_dataset("fashion_mnist_mini").test.images[:100]
    errors = [squared_error(images, corrupt(images, name, severity)) for severity in SEVERITIES]
    assert errors[0] > 0
    # motion_blur has the same width at severities 3 and 4; only the angles differ, as the longer lines have no weight.
    assert np.all(np.diff(errors) > (-0.05 * errors[2] if name == "motion_blur" else 0))


BLURS = ["gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "pixelate", "elastic_transform"]


@pytest.mark.parametrize("name", [*BLURS, "contrast", "jpeg_compression"])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_image_stays_as_it_is(name, channels):
    images = constant(128, 2, 17, 24, channels)
    for severity in SEVERITIES:
        # Weights that sum to slightly less than one cost a grey level.
        np.testing.assert_allclose(corrupt(images, name, severity), images, atol=1)


@pytest.mark.parametrize("name", [*BLURS, "snow", "fog", "brightness", "contrast"])
def test_one_channel_is_a_channel_of_a_grey_picture(name):
    images = random_images(3, 28, 28, 1)
    grey = corrupt(np.repeat(images, 3, axis=3), name, 3).astype(int)
    np.testing.assert_allclose(grey, np.repeat(corrupt(images, name, 3), 3, axis=3), atol=1)


# The published program

# An RGB image of 32×32 pixels: slopes, and edges between squares of eight pixels.
ROW, COLUMN, CHANNEL = np.ogrid[:32, :32, :3]
PICTURE = (5 * ROW + 7 * COLUMN * (CHANNEL + 1) + 60 * ((ROW // 8 + COLUMN // 8) % 2)) % 256
PLACES = ([0, 4, 7, 11, 15, 19, 26, 31], [31, 9, 16, 2, 21, 13, 28, 0], [0, 1, 2, 0, 1, 2, 0, 1])


@pytest.mark.parametrize(
    ("name", "severity", "expected"),
    [
        ("gaussian_noise", 2, [29, 182, 97, 153, 171, 158, 56, 228]),
        ("shot_noise", 5, [25, 25, 35, 244, 163, 81, 30, 255]),
        ("defocus_blur", 2, [20, 206, 126, 129, 166, 172, 70, 216]),
        ("defocus_blur", 5, [19, 206, 141, 129, 153, 172, 70, 221]),
        ("glass_blur", 2, [19, 205, 152, 117, 171, 151, 64, 215]),
        ("glass_blur", 5, [19, 197, 147, 117, 161, 148, 55, 215]),
        ("motion_blur", 2, [24, 203, 171, 138, 158, 189, 79, 209]),
        ("motion_blur", 5, [26, 164, 181, 144, 167, 191, 85, 167]),
        ("zoom_blur", 2, [15, 206, 135, 130, 162, 164, 58, 214]),
        ("zoom_blur", 5, [12, 213, 138, 135, 155, 164, 59, 221]),
        ("snow", 2, [56, 222, 125, 149, 185, 188, 83, 238]),
        ("snow", 5, [92, 245, 135, 204, 198, 228, 105, 255]),
        ("fog", 2, [24, 178, 131, 114, 171, 170, 81, 153]),
        ("fog", 5, [30, 140, 132, 106, 184, 168, 107, 109]),
        ("brightness", 2, [22, 231, 134, 149, 198, 178, 78, 240]),
        ("brightness", 5, [22, 255, 174, 191, 249, 178, 86, 255]),
        ("contrast", 2, [78, 167, 122, 132, 150, 150, 102, 171]),
        ("contrast", 5, [118, 140, 127, 134, 135, 135, 125, 141]),
        ("elastic_transform", 2, [23, 211, 152, 123, 161, 144, 55, 236]),
        ("elastic_transform", 5, [25, 209, 114, 125, 167, 161, 63, 212]),
        ("pixelate", 2, [21, 204, 115, 132, 173, 175, 67, 215]),
        ("pixelate", 5, [21, 197, 124, 132, 171, 175, 67, 220]),
        ("speckle_noise", 5, [23, 143, 88, 169, 170, 142, 57, 253]),
        ("gaussian_blur", 2, [20, 205, 131, 129, 162, 172, 70, 216]),
        ("gaussian_blur", 5, [20, 202, 140, 129, 154, 171, 70, 217]),
        ("spatter", 2, [48, 206, 115, 129, 173, 172, 70, 255]),
        ("spatter", 5, [63, 206, 115, 129, 173, 172, 70, 71]),
        ("saturate", 2, [216, 206, 143, 154, 173, 238, 192, 215]),
        ("saturate", 5, [0, 206, 114, 55, 173, 135, 63, 172]),
    ],
)
def test_same_numbers_as_the_published_program(name, severity, expected):
    """Results of make_cifar_c.py for PICTURE and these numbers, with OpenCV 4.8, scikit-image 0.23, ImageMagick 6.9."""
    changed = apply(name, severity, PICTURE[np.newaxis].astype(np.uint8), Numbers(), Numbers())
    np.testing.assert_allclose(changed[0][PLACES], expected, atol=1)


# One by one


@pytest.mark.parametrize(("severity", "rate"), [(1, 500), (5, 50)])
def test_shot_noise_is_a_poisson_share(severity, rate):
    changed = corrupt(constant(102, 20, 32, 32, 1), "shot_noise", severity)
    assert changed.std() == pytest.approx(255 * np.sqrt(0.4 / rate), rel=0.03)
    assert set(np.unique(changed)) <= {int(255 * count / rate) for count in range(rate + 1)}


@pytest.mark.parametrize(("severity", "share"), [(1, 0.01), (5, 0.07)])
def test_impulse_noise_share(severity, share):
    changed = corrupt(constant(128, 40, 32, 32, 3), "impulse_noise", severity)
    assert set(np.unique(changed)) == {0, 128, 255}
    assert np.mean(changed != 128) == pytest.approx(share, rel=0.05)
    assert np.mean(changed == 255) == pytest.approx(share / 2, rel=0.05)


@pytest.mark.parametrize(
    ("name", "severity", "color", "expected"),
    [
        ("brightness", 1, (0, 0, 0), (12, 12, 12)),
        ("brightness", 4, (200, 100, 100), (251, 125, 125)),
        ("saturate", 1, (200, 100, 100), (200, 170, 170)),
        ("saturate", 5, (200, 100, 100), (200, 0, 0)),
        ("saturate", 3, (80, 80, 80), (80, 80, 80)),
    ],
)
def test_colour_of_a_flat_image(name, severity, color, expected):
    changed = corrupt(np.full((1, 8, 8, 3), color, np.uint8), name, severity)
    np.testing.assert_allclose(changed[0, 0, 0], expected, atol=1)


def test_elastic_transform_is_relative_to_the_size():
    """The affine part shifts a ramp in proportion to its size: four times as far at 64 pixels as at 16."""

    def displacement(size):
        slope = np.broadcast_to(np.arange(size, dtype=np.uint8)[:, np.newaxis], (300, size, size, 1))
        middle = slice(size // 4, -(size // 4))
        moved = corrupt(slope, "elastic_transform", 1).astype(float) + 0.5 - slope
        return moved[:, middle, middle].std()

    assert displacement(64) / displacement(16) == pytest.approx(4, rel=0.2)


def test_jpeg_compression_keeps_smooth_and_loses_fine():
    smooth = np.broadcast_to(np.arange(0, 128, 4, dtype=np.uint8)[:, np.newaxis], (1, 32, 32, 1))
    fine = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1), dtype=np.uint8)
    lost = [squared_error(images, corrupt(images, "jpeg_compression", 5)) for images in (smooth, fine)]
    assert lost[0] < 10
    assert lost[1] > 100
