"""The 19 corruptions of CIFAR-10-C by name and severity, on uint8 images of any size, and the published files.

Constants and order of operations are those of the program that made the published files (Hendrycks & Dietterich 2019;
`ImageNet-C/create_c/make_cifar_c.py` of hendrycks/robustness), with its peculiarities: pixels are cut off to whole
numbers, not rounded; zoom_blur averages factors up to 1.06, 1.11, 1.15, 1.20 and 1.25; the pixels that glass_blur means
to swap are copied; elastic_transform moves less at higher severities.

The random numbers are ours, so images equal the published ones in distribution only. What differs beyond that:

- frost: an imitation. Five generated textures, with the mean colours and contrasts of the recipe's photographs of ice.
- motion_blur, snow: ImageMagick's motion blur, written anew.
- spatter: OpenCV's outlines, distances and equalised histogram, written anew. An image without a drop stays as it is.
- elastic_transform: SciPy interpolates in place of OpenCV; up to three pixels in a hundred differ, most by one level.
- all others: SciPy's filters, Matplotlib's colours and NumPy's noise in place of scikit-image's and OpenCV's.

Given the same random numbers, all but frost and elastic_transform give the same 32×32 images as the program with
scikit-image 0.23, OpenCV 4.8 and ImageMagick 6.9, but for single levels where a sum is rounded elsewhere. So 18 of the
19 follow the published recipe, and one imitates it.

Sizes other than 32×32: lengths that the recipe takes from the image follow the image. These are the displacements
and widths of elastic_transform (relative to the shorter side), the map of fog (the next power of two), and the factors
of zoom_blur and pixelate. Lengths that it gives in pixels stay: the blurs of defocus_blur, glass_blur, motion_blur,
gaussian_blur, snow and spatter, the shifts of glass_blur, and the crystals of frost. Relative to the image, they are
stronger on smaller images.

One channel: images become what each channel of a grey picture would become; drops, mud and ice have the grey of their
colours. saturate leaves one channel unchanged, since a grey has no saturation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import ndimage

from lib.data.formats import DatasetError, checked, one_line
from lib.errors import unknown

Streams = Sequence[np.random.Generator]

#: Severities of the benchmark; 0 is the clean image.
SEVERITIES = (1, 2, 3, 4, 5)

#: Pixel values corrupted at a time: few enough for a processor's cache, and memory stays near that of the images.
CHUNK = 1 << 18

#: What red, green and blue weigh in a grey value (ITU-R BT.601, as in OpenCV and Pillow).
GREY = np.array([0.299, 0.587, 0.114])


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return a corrupted copy of the images.

    Args:
        images: uint8 `(n, H, W, C)`, H and W at least 8, C = 1 or 3.
        name: one of CORRUPTIONS.
        severity: 1 to 5; 0 returns the images unchanged.
        seed: at least 0; the same seed gives the same bits. Each (seed, name, severity) has random numbers of its own,
            drawn image by image: the first k of n images become what they become alone.

    Returns:
        uint8 `(n, H, W, C)`. Raises ValueError for any other argument.
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
    corruption = CORRUPTIONS[name]
    # Two streams, for snow: numbers drawn after those of all images would depend on how many images there are.
    streams = np.random.default_rng([seed, int(severity), *name.encode()]).spawn(2)
    step = max(1, CHUNK // images[0].size) if len(images) else 1
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        changed = corruption.apply(images[part], streams, *corruption.constants[int(severity) - 1])
        if changed.dtype != np.uint8:
            # Cut off, not rounded, as in the published files.
            changed = (np.clip(changed, 0, 1) * 255).astype(np.uint8)
        result[part] = changed
    return result


def read_cifar10_c(folder: str | Path, name: str, severity: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the images of one corruption and severity, and their labels, from the published files of CIFAR-10-C.

    `<name>.npy` holds uint8 images `(50000, 32, 32, 3)`, five blocks of 10,000 by severity, and `labels.npy` as many
    labels (https://zenodo.org/records/2535967); shorter files are read as five blocks too. Returns images
    `(10000, 32, 32, 3)`, which stay on the disk until they are used and cannot be written to, and labels int64
    `(10000,)`. Raises ValueError for an unknown name or severity and DatasetError for missing or damaged files.
    """
    if name not in CORRUPTIONS:
        raise ValueError(unknown("corruption", name, CORRUPTIONS))
    if severity not in SEVERITIES:
        raise ValueError(unknown("severity", severity, map(str, SEVERITIES)))
    folder = Path(folder).expanduser()
    images, labels = _load(folder / f"{name}.npy"), _load(folder / "labels.npy")
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or len(images) == 0 or len(images) % 5:
        raise DatasetError(
            f"{folder / name}.npy: expected uint8 images of shape (n, 32, 32, 3) in five blocks of one length, "
            f"got {images.dtype} {images.shape}"
        )
    images, labels = checked(images, labels, f"{folder / name}.npy", str(folder / "labels.npy"), num_classes=10)
    block = len(images) // 5
    part = slice(block * (int(severity) - 1), block * int(severity))
    return images[part], labels[part]


