"""Planes through the origin of weight space and two optima, and where to look in them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

#: Two vectors with a smaller sine of the angle between them are parallel: rounding to float32 alone gives 1e-7.
PARALLEL = 1e-6


def stack(vectors: Iterable[ArrayLike]) -> np.ndarray:
    """Weight vectors `(P,)` as float64 `(k, P)`; `ValueError` where they differ in length."""
    return np.stack([np.asarray(vector, dtype=np.float64) for vector in vectors])


def combine(coefficients: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Sums of vectors `(k, P)` with coefficients `(n, k)`: float32 `(n, P)`, summed in float64 a row at a time."""
    points = np.empty((len(coefficients), vectors.shape[1]), dtype=np.float32)
    for point, row in zip(points, coefficients, strict=True):
        point[:] = row @ vectors
    return points


class Plane:
    """The plane through the origin of weight space and two optima, in the coordinates of the paper's figure 5.

    The coordinates (x, y) stand for the weights x * first + y * second. So the origin is (0, 0), the optima are (1, 0)
    and (0, 1), and both have radius 1, whatever their norms. Where the two vectors are not orthogonal or not equally
    long, radii and angles in these coordinates are not those of weight space: the picture is a linear map of the
    plane that makes the optima's rays perpendicular and the optima equally far out. Along one ray, radius still is
    the norm divided by that ray's norm at radius 1.

    Both optima are weights `(P,)`. Raises `ValueError` for vectors of different lengths, not finite, or parallel (a
    vector of zeros is parallel to any).
    """

    def __init__(self, first: ArrayLike, second: ArrayLike):
        self._basis = stack([first, second])
        self._orthonormal, self._triangle = np.linalg.qr(self._basis.T)  # (P, 2) and (2, 2)
        # The second diagonal entry is what of the second vector is orthogonal to the first; comparisons fail for nan.
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

        This is the orthogonal projection in weight space, so weights of the plane itself come back as they went in.
        """
        # Row by row, as float64 copies of many networks at once would fill the memory.
        projected = np.array([row @ self._orthonormal for row in weights]).reshape(-1, 2)
        return np.linalg.solve(self._triangle, projected.T).T


def polar_grid(radii: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Coordinates in a `Plane` of all pairs of `radii (R,)` and `angles (A,)` in radians: float64 `(R, A, 2)`.

    Angle 0 is the ray of the first optimum and π/2 that of the second; radius 1 is at the optima. Source: the paper's
    figure 5.
    """
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=-1)  # (A, 2)
    return np.asarray(radii)[:, None, None] * directions
