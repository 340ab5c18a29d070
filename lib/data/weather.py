"""Snow, frost, fog and spatter, and helpers shared with the blurs of `lib.data.corruptions`.

Each corruption takes uint8 images `(n, H, W, C)`, random streams, and the constants of a severity. It returns uint8, or
floats to be clipped to [0, 1] and multiplied by 255.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

Streams = Sequence[np.random.Generator]


def gaussian(images: np.ndarray, sigma: float) -> np.ndarray:
    """Blur `(n, H, W)` or `(n, H, W, C)` with scikit-image's default border and width."""
    sigmas = (0, sigma, sigma, 0)[: images.ndim]
    return ndimage.gaussian_filter(images, sigmas, mode="nearest", truncate=4)


def along_lines(planes: np.ndarray, radius: int, sigma: float, angles: np.ndarray) -> np.ndarray:
    """Blur along a line as ImageMagick's MotionBlurImage does.

    Each pixel becomes the mean of itself and the next `2 radius` pixels in the direction of its image's angle, weighted
    by a Gaussian of their distance. `planes (n, C, H, W)` are in 0..255, `angles (n,)` in degrees clockwise from the
    right. Returns whole numbers in 0..255 as floats.
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
    # ImageMagick rounds to 16 bits and then truncates to 8.
    return np.rint(257 * blurred) // 257


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


def zoomed(planes: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge `(..., H, W)` about the centre with linear interpolation and crop it to the original size."""
    rows, columns = (_zoom_matrix(size, factor).astype(planes.dtype) for size in planes.shape[-2:])
    return rows @ planes @ columns.T


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Convert `(..., C)` to grey `(..., 1)` with the weights of ITU-R BT.601, as OpenCV and Pillow do."""
    if pixels.shape[-1] == 1:
        return pixels
    red, green, blue = np.moveaxis(pixels * np.array([0.299, 0.587, 0.114]), -1, 0)
    return (red + green + blue)[..., np.newaxis]


def snow(images: np.ndarray, streams: Streams, *constants: float) -> np.ndarray:
    """Add streaks of snow, and make the colours beneath them paler."""
    mean, std, zoom, threshold, radius, sigma, mix = constants
    n, height, width, _ = images.shape
    flakes = zoomed(streams[0].normal(mean, std, (n, height, width)), zoom)
    flakes[flakes < threshold] = 0
    flakes = np.floor(np.clip(flakes, 0, 1) * 255)
    angles = streams[1].uniform(-135, -45, n)
    flakes = along_lines(flakes[:, np.newaxis], radius, sigma, angles)[:, 0, :, :, np.newaxis] / 255
    pixels = images.astype(np.float32) / 255
    whitened = np.maximum(pixels, _grey(pixels) * 1.5 + 0.5)
    return mix * pixels + (1 - mix) * whitened + flakes + flakes[:, ::-1, ::-1]


#: Mean red, green and blue, and standard deviation, of the recipe's photographs of ice after downscaling.
FROST_TEXTURES = (
    ((78, 149, 166), 18),
    ((201, 205, 215), 22),
    ((201, 205, 215), 22),
    ((138, 153, 166), 29),
    ((112, 123, 135), 43),
)


@lru_cache(maxsize=4)
def _frost_textures(side: int) -> np.ndarray:
    """Return ice-like textures, float32 `(5, side, side, 3)` in 0..255, always the same ones.

    Crystals are the bright lines where smooth noise changes sign; white noise adds grain, coarse noise adds patches.
    They are mixed so that neighbouring pixels correlate by 0.37 within tiles of 32 by 32 pixels; in the downscaled
    photographs the correlation is 0.24 to 0.49.
    """
    rng = np.random.default_rng(0)
    textures = []
    for color, std in FROST_TEXTURES:
        noises = [
            ndimage.gaussian_filter(rng.standard_normal((side, side)), width, mode="wrap") for width in (0, 1.5, 8)
        ]
        white, medium, coarse = ((noise - noise.mean()) / noise.std() for noise in noises)
        crystals = np.exp(-3 * np.abs(medium))
        relief = 0.7 * white + 0.7 * (crystals - crystals.mean()) / crystals.std() + 0.6 * coarse
        textures.append(np.array(color) + std * (relief / relief.std())[..., np.newaxis])
    return np.clip(textures, 0, 255).astype(np.float32)


def frost(images: np.ndarray, streams: Streams, image_weight: float, frost_weight: float) -> np.ndarray:
    """Overlay each image with a random part of an ice-like texture."""
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


def fog(images: np.ndarray, streams: Streams, strength: float, decay: float) -> np.ndarray:
    """Add a separate cloud to each image; no pixel gets brighter than the image's brightest one."""
    n, height, width, _ = images.shape
    size = 1 << (max(height, width) - 1).bit_length()
    cloud = _plasma(streams[0], n, size, decay)[:, :height, :width, np.newaxis]
    brightest = images.max(axis=(1, 2, 3), keepdims=True) / 255
    return (images / 255 + strength * cloud) * brightest / (brightest + strength)


