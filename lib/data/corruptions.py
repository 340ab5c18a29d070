"""The 19 corruptions of CIFAR-10-C by name and severity, on uint8 images of any size.

Constants and order of operations follow the program that made the published files (Hendrycks & Dietterich 2019;
`ImageNet-C/create_c/make_cifar_c.py` of hendrycks/robustness), including its quirks: pixels are truncated to integers,
not rounded; zoom_blur averages factors up to 1.06, 1.11, 1.15, 1.20 and 1.25; glass_blur copies pixels instead of
swapping them; elastic_transform moves pixels less at higher severities.

The random numbers are our own, so images match the published ones in distribution only. Given the same random numbers,
all but frost and elastic_transform give the same 32×32 images as the program with scikit-image 0.23, OpenCV 4.8 and
ImageMagick 6.9, except for single grey levels where a sum is rounded differently. elastic_transform interpolates with
SciPy instead of OpenCV, at the positions of OpenCV 4.8: 1.4 % of pixels differ, most by one level. With OpenCV 5, which
no longer rounds positions, 12 to 18 % differ. frost is an imitation: five generated textures with the mean colours,
contrasts and roughness of the recipe's photographs of ice.

At sizes other than 32×32, the displacements and widths of elastic_transform (relative to the shorter side), the map of
fog (the next power of two), and the factors of zoom_blur and pixelate scale with the image. Lengths that the recipe
gives in pixels do not, and have a stronger effect on smaller images: the blurs of defocus_blur, glass_blur,
motion_blur, gaussian_blur, snow and spatter, the shifts of glass_blur, and the crystals of frost.

Images with one channel get the result of any channel of a grey RGB image; drops, mud and ice have the grey level of
their colours. saturate leaves one channel unchanged, since grey has no saturation; `lib.data.shift.Shift` omits it.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from scipy import ndimage

from lib.data.weather import Streams, along_lines, fog, frost, gaussian, snow, spatter, zoomed
from lib.errors import unknown

#: Severities of the benchmark; 0 is the clean image.
SEVERITIES = (1, 2, 3, 4, 5)

#: Pixel values corrupted at a time: few enough for a CPU's cache, and to need little memory beyond the images.
CHUNK = 1 << 18


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return a corrupted copy of uint8 images `(n, H, W, C)`, with H and W at least 8 and C = 1 or 3.

    `name` is one of CORRUPTIONS; `severity` is from 1 to 5, or 0 for an unchanged copy. The same `seed` (at least 0)
    gives the same bits. Each (seed, name, severity) has its own random numbers, drawn image by image, so the first k of
    n images are the same as if they were corrupted alone. Raises ValueError for any other argument.
    """
    images = np.asarray(images)
    if name not in CORRUPTIONS:
        raise ValueError(unknown("corruption", name, CORRUPTIONS))
    if severity not in (0, *SEVERITIES):
        raise ValueError(unknown("severity", severity, map(str, (0, *SEVERITIES))))
    if images.dtype != np.uint8 or images.ndim != 4 or min(images.shape[1:3]) < 8 or images.shape[3] not in (1, 3):
        raise ValueError(
            "images: expected uint8 of shape (n, H, W, C) with H and W at least 8 and C = 1 or 3, "
            f"received {images.dtype} {images.shape}"
        )
    result = images.copy()
    if severity == 0:
        return result
    apply, constants = CORRUPTIONS[name]
    # Snow needs two streams: numbers drawn after those of all images would depend on the number of images.
    streams = np.random.default_rng([seed, int(severity), *name.encode()]).spawn(2)
    step = max(1, CHUNK // images[0].size) if len(images) else 1
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        changed = apply(images[part], streams, *constants[int(severity) - 1])
        if changed.dtype != np.uint8:
            # Truncated, not rounded, as in the published files.
            changed = (np.clip(changed, 0, 1) * 255).astype(np.uint8)
        result[part] = changed
    return result


# Each function below takes uint8 images (n, H, W, C), random streams, and the constants of a severity in the order of
# the table at the end. It returns uint8, or floats to be clipped to [0, 1] and multiplied by 255.


def _gaussian_noise(images: np.ndarray, streams: Streams, std: float) -> np.ndarray:
    return images / 255 + streams[0].normal(0, std, images.shape)


def _shot_noise(images: np.ndarray, streams: Streams, rate: float) -> np.ndarray:
    # The number of draws per image depends on its pixels, so an image's noise also depends on the images before it.
    return streams[0].poisson(images / 255 * rate) / rate


def _impulse_noise(images: np.ndarray, streams: Streams, share: float) -> np.ndarray:
    number = streams[0].random(images.shape)
    return np.where(number < share, number < share / 2, images / 255)


def _speckle_noise(images: np.ndarray, streams: Streams, std: float) -> np.ndarray:
    return images / 255 * (1 + streams[0].normal(0, std, images.shape))


def _gaussian_blur(images: np.ndarray, streams: Streams, sigma: float) -> np.ndarray:
    return gaussian(images / 255, sigma)


def _defocus_blur(images: np.ndarray, streams: Streams, radius: float, alias_blur: float) -> np.ndarray:
    # The radius is at most 1.5, and the anti-aliasing blur adds one pixel. Single precision, as in the recipe: white
    # areas are 254 or 255 depending on whether the weights sum to slightly less than one.
    distance = np.arange(-2, 3)
    disk = (distance**2 + distance[:, np.newaxis] ** 2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    weights = np.exp(-(distance[1:4] ** 2) / (2 * alias_blur**2))
    for axis in (1, 0):
        disk = ndimage.correlate1d(disk, (weights / weights.sum()).astype(np.float32), axis, mode="constant")
    return ndimage.correlate(images / 255, disk[np.newaxis, :, :, np.newaxis], mode="mirror")


def _glass_blur(images: np.ndarray, streams: Streams, sigma: float, passes: int) -> np.ndarray:
    n, height, width, channels = images.shape
    # The recipe goes from the last pixel to the first and swaps each with itself or the one above, to the left, or
    # both. Its swap of two views of an array only copies that other pixel, so no pixel is read after it was written,
    # and a pass over all pixels at once gives the same result.
    shifts = streams[0].integers(0, 2, (n, passes, 2, height - 2, width - 2))
    pixels = (gaussian(images / 255, sigma) * 255).astype(np.uint8).reshape(n, -1, channels)
    for number in range(passes):
        source = np.tile(np.arange(height * width).reshape(height, width), (n, 1, 1))
        source[:, 2:, 2:] -= width * shifts[:, number, 0] + shifts[:, number, 1]
        pixels = np.take_along_axis(pixels, source.reshape(n, -1, 1), axis=1)
    return gaussian(pixels.reshape(images.shape) / 255, sigma)


def _motion_blur(images: np.ndarray, streams: Streams, radius: int, sigma: float) -> np.ndarray:
    angles = streams[0].uniform(-45, 45, len(images))
    return along_lines(images.transpose(0, 3, 1, 2), radius, sigma, angles).transpose(0, 2, 3, 1).astype(np.uint8)


def _zoom_blur(images: np.ndarray, streams: Streams, end: float) -> np.ndarray:
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    factors = np.arange(1, end, 0.01)
    total = planes + sum(zoomed(planes, factor) for factor in factors)
    return (total / (len(factors) + 1)).transpose(0, 2, 3, 1)


def _in_hsv(images: np.ndarray, channel: int, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change hue (0), saturation (1) or value (2), each from 0 to 1."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv  # here, as training needs no Matplotlib

    hsv = rgb_to_hsv(images / 255)
    hsv[..., channel] = np.clip(change(hsv[..., channel]), 0, 1)
    return hsv_to_rgb(hsv)


def _brightness(images: np.ndarray, streams: Streams, added: float) -> np.ndarray:
    if images.shape[3] == 1:
        return images / 255 + added
    return _in_hsv(images, 2, lambda value: value + added)


def _contrast(images: np.ndarray, streams: Streams, factor: float) -> np.ndarray:
    height, width = images.shape[1:3]
    # Integer sums are exact, so the mean does not depend on the number of images.
    means = images.sum(axis=(1, 2), dtype=np.int64, keepdims=True) / (255 * height * width)
    return (images / 255 - means) * factor + means


def _saturate(images: np.ndarray, streams: Streams, factor: float, offset: float) -> np.ndarray:
    if images.shape[3] == 1:
        return images
    return _in_hsv(images, 1, lambda saturation: saturation * factor + offset)


def _sampled(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str) -> np.ndarray:
    """Sample `planes (n, C, H, W)` at positions `(n, H, W)` with linear interpolation."""
    n = np.broadcast_to(np.arange(len(planes), dtype=np.float64)[:, np.newaxis, np.newaxis], rows.shape)
    positions = np.stack([n, rows, columns])
    channels = [ndimage.map_coordinates(plane, positions, order=1, mode=mode) for plane in planes.swapaxes(0, 1)]
    return np.stack(channels, axis=1)


def _elastic_transform(images: np.ndarray, streams: Streams, alpha: float, sigma: float, affine: float) -> np.ndarray:
    n, height, width, _ = images.shape
    size = min(height, width)
    numbers = streams[0].uniform(-1, 1, (n, 6 + 2 * height * width))
    planes = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    rows, columns = np.indices((height, width), np.float64)

    # Three points are moved; the affine map that moves them back gives the origin of each pixel.
    points = [width // 2, height // 2] + size // 3 * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + affine * size * numbers[:, :6].reshape(n, 3, 2)
    back = np.linalg.solve(
        np.pad(moved, [(0, 0), (0, 0), (0, 1)], constant_values=1), np.broadcast_to(points, (n, 3, 2))
    )
    (xx, xy), (yx, yy), (x, y) = back.transpose(1, 2, 0)[..., np.newaxis, np.newaxis]
    origin = np.stack([columns * xy + rows * yy + y, columns * xx + rows * yx + x])
    # OpenCV before version 5 rounds positions to 1/32 of a pixel.
    planes = _sampled(planes, *np.rint(32 * origin) / 32, "mirror")

    fields = numbers[:, 6:].reshape(n, 2, height, width)
    blur = (0, 0, sigma * size, sigma * size)
    right, down = alpha * size * ndimage.gaussian_filter(fields, blur, mode="reflect", truncate=3).swapaxes(0, 1)
    return _sampled(planes, rows + down, columns + right, "reflect").transpose(0, 2, 3, 1)


def _one_by_one(images: np.ndarray, edit: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Apply `edit` to each image in Pillow."""
    pictures = images[..., 0] if images.shape[3] == 1 else images
    return np.stack([np.asarray(edit(Image.fromarray(picture))) for picture in pictures]).reshape(images.shape)


def _pixelate(images: np.ndarray, streams: Streams, scale: float) -> np.ndarray:
    height, width = images.shape[1:3]
    small = (int(width * scale), int(height * scale))
    box = Image.Resampling.BOX
    return _one_by_one(images, lambda image: image.resize(small, box).resize((width, height), box))


def _jpeg_compression(images: np.ndarray, streams: Streams, quality: int) -> np.ndarray:
    def compress(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _one_by_one(images, compress)


#: The function, and its constants for severities 1 to 5, by the names of the published files. The benchmark's authors
#: reserve the last four for validation; the paper's mean over 19 includes them.
CORRUPTIONS: dict[str, tuple[Callable[..., np.ndarray], tuple[tuple[float, ...], ...]]] = {
    "gaussian_noise": (_gaussian_noise, ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,))),
    "shot_noise": (_shot_noise, ((500,), (250,), (100,), (75,), (50,))),
    "impulse_noise": (_impulse_noise, ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,))),
    "defocus_blur": (_defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": (_glass_blur, ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))),
    "motion_blur": (_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": (_zoom_blur, ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,))),
    "snow": (
        snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": (frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (_brightness, ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,))),
    "contrast": (_contrast, ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,))),
    "elastic_transform": (
        _elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": (_pixelate, ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,))),
    "jpeg_compression": (_jpeg_compression, ((80,), (65,), (58,), (50,), (40,))),
    "speckle_noise": (_speckle_noise, ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,))),
    "gaussian_blur": (_gaussian_blur, ((0.4,), (0.6,), (0.7,), (0.8,), (1,))),
    "spatter": (
        spatter,
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
    ),
    "saturate": (_saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
}

#: The 15 corruptions that the benchmark scores.
BENCHMARK = tuple(CORRUPTIONS)[:15]
