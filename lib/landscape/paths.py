"""Paths between two weight vectors: the straight line, and curves bent by a third vector."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from lib.errors import ConfigError
from lib.landscape.planes import combine, stack


def positions(num_points: int) -> np.ndarray:
    """Positions at which a path is evaluated: `(num_points,)` from 0 to 1, including both ends and the middle.

    Raises `ConfigError` for an even number, which has no middle, and for fewer than three.
    """
    if num_points is None or num_points < 3 or num_points % 2 == 0:
        raise ConfigError(f"num_points must be an odd number of at least 3, to include the middle, got {num_points}")
    return np.linspace(0, 1, num_points)


def line(start: ArrayLike, end: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Points of the straight line from `start (P,)` at t = 0 to `end (P,)` at t = 1.

    Returns float32 `(n, P)` for `t (n,)`. Raises `ValueError` for vectors of different lengths. Source: the paper's
    figure S2.
    """
    t = np.asarray(t)
    return combine(np.stack([1 - t, t], axis=1), stack([start, end]))


def bezier(t: np.ndarray) -> np.ndarray:
    """Coefficients `(n, 3)` of the quadratic Bezier curve (1-t)² start + 2t(1-t) middle + t² end at `t (n,)`.

    It leaves towards the middle and arrives from there, but does not pass through it. Source: Garipov et al. 2018.
    """
    return np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=-1)


def chain(t: np.ndarray) -> np.ndarray:
    """Coefficients, as in `bezier`, of straight segments from start to middle (at t = 1/2) and from there to end."""
    return np.maximum(0, 1 - np.abs(2 * t[..., None] - np.arange(3)))


#: Curves by the names that notebooks use.
CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"bezier": bezier, "chain": chain}