def _load(path: Path) -> np.ndarray:
    if not path.is_file():
        raise DatasetError(
            f"{path} not found; unpack CIFAR-10-C (https://zenodo.org/records/2535967) into {path.parent}"
        )
    try:
        # What `np.load` with `mmap_mode` does with a .npy file; it takes neither pickles nor archives.
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy raises many types on a damaged file
        raise DatasetError(f"{path}: not an array that can be read, fetch it again ({one_line(error)})") from error


# Each function below takes uint8 images (n, H, W, C), random streams, and the constants of a severity in the order of
# the table at the end; it returns uint8, or floats that are still to be clipped to [0, 1] and multiplied by 255.


# Noise


def _gaussian_noise(images: np.ndarray, streams: Streams, std: float) -> np.ndarray:
    return images / 255 + streams[0].normal(0, std, images.shape)


def _shot_noise(images: np.ndarray, streams: Streams, rate: float) -> np.ndarray:
    # How many numbers an image takes depends on its pixels, so this one depends on the images before it too.
    return streams[0].poisson(images / 255 * rate) / rate


def _impulse_noise(images: np.ndarray, streams: Streams, share: float) -> np.ndarray:
    number = streams[0].random(images.shape)
    return np.where(number < share, number < share / 2, images / 255)


def _speckle_noise(images: np.ndarray, streams: Streams, std: float) -> np.ndarray:
    return images / 255 * (1 + streams[0].normal(0, std, images.shape))


# Blur


