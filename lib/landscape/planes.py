"""Planes through the origin of weight space and two optima, and grids of points in them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

#: Two vectors are parallel if the sine of their angle is smaller: rounding to float32 alone gives 1e-7.
PARALLEL = 1e-6


def stack(vectors: Iterable[ArrayLike]) -> np.ndarray:
    """Weight vectors `(P,)` as float64 `(k, P)`; raises `ValueError` if their lengths differ."""
    return np.stack([np.asarray(vector, dtype=np.float64) for vector in vectors])


def combine(coefficients: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Sums of vectors `(k, P)` with coefficients `(n, k)`: float32 `(n, P)`, summed in float64 one row at a time."""
    points = np.empty((len(coefficients), vectors.shape[1]), dtype=np.float32)
    for point, row in zip(points, coefficients, strict=True):
        point[:] = row @ vectors
    return points


class Plane:
    """The plane through the origin of weight space and two optima, in the coordinates of the paper's figure 5.

    The coordinates (x, y) denote the weights x * first + y * second. So the origin is (0, 0), the optima are (1, 0)
    and (0, 1), and both have radius 1, whatever their norms. If the two vectors are not orthogonal or differ in
    length, radii and angles in these coordinates are not those of weight space: the picture is a linear map of the
    plane that makes the rays of the optima perpendicular and puts the optima at the same distance. Along one ray, the
    radius is still the norm divided by the norm at radius 1 of that ray.

    Both optima are weights `(P,)`. Raises `ValueError` for vectors that differ in length, are not finite, or are
    parallel (a vector of zeros is parallel to any).
    """

    def __init__(self, first: ArrayLike, second: ArrayLike):
        self._basis = stack([first, second])
        self._orthonormal, self._triangle = np.linalg.qr(self._basis.T)  # (P, 2) and (2, 2)
        # The second diagonal entry is the part of the second vector orthogonal to the first; comparisons fail for nan.
        length, apart = np.abs(np.diag(self._triangle))
        if not (length > 0 and apart > PARALLEL * np.linalg.norm(self._triangle[:, 1])):
            raise ValueError("first and second must be finite and span a plane, got parallel vectors or nan")

    def points(self, coordinates: ArrayLike) -> np.ndarray:
        """The weights at `coordinates (..., 2)`: float32 `(..., P)`."""
        coordinates = np.asarray(coordinates, dtype=np.float64)
        points = combine(coordinates.reshape(-1, coordinates.shape[-1]), self._basis)
        return points.reshape(*coordinates.shape[:-1], points.shape[1])

    def coordinates(self, weights: np.ndarray) -> np.ndarray:
        """The coordinates of the points of the plane nearest to `weights (N, P)`: float64 `(N, 2)`.

        This is the orthogonal projection in weight space, so weights in the plane keep their coordinates.
        """
        # Row by row, as float64 copies of many networks at once would take too much memory.
        projected = np.array([row @ self._orthonormal for row in weights]).reshape(-1, 2)
        return np.linalg.solve(self._triangle, projected.T).T


def polar_grid(radii: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Coordinates in a `Plane` of all pairs of `radii (R,)` and `angles (A,)` in radians: float64 `(R, A, 2)`.

    Angle 0 is the ray of the first optimum, and π/2 the ray of the second; the optima have radius 1. Source: the
    paper's figure 5.
    """
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)  # (A, 2)
    return np.asarray(radii)[:, None, None] * directions
