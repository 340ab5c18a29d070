"""Paths and planes through weight space: straight lines, the radial plane of two optima, and paths of low loss.

Everything here makes weights from weights; `lib.models.weights.predict` says what they predict. Points that no training
has visited have no BatchNorm statistics: `lib.models.weights.fresh_statistics` finds them.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import nn
from torch.func import functional_call

from lib.errors import ConfigError, unknown
from lib.models.networks import Network
from lib.models.weights import as_pixels
from lib.training.trainer import one_thread

#: Two vectors with a smaller sine of the angle between them are parallel: rounding to float32 alone gives 1e-7.
PARALLEL = 1e-6

#: The weights of (start, middle, end) in the point at t, `(n,)` to `(n, 3)`.
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bezier": lambda t: np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=-1),
    "chain": lambda t: np.maximum(0, 1 - np.abs(2 * t[..., None] - np.arange(3))),
}


def _vectors(**vectors: ArrayLike) -> np.ndarray:
    """Weight vectors of one length, given by name, as float64 `(number, P)`."""
    arrays = {name: np.asarray(vector, dtype=np.float64) for name, vector in vectors.items()}
    first, *others = arrays
    if arrays[first].ndim != 1:
        raise ValueError(f"{first} must have the shape (P,), got {arrays[first].shape}")
    for name in others:
        if arrays[name].shape != arrays[first].shape:
            raise ValueError(f"{name} must have the shape {arrays[first].shape} of {first}, got {arrays[name].shape}")
    return np.stack(list(arrays.values()))


def _combine(coefficients: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Sums of vectors `(k, P)` with coefficients `(n, k)`: float32 `(n, P)`, summed in float64 a row at a time."""
    points = np.empty((len(coefficients), vectors.shape[1]), dtype=np.float32)
    for point, row in zip(points, coefficients, strict=True):
        point[:] = row @ vectors
    return points


# Straight lines and planes


def line(start: ArrayLike, end: ArrayLike, steps: int) -> np.ndarray:
    """Equally spaced points on the straight line between two weight vectors.

    `start (P,)` and `end (P,)` give float32 `(steps, P)`, both ends included. Raises `ValueError` for fewer than two
    steps and for vectors of different lengths. Source: the paper's figure S2.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    t = np.linspace(0, 1, steps)
    return _combine(np.stack([1 - t, t], axis=1), _vectors(start=start, end=end))


class Plane:
    """The plane through the origin of weight space and two optima, in the coordinates of the paper's figure 5.

    The coordinates (x, y) stand for the weights x * first + y * second. So the origin is (0, 0), the optima are (1, 0)
    and (0, 1), and both have radius 1, whatever their norms. Where the two vectors are not orthogonal or not equally
    long, radii and angles in these coordinates are not those of weight space: the picture is a linear map of the
    plane that makes the optima's rays perpendicular and the optima equally far out. Along one ray, radius still is
    the norm divided by that ray's norm at radius 1.

    Args:
        first: weights of the first optimum, `(P,)`.
        second: weights of the second optimum, `(P,)`.

    Raises:
        ValueError: vectors of different lengths, not finite, or parallel (a vector of zeros is parallel to any).
    """

    def __init__(self, first: ArrayLike, second: ArrayLike):
        self._basis = _vectors(first=first, second=second)
        if not np.isfinite(self._basis).all():
            raise ValueError("first and second must be finite")
        self._orthonormal, self._triangle = np.linalg.qr(self._basis.T)  # (P, 2) and (2, 2)
        # The second diagonal entry is what of the second vector is orthogonal to the first.
        if not self._triangle[0, 0] or abs(self._triangle[1, 1]) <= PARALLEL * np.linalg.norm(self._triangle[:, 1]):
            raise ValueError("first and second must span a plane, got parallel vectors")

    def points(self, coordinates: ArrayLike) -> np.ndarray:
        """The weights at `coordinates (..., 2)`: float32 `(..., P)`."""
        coordinates = np.asarray(coordinates, dtype=np.float64)
        if coordinates.shape[-1:] != (2,):
            raise ValueError(f"coordinates must have the shape (..., 2), got {coordinates.shape}")
        points = _combine(coordinates.reshape(-1, 2), self._basis)
        return points.reshape(*coordinates.shape[:-1], points.shape[1])

    def coordinates(self, weights: ArrayLike) -> np.ndarray:
        """The coordinates of the points of the plane nearest to `weights (N, P)`: float64 `(N, 2)`.

        This is the orthogonal projection in weight space, so weights of the plane itself come back as they went in.
        """
        weights = np.asarray(weights)
        if weights.ndim != 2 or weights.shape[1] != self._basis.shape[1]:
            raise ValueError(f"weights must have the shape (N, {self._basis.shape[1]}), got {weights.shape}")
        # Row by row, as float64 copies of many networks at once would fill the memory.
        projected = np.array([row @ self._orthonormal for row in weights]).reshape(-1, 2)
        return np.linalg.solve(self._triangle, projected.T).T


def polar_grid(radii: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Coordinates in a `Plane` of all pairs of `radii (R,)` and `angles (A,)` in radians: float64 `(R, A, 2)`.

    Angle 0 is the ray of the first optimum and π/2 that of the second; radius 1 is at the optima. Source: the paper's
    figure 5.
    """
    radii, angles = np.asarray(radii, dtype=np.float64), np.asarray(angles, dtype=np.float64)
    if radii.ndim != 1 or angles.ndim != 1:
        raise ValueError(f"radii and angles must have the shapes (R,) and (A,), got {radii.shape} and {angles.shape}")
    return radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