def _gaussian(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur `(n, H, W)` or `(n, H, W, C)` with scikit-image's default border and width."""
    sigmas = (0, sigma, sigma, 0)[: images.ndim]
    return ndimage.gaussian_filter(images, sigmas, mode="nearest", truncate=4)


def _gaussian_blur(images: np.ndarray, streams: Streams, sigma: float) -> np.ndarray:
    return _gaussian(images / 255, sigma)


def _defocus_blur(images: np.ndarray, streams: Streams, radius: float, alias_blur: float) -> np.ndarray:
    # No radius is above 1.5, and the blur against aliasing reaches one pixel further. Single precision, as in the
    # recipe: whether the weights sum to a little less than one decides between 254 and 255 in white areas.
    distance = np.arange(-2, 3)
    disk = (distance**2 + distance[:, np.newaxis] ** 2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    weights = np.exp(-(distance[1:4] ** 2) / (2 * alias_blur**2))
    for axis in (1, 0):
        disk = ndimage.correlate1d(disk, (weights / weights.sum()).astype(np.float32), axis, mode="constant")
    return ndimage.correlate(images / 255, disk[np.newaxis, :, :, np.newaxis], mode="mirror")


def _glass_blur(images: np.ndarray, streams: Streams, sigma: float, passes: int) -> np.ndarray:
    n, height, width, channels = images.shape
    # The recipe goes from the last pixel to the first and lets each change places with itself or the one above, to the
    # left, or both. Its exchange of two views of an array copies that pixel and no more, so no pixel is read after it
    # was written, and a pass over all of them at once is the same.
    shifts = streams[0].integers(0, 2, (n, passes, 2, height - 2, width - 2))
    pixels = (_gaussian(images / 255, sigma) * 255).astype(np.uint8).reshape(n, -1, channels)
    for number in range(passes):
        source = np.tile(np.arange(height * width).reshape(height, width), (n, 1, 1))
        source[:, 2:, 2:] -= width * shifts[:, number, 0] + shifts[:, number, 1]
        pixels = np.take_along_axis(pixels, source.reshape(n, -1, 1), axis=1)
    return _gaussian(pixels.reshape(images.shape) / 255, sigma)


def _along_lines(planes: np.ndarray, radius: int, sigma: float, angles: np.ndarray) -> np.ndarray:
    """Blur along a line as ImageMagick's MotionBlurImage does.

    Each pixel becomes a mean over itself and the `2 radius` next ones in the direction of its image's angle, weighted
    by a Gaussian of their distance. `planes (n, C, H, W)` of 0..255, `angles (n,)` in degrees, clockwise from the
    right; returns whole numbers of 0..255, as floats.
    """
    n, _, height, width = planes.shape
    reach = 2 * radius
    padded = np.pad(planes, [(0, 0), (0, 0), (reach, reach), (reach, reach)], mode="edge")
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    weights = np.exp(-(np.arange(reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    direction = np.stack([np.sin(np.radians(angles)), np.cos(np.radians(angles))])
    blurred = np.zeros(planes.shape)
    for distance, weight in enumerate(weights):
        down, right = np.ceil(distance * direction - 0.5).astype(int)
        blurred += weight * windows[np.arange(n), :, reach + down, reach + right]
    # ImageMagick rounds to 16 bits and then cuts off to 8.
    return np.rint(257 * blurred) // 257


def _motion_blur(images: np.ndarray, streams: Streams, radius: int, sigma: float) -> np.ndarray:
    angles = streams[0].uniform(-45, 45, len(images))
    return _along_lines(images.transpose(0, 3, 1, 2), radius, sigma, angles).transpose(0, 2, 3, 1).astype(np.uint8)


@lru_cache(maxsize=256)
def _zoom_matrix(size: int, factor: float) -> np.ndarray:
    """Return the matrix `(size, size)` that enlarges the middle of a line of pixels to the whole line."""
    crop = int(np.ceil(size / factor))
    start = (size - crop) // 2
    enlarged = ndimage.zoom(np.eye(crop), (factor, 1), order=1)
    trim = (len(enlarged) - size) // 2
    matrix = np.zeros((size, size))
    matrix[:, start : start + crop] = enlarged[trim : trim + size]
    return matrix


def _zoomed(planes: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge `(..., H, W)` about the middle by linear interpolation and cut it to its old size."""
    rows, columns = (_zoom_matrix(size, factor).astype(planes.dtype) for size in planes.shape[-2:])
    return rows @ planes @ columns.T


def _zoom_blur(images: np.ndarray, streams: Streams, end: float) -> np.ndarray:
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    factors = np.arange(1, end, 0.01)
    total = planes + sum(_zoomed(planes, factor) for factor in factors)
    return (total / (len(factors) + 1)).transpose(0, 2, 3, 1)


# Weather


def _snow(
    images: np.ndarray,
    streams: Streams,
    mean: float,
    std: float,
    zoom: float,
    threshold: float,
    radius: int,
    sigma: float,
    mix: float,
) -> np.ndarray:
    n, height, width, _ = images.shape
    flakes = _zoomed(streams[0].normal(mean, std, (n, height, width)), zoom)
    flakes[flakes < threshold] = 0
    flakes = np.floor(np.clip(flakes, 0, 1) * 255)
    angles = streams[1].uniform(-135, -45, n)
    flakes = _along_lines(flakes[:, np.newaxis], radius, sigma, angles)[:, 0, :, :, np.newaxis] / 255
    pixels = images.astype(np.float32) / 255
    whitened = np.maximum(pixels, _grey(pixels) * 1.5 + 0.5)
    return mix * pixels + (1 - mix) * whitened + flakes + flakes[:, ::-1, ::-1]


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return `(..., 1)` for `(..., C)`."""
    if pixels.shape[-1] == 1:
        return pixels
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[..., np.newaxis]


#: Mean red, green and blue, and standard deviation, of the recipe's photographs of ice after its shrinking.
FROST_TEXTURES = (
    ((78, 149, 166), 18),
    ((201, 205, 215), 22),
    ((201, 205, 215), 22),
    ((138, 153, 166), 29),
    ((112, 123, 135), 43),
)


@lru_cache(maxsize=4)
def _frost_textures(side: int) -> np.ndarray:
    """Return ice-like textures, float32 `(5, side, side, 3)` of 0..255, always the same ones.

    The bright lines where smooth noise changes its sign make crystals, finer noise makes grains, coarse noise patches.
    """
    rng = np.random.default_rng(0)
    textures = []
    for color, std in FROST_TEXTURES:
        fine, medium, coarse = (
            (noise - noise.mean()) / noise.std()
            for noise in (
                ndimage.gaussian_filter(rng.standard_normal((side, side)), width, mode="wrap")
                for width in (0.5, 1.5, 8)
            )
        )
        crystals = np.exp(-3 * np.abs(medium))
        relief = 0.6 * fine + 0.6 * (crystals - crystals.mean()) / crystals.std() + 0.8 * coarse
        textures.append(np.array(color) + std * (relief / relief.std())[..., np.newaxis])
    return np.clip(textures, 0, 255).astype(np.float32)


def _frost(images: np.ndarray, streams: Streams, image_weight: float, frost_weight: float) -> np.ndarray:
    _, height, width, channels = images.shape
    side = max(128, 2 * height, 2 * width)
    textures = _frost_textures(side)
    if channels == 1:
        textures = _grey(textures)
    limits = [len(textures), side - height, side - width]
    texture, top, left = np.floor(streams[0].random((len(images), 3)) * limits).astype(int).T
    windows = sliding_window_view(textures, (height, width), axis=(1, 2))
    ice = windows[texture, top, left].transpose(0, 2, 3, 1)
    return np.clip(image_weight * images + frost_weight * ice, 0, 255).astype(np.uint8)


def _plasma(stream: np.random.Generator, n: int, size: int, decay: float) -> np.ndarray:
    """Return clouds `(n, size, size)` from 0 to 1 by the diamond-square algorithm; the size is a power of two."""
    cloud = np.zeros((n, size, size))
    noise = stream.uniform(-1, 1, (n, size * size - 1))
    used, wibble, step = 0, 100.0, size

    def fill(target: np.ndarray, total: np.ndarray) -> None:
        nonlocal used
        count = target[0].size
        target[...] = total / 4 + wibble**2 * noise[:, used : used + count].reshape(target.shape)
        used += count

    while step >= 2:
        half = step // 2
        corners, centers = cloud[:, ::step, ::step], cloud[:, half::step, half::step]
        pairs = corners + np.roll(corners, -1, axis=1)
        fill(centers, pairs + np.roll(pairs, -1, axis=2))
        across = corners + np.roll(corners, -1, axis=2)
        fill(cloud[:, ::step, half::step], centers + np.roll(centers, 1, axis=1) + across)
        down = corners + np.roll(corners, -1, axis=1)
        fill(cloud[:, half::step, ::step], centers + np.roll(centers, 1, axis=2) + down)
        step, wibble = half, wibble / decay
    cloud -= cloud.min(axis=(1, 2), keepdims=True)
    return cloud / cloud.max(axis=(1, 2), keepdims=True)


def _fog(images: np.ndarray, streams: Streams, strength: float, decay: float) -> np.ndarray:
    n, height, width, _ = images.shape
    size = 1 << (max(height, width) - 1).bit_length()
    cloud = _plasma(streams[0], n, size, decay)[:, :height, :width, np.newaxis]
    brightest = images.max(axis=(1, 2, 3), keepdims=True) / 255
    return (images / 255 + strength * cloud) * brightest / (brightest + strength)


def _brightness(images: np.ndarray, streams: Streams, added: float) -> np.ndarray:
    if images.shape[3] == 1:
        return images / 255 + added
    hsv = rgb_to_hsv(images / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    return hsv_to_rgb(hsv)


def _spatter(
    images: np.ndarray,
    streams: Streams,
    mean: float,
    std: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
) -> np.ndarray:
    pixels = images.astype(np.float32) / 255
    color = np.array([63, 42, 20] if mud else [175, 238, 238]) / 255  # brown, or pale turquoise
    if images.shape[3] == 1:
        color = _grey(color)
    liquid = _gaussian(streams[0].normal(mean, std, images.shape[:3]), sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = _gaussian((liquid > threshold).astype(np.float32), strength)
        cover[cover < 0.8] = 0
        cover = cover[..., np.newaxis]
        return pixels * (1 - cover) + cover * color
    # Above white a byte starts again at black, as in the recipe.
    drops = np.floor(liquid * 255) % 256
    drops *= _relief(_outlines(drops))
    peak = drops.max(axis=(1, 2), keepdims=True)
    return pixels + (strength * drops / np.where(peak > 0, peak, 1))[..., np.newaxis] * color


def _outlines(drops: np.ndarray) -> np.ndarray:
    """Return Canny's edges, bool `(n, H, W)`, with the thresholds 50 and 150 and OpenCV's default filter and norm."""
    smooth, difference = [1, 2, 1], [-1, 0, 1]
    across, down = (
        ndimage.correlate1d(ndimage.correlate1d(drops, difference, axis, mode="nearest"), smooth, other, mode="nearest")
        for axis, other in [(2, 1), (1, 2)]
    )
    slope = np.abs(across) + np.abs(down)
    _, height, width = slope.shape
    padded = np.pad(slope, [(0, 0), (1, 1), (1, 1)])

    def neighbor(y: int, x: int) -> np.ndarray:
        return padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    # An edge is steepest in its own direction, which is one of four; OpenCV breaks ties along the axes only.
    steepest = np.select(
        [np.abs(down) < np.tan(np.pi / 8) * np.abs(across), np.abs(down) > np.tan(3 * np.pi / 8) * np.abs(across)],
        [
            (slope > neighbor(0, -1)) & (slope >= neighbor(0, 1)),
            (slope > neighbor(-1, 0)) & (slope >= neighbor(1, 0)),
        ],
        np.where(
            across * down < 0,
            (slope > neighbor(-1, 1)) & (slope > neighbor(1, -1)),
            (slope > neighbor(-1, -1)) & (slope > neighbor(1, 1)),
        ),
    )
    weak = steepest & (slope > 50)
    # A weak edge counts where it touches a strong one, at a corner at least, in its own image.
    parts, count = ndimage.label(weak, np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]))
    kept = np.zeros(count + 1, bool)
    kept[parts[weak & (slope > 150)]] = True
    return kept[parts]


def _relief(outlines: np.ndarray) -> np.ndarray:
    """Return how bright drops with these outlines are, whole numbers of 0..255 `(n, H, W)`."""
    _, height, width = outlines.shape
    # Another image is further away than any pixel of the same one.
    sampling = (height + width, 1, 1)
    nearest = ndimage.distance_transform_edt(~outlines, sampling, return_distances=False, return_indices=True)
    offset = np.abs(nearest[1:] - np.indices(outlines.shape)[1:])
    far, near = offset.max(axis=0), offset.min(axis=0)
    # OpenCV's length of a path of steps of 1, 1.4 (diagonal) and 2.1969 (a knight's move), of which 20 is the most.
    distance = np.minimum(np.maximum(far + 0.1969 * near, 0.7969 * far + 0.6031 * near), 20)
    distance[~outlines.any(axis=(1, 2))] = 20
    levels = _equalized(np.floor(_box(distance)).astype(np.int64), 21)
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    return np.rint(_box(np.clip(ndimage.correlate(levels, light[np.newaxis], mode="mirror"), 0, 255)))


def _box(values: np.ndarray) -> np.ndarray:
    """Return means over 3×3 pixels."""
    for axis in (1, 2):
        values = ndimage.correlate1d(values, [1, 1, 1], axis, mode="mirror")
    return values / 9


def _equalized(values: np.ndarray, count: int) -> np.ndarray:
    """Spread values 0..count-1 over 0..255 such that each image's histogram is as flat as can be (equalizeHist)."""
    n = len(values)
    image = np.arange(n)[:, np.newaxis, np.newaxis]
    histogram = np.bincount((values + count * image).ravel(), minlength=count * n).reshape(n, count)
    above = np.cumsum(histogram, axis=1) - histogram[np.arange(n), (histogram > 0).argmax(axis=1)][:, np.newaxis]
    levels = np.rint(255 * above / np.maximum(above[:, -1:], 1))
    return np.where(above[:, -1, np.newaxis, np.newaxis] > 0, levels[image, values], values)


# Colour, geometry and compression


def _contrast(images: np.ndarray, streams: Streams, factor: float) -> np.ndarray:
    height, width = images.shape[1:3]
    # Sums of whole numbers are exact, so the mean does not depend on how many images there are.
    means = images.sum(axis=(1, 2), dtype=np.int64, keepdims=True) / (255 * height * width)
    return (images / 255 - means) * factor + means


def _saturate(images: np.ndarray, streams: Streams, factor: float, offset: float) -> np.ndarray:
    if images.shape[3] == 1:
        return images
    hsv = rgb_to_hsv(images / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + offset, 0, 1)
    return hsv_to_rgb(hsv)


def _sampled(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray, mode: str) -> np.ndarray:
    """Read `planes (n, C, H, W)` at positions `(n, H, W)` by linear interpolation."""
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

    # Three points move, and the affine map that takes them back says where each pixel comes from.
    points = [width // 2, height // 2] + size // 3 * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + affine * size * numbers[:, :6].reshape(n, 3, 2)
    back = np.linalg.solve(
        np.pad(moved, [(0, 0), (0, 0), (0, 1)], constant_values=1), np.broadcast_to(points, (n, 3, 2))
    )
    (xx, xy), (yx, yy), (x, y) = back.transpose(1, 2, 0)[..., np.newaxis, np.newaxis]
    origin = np.stack([columns * xy + rows * yy + y, columns * xx + rows * yx + x])
    # OpenCV rounds positions to 1/32 of a pixel.
    planes = _sampled(planes, *np.rint(32 * origin) / 32, "mirror")

    fields = numbers[:, 6:].reshape(n, 2, height, width)
    blur = (0, 0, sigma * size, sigma * size)
    right, down = alpha * size * ndimage.gaussian_filter(fields, blur, mode="reflect", truncate=3).swapaxes(0, 1)
    return _sampled(planes, rows + down, columns + right, "reflect").transpose(0, 2, 3, 1)


def _one_by_one(images: np.ndarray, edit: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Pass the images through Pillow."""
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


@dataclass(frozen=True)
class Corruption:
    """How images are corrupted, with the constants of each severity from 1 to 5."""

    apply: Callable[..., np.ndarray]
    constants: tuple[tuple[float, ...], ...]
    extra: bool = False  # one of the four that the benchmark's authors keep for validation


#: The corruptions under the names of the published files, in the benchmark's order.
CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(_gaussian_noise, ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,))),
    "shot_noise": Corruption(_shot_noise, ((500,), (250,), (100,), (75,), (50,))),
    "impulse_noise": Corruption(_impulse_noise, ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,))),
    "defocus_blur": Corruption(_defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": Corruption(_glass_blur, ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))),
    "motion_blur": Corruption(_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": Corruption(_zoom_blur, ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,))),
    "snow": Corruption(
        _snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": Corruption(_frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": Corruption(_fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": Corruption(_brightness, ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,))),
    "contrast": Corruption(_contrast, ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,))),
    "elastic_transform": Corruption(
        _elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": Corruption(_pixelate, ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,))),
    "jpeg_compression": Corruption(_jpeg_compression, ((80,), (65,), (58,), (50,), (40,))),
    "speckle_noise": Corruption(_speckle_noise, ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)), extra=True),
    "gaussian_blur": Corruption(_gaussian_blur, ((0.4,), (0.6,), (0.7,), (0.8,), (1,)), extra=True),
    "spatter": Corruption(
        _spatter,
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
        extra=True,
    ),
    "saturate": Corruption(_saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)), extra=True),
}

#: The 15 corruptions that the benchmark scores.
BENCHMARK = tuple(name for name, corruption in CORRUPTIONS.items() if not corruption.extra)

#: The four that its authors add; the paper's mean over 19 includes them.
EXTRAS = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.extra)
