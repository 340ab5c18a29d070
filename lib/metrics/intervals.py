"""How sure a number is: its value from all members and images, and its interval from resamples of them.

A statistic is a function of the indices of the members and of the images that it is computed from.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Draws that `bootstrap` makes at most for each resample it was asked for: with more than nine of ten undefined, the
#: statistic has no interval worth the name.
DRAWS_PER_RESAMPLE = 10


@dataclass(frozen=True)
class Estimate:
    """A statistic's `value` and the ends of its interval, from so many `resamples` of `unit`.

    `unit` is "members", "images", "members and images", or "none" for a deterministic count, where both ends are the
    value. Where no interval can be given the ends are nan.
    """

    value: float
    low: float
    high: float
    resamples: int
    unit: str


def bootstrap(
    statistic: Callable[..., float],
    *,
    members: int | None = None,
    images: int | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile bootstrap interval over `members` networks, `images` images, or both.

    `statistic(members=..., images=...)`, with those of the two that were given, gets indices to compute from: all of
    them, in order, for the value, then `resamples` times as many drawn with replacement. With neither given it is a
    count without an interval. It says nan (or infinity) where it is undefined, as for a mean over pairs when one
    member was drawn every time: such a resample is drawn again, and when hardly any is defined, or members never
    vary among those that are (one member; the only pair of two), the ends are nan. Seeded by `seed` alone.
    """
    sizes = {name: size for name, size in (("members", members), ("images", images)) if size is not None}
    unit = " and ".join(sizes) or "none"

    with warnings.catch_warnings():
        # numpy warns of the empty mean that an undefined resample is; nan says the same.
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(statistic(**{name: np.arange(size) for name, size in sizes.items()}))
        if not sizes:
            return Estimate(value, value, value, 0, unit)
        no_interval = Estimate(value, math.nan, math.nan, resamples, unit)
        if not math.isfinite(value):
            return no_interval

        rng = np.random.default_rng(seed)
        values, drawn_members = [], set()
        for _ in range(DRAWS_PER_RESAMPLE * resamples):
            drawn = {name: rng.integers(size, size=size) for name, size in sizes.items()}
            resampled = float(statistic(**drawn))
            if math.isfinite(resampled):
                values.append(resampled)
                drawn_members.add(frozenset(drawn.get("members", ())))
            if len(values) == resamples:
                break

    if len(values) < resamples or (members is not None and len(drawn_members) < 2):
        return no_interval
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), resamples, unit)


def distinct_pairs(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of a resample, as member indices `(a, b)`; the same member drawn twice is no pair and left out.

    `matrix[distinct_pairs(members)]` picks the pairs from a matrix `(N, N)`. There may be none: take a largest value by
    `.max(initial=-np.inf)`, which `bootstrap` draws again, as it does the nan of an empty mean.
    """
    members = np.asarray(members)
    i, j = np.triu_indices(len(members), k=1)
    different = members[i] != members[j]
    return members[i[different]], members[j[different]]


def mean_over(values: ArrayLike, images: ArrayLike) -> np.ndarray:
    """Means of `values (..., n)` over images with repetitions, as `bootstrap` draws them: `(...)`.

    float32, exact in the sums of booleans; many times faster than copying what was drawn.
    """
    values = np.asarray(values)
    counts = np.bincount(images, minlength=values.shape[-1])
    return values @ counts.astype(np.float32) / np.float32(len(images))