# Paths of low loss


def bezier(start: ArrayLike, middle: ArrayLike, end: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Points of the quadratic Bezier curve (1-t)² start + 2t(1-t) middle + t² end.

    It starts towards `middle` and arrives from there, but does not pass through it.

    Args:
        start: weights at t = 0, `(P,)`.
        middle: the control point, `(P,)`.
        end: weights at t = 1, `(P,)`.
        t: `(n,)`, from 0 to 1.

    Returns:
        float32 `(n, P)`.

    Raises:
        ValueError: vectors of different lengths, or `t` that is not such a list.

    Source: Garipov et al. 2018.
    """
    return _curve("bezier", start, middle, end, t)


def chain(start: ArrayLike, middle: ArrayLike, end: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Points of the straight segments from `start` to `middle` (at t = 1/2) and on to `end`; otherwise as `bezier`."""
    return _curve("chain", start, middle, end, t)


def _curve(name: str, start: ArrayLike, middle: ArrayLike, end: ArrayLike, t: ArrayLike) -> np.ndarray:
    t = np.asarray(t, dtype=np.float64)
    if t.ndim != 1 or not ((t >= 0) & (t <= 1)).all():
        raise ValueError(f"t must have the shape (n,) and lie from 0 to 1, got {t}")
    return _combine(CURVES[name](t), _vectors(start=start, middle=middle, end=end))


def learning_rate_factor(epoch: int, epochs: int) -> float:
    """What the learning rate of an epoch (from 1) of `epochs` is multiplied by, in [0.01, 1].

    1 for the first half, then down a straight line to 0.01 at nine tenths of the epochs, then 0.01. Source: the code of
    Garipov et al. 2018.
    """
    return float(np.interp(epoch / epochs, [0.5, 0.9], [1, 0.01]))


def train_connector(
    model: Network,
    start: ArrayLike,
    end: ArrayLike,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    curve: str = "bezier",
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> np.ndarray:
    """The middle point of a path of low training loss between two optima.

    The recipe of Garipov et al. 2018: the middle begins halfway between the ends, which stay; each batch is evaluated
    at one point θ(t) of the curve, t drawn uniformly from 0 to 1, with the loss cross-entropy + weight_decay/2 |θ(t)|²,
    and SGD with momentum 0.9 moves the middle. Two things are ours: images are not augmented, and dropout is off, so
    that what is minimised along the path is the loss that is later measured on it.

    Args:
        model: the architecture, with its pixel normalisation. Its weights stay; BatchNorm normalises by the batch, as
            in training, and its statistics are overwritten.
        start: weights of one optimum, `(P,)`.
        end: weights of the other, `(P,)`.
        images: training images, uint8 `(n, H, W, C)`.
        labels: `(n,)`.
        curve: `bezier` or `chain`, the function of that name.
        epochs: passes through the images; with 0 the middle is halfway.
        batch_size: images in a step.
        learning_rate: before `learning_rate_factor`. Garipov et al. take 0.015 to 0.03.
        weight_decay: Garipov et al. take 3e-4 to 5e-4.
        seed: of the order of the images and of all t. The same seed gives the same bits on one machine's CPU.
        progress: called after each epoch with its number (from 1) and its mean loss (nats).

    Returns:
        float32 `(P,)`: the `middle` for `bezier` or `chain`.

    Raises:
        ConfigError: a curve that does not exist, or the weights left the finite numbers.
        ValueError: shapes that do not fit.
    """
    if curve not in CURVES:
        raise ConfigError(unknown("curve", curve, CURVES))
    ends = _vectors(start=start, end=end)
    middle = _combine(np.array([[0.5, 0.5]]), ends)[0]
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    settings |= {"weight_decay": weight_decay, "seed": seed, "progress": progress}
    return _minimize(model, middle, ends, CURVES[curve], images, labels, **settings)


def descend(
    model: Network,
    points: ArrayLike,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
) -> np.ndarray:
    """Minimise the training loss from each of `points (n, P)` on its own: float32 `(n, P)`.

    The paper's way to a tunnel (appendix A, after Fort and Jastrzebski 2019), with `points` on the straight line
    between two optima; the paper leaves open with which steps and for how long. The steps here are those of
    `train_connector`, whose arguments and errors these are. All points see the same batches, so that neighbours stay
    neighbours as far as the landscape lets them, and a point ends the same whichever others it is given with.
    """
    points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2:
        raise ValueError(f"points must have the shape (n, P), got {points.shape}")
    settings = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    settings |= {"weight_decay": weight_decay, "seed": seed}
    ends = np.zeros((2, points.shape[1]))
    low = [_minimize(model, point, ends, _only_the_middle, images, labels, **settings) for point in points]
    return np.array(low, dtype=np.float32).reshape(points.shape)


def _only_the_middle(t: np.ndarray) -> np.ndarray:
    """Coefficients, as in `CURVES`, of a curve that stays where its middle is."""
    return np.tile([0.0, 1.0, 0.0], (len(t), 1))


def _minimize(
    model: Network,
    middle: np.ndarray,
    ends: np.ndarray,
    curve: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    progress: Callable[[int, float], None] | None = None,
) -> np.ndarray:
    """Train the `middle (P,)` of a curve between `ends (2, P)`; its point at t has the coefficients `curve(t)`."""
    parameters = dict(model.named_parameters())
    sizes = [parameter.numel() for parameter in parameters.values()]
    if middle.shape != (sum(sizes),):
        raise ValueError(f"weights must have the length {sum(sizes)} of the model, got {len(middle)}")
    if tuple(images.shape[1:]) != model.image_shape or labels.shape != images.shape[:1]:
        shape = ", ".join(map(str, model.image_shape))
        raise ValueError(f"images and labels must be (n, {shape}) and (n,), got {images.shape} and {labels.shape}")
    if epochs < 0 or batch_size < 1:
        raise ValueError(f"epochs must be at least 0 and batch_size at least 1, got {epochs} and {batch_size}")
    device = next(model.parameters()).device
    pixels, targets = as_pixels(images, device), torch.tensor(labels, dtype=torch.int64, device=device)
    start, end = torch.tensor(ends, dtype=torch.float32, device=device)
    middle = torch.tensor(middle, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([middle], lr=learning_rate, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    with one_thread():
        for epoch in range(1, epochs + 1):
            optimizer.param_groups[0]["lr"] = learning_rate * learning_rate_factor(epoch, epochs)
            total = torch.zeros((), device=device)
            for chosen in torch.randperm(len(targets), generator=generator).split(batch_size):
                t = torch.rand(1, generator=generator, dtype=torch.float64).numpy()
                first, second, third = map(float, curve(t)[0])
                point = first * start + second * middle + third * end
                pieces = [
                    piece.view(parameter.shape)
                    for piece, parameter in zip(point.split(sizes), parameters.values(), strict=True)
                ]
                weights = dict(zip(parameters, pieces, strict=True))
                chosen = chosen.to(device)
                loss = F.cross_entropy(functional_call(model, weights, (pixels[chosen],)), targets[chosen])
                optimizer.zero_grad()
                (loss + 0.5 * weight_decay * point.square().sum()).backward()
                optimizer.step()
                total += loss.detach() * len(chosen)
            if not torch.isfinite(middle).all():
                raise ConfigError(f"the path diverged in epoch {epoch}; learning_rate {learning_rate} is too high")
            if progress is not None:
                progress(epoch, total.item() / len(targets))
    model.eval()
    return middle.detach().cpu().numpy()