def spatter(images: np.ndarray, streams: Streams, *constants: float) -> np.ndarray:
    """Add drops of water, or splashes of mud."""
    mean, std, sigma, threshold, strength, mud = constants
    pixels = images.astype(np.float32) / 255
    color = np.array([63, 42, 20] if mud else [175, 238, 238]) / 255  # brown, or pale turquoise
    if images.shape[3] == 1:
        color = _grey(color)
    liquid = gaussian(streams[0].normal(mean, std, images.shape[:3]), sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float32), strength)
        cover[cover < 0.8] = 0
        cover = cover[..., np.newaxis]
        return pixels * (1 - cover) + cover * color
    # Bytes above white wrap around to black, as in the recipe.
    drops = np.floor(liquid * 255) % 256
    drops *= _relief(_outlines(drops))
    peak = drops.max(axis=(1, 2), keepdims=True)
    return pixels + (strength * drops / np.where(peak > 0, peak, 1))[..., np.newaxis] * color


def _outlines(drops: np.ndarray) -> np.ndarray:
    """Return Canny edges, bool `(n, H, W)`, with the thresholds 50 and 150 and OpenCV's default filter and norm."""
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

    # An edge is steepest along its gradient, one of four directions; OpenCV breaks ties along the axes only.
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
    # A weak edge is kept if it touches a strong one in the same image, corners included.
    parts, count = ndimage.label(weak, np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]))
    kept = np.zeros(count + 1, bool)
    kept[parts[weak & (slope > 150)]] = True
    return kept[parts]


def _relief(outlines: np.ndarray) -> np.ndarray:
    """Return the brightness of drops with these outlines, whole numbers in 0..255 `(n, H, W)`."""
    _, height, width = outlines.shape
    # Makes other images further away than any pixel of the same image.
    sampling = (height + width, 1, 1)
    nearest = ndimage.distance_transform_edt(~outlines, sampling, return_distances=False, return_indices=True)
    offset = np.abs(nearest[1:] - np.indices(outlines.shape)[1:])
    far, near = offset.max(axis=0), offset.min(axis=0)
    # OpenCV's length of a path with steps of 1, 1.4 (diagonal) and 2.1969 (a knight's move), at most 20.
    distance = np.minimum(np.maximum(far + 0.1969 * near, 0.7969 * far + 0.6031 * near), 20)
    distance[~outlines.any(axis=(1, 2))] = 20
    levels = np.stack([_equalized(image) for image in np.floor(_box(distance)).astype(np.int64)])
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    return np.rint(_box(np.clip(ndimage.correlate(levels, light[np.newaxis], mode="mirror"), 0, 255)))


def _box(values: np.ndarray) -> np.ndarray:
    """Return means over 3×3 pixels."""
    for axis in (1, 2):
        values = ndimage.correlate1d(values, [1, 1, 1], axis, mode="mirror")
    return values / 9


def _equalized(values: np.ndarray) -> np.ndarray:
    """Spread whole numbers `(H, W)` over 0..255 so that their histogram is as flat as possible (equalizeHist)."""
    above = np.cumsum(np.bincount(values.ravel()))
    above -= above[values.min()]
    return np.rint(255 * above / above[-1])[values] if above[-1] else values
