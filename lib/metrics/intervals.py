"""How sure a number about few networks is: a jackknife over members beside a bootstrap over images, and what follows.

A statistic is a function of the indices of the members, which are all different, and of the images, which may repeat.
A percentile bootstrap over few members is no interval: `benchmarks/intervals.py` has the numbers. Sources: Efron and
Stein (1981) for the jackknife's variance, which is too large rather than too small; Satterthwaite (1946) for degrees of
freedom; Berger (1982) for `extreme`; Clopper and Pearson (1934) for `share`.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, t

from lib.metrics.checks import valid_fraction

#: Fewer members have no interval: with three, two degrees of freedom are left, and none for pairs.
LEAST_MEMBERS = 4

#: A standard error below this share of the value is rounding (a float32 has seven digits): nothing varied.
ROUNDING = 1e-6

#: Of the images: beside members, where only a variance is needed, and alone, where the ends of the interval are.
RESAMPLES, RESAMPLES_ALONE = 400, 2000


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval, how that was made, and what `lib.metrics.power` needs.

    Attributes:
        value: of all members and images.
        low, high: the ends of the interval, nan where none can be given; both the value for a count.
        method: "jackknife", "bootstrap", "intersection-union", "Clopper-Pearson", "random effects", or "" for a count.
        members, images: how many there were, where they vary.
        df: degrees of freedom of Student's t; None where the interval is not made with it.
        from_images: the images' share of the variance, 0 to 1.
        log: whether the interval is symmetric on the log scale.
        level: of the interval.
    """

    value: float
    low: float
    high: float
    method: str = ""
    members: int | None = None
    images: int | None = None
    df: float | None = None
    from_images: float = 0.0
    log: bool = False
    level: float = 0.95

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends, nan where there is no interval."""
        return (self.high - self.low) / 2


#: Where a statistic is not defined.
UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def count(value: float) -> Estimate:
    """What is no sample of anything, such as a largest of the runs at hand: a value without an interval."""
    return Estimate(float(value), float(value), float(value))


def interval(
    function: Callable[..., float],
    *,
    members: int | None = None,
    images: int | None = None,
    log: bool = False,
    level: float = 0.95,
    resamples: int | None = None,
    seed: int = 0,
) -> Estimate:
    """A statistic with its interval over `members` networks, `images` images, or both.

    `function(members=..., images=...)`, with those of the two that were given, is θ. With members, θ ± t √(v_M + v_I):
    v_M = (M-1)/M Σ (θ₋ᵢ - mean θ₋ᵢ)² over the M deletions of one member, v_I the variance over `resamples` of the
    images with all members kept, and (v_M + v_I)² (M-1) / v_M² degrees of freedom. What both bring about together
    counts twice, on the safe side. Images alone have a percentile bootstrap.

    The ends are nan below `LEAST_MEMBERS` members, for one image, where the statistic is undefined (nan, infinite) or
    members or images do not change it. With `log`, for ratios and others that are positive, all is done on the
    logarithm, and value and ends are those of the statistic itself.
    """
    if members is None:
        return _over_images(function, images, level, resamples or RESAMPLES_ALONE, seed)
    scale = (lambda **chosen: np.log(function(**chosen))) if log else function
    value, variance, from_images = _variance(scale, members, images, resamples or RESAMPLES, seed)
    df = (members - 1) / np.square(1 - from_images)
    half = t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    ends = [float(np.exp(end) if log else end) for end in (value, value - half, value + half)]
    return Estimate(*ends, "jackknife", members, images, float(df), float(from_images), log, level)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """One jackknife's number minus another's, of other members and other images: Welch's interval.

    Source: Welch (1947). The ends are nan where one of the two has no interval.
    """
    both = first, second
    dfs = [math.nan if one.df is None else one.df for one in both]
    variances = [(one.half_width / t.ppf((1 + one.level) / 2, df)) ** 2 for one, df in zip(both, dfs, strict=True)]
    total = sum(variances)
    df = float(total**2 / sum(variance**2 / df for variance, df in zip(variances, dfs, strict=True)))
    value, half = first.value - second.value, float(t.ppf((1 + first.level) / 2, df) * math.sqrt(total))
    members = None if first.members is None or second.members is None else min(first.members, second.members)
    return Estimate(value, value - half, value + half, "jackknife", members, df=df, level=first.level)


def extreme(
    function: Callable[..., ArrayLike],
    *which: Literal["smallest", "largest"],
    members: int | None = None,
    images: int | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The smallest or largest of k true numbers, such as margins by severity; `function` as in `interval`, to `(k,)`.

    Intersection-union: the smallest lies above a threshold when every one's lower bound does, so `low` is the smallest
    lower bound; it lies below when any one's upper bound does, at a level divided by k, so `high` is the smallest of
    those. Mirrored for the largest. The extreme is never taken inside a resample, where noise makes it more extreme.
    There is no interval as soon as one of the numbers has none. `function` may give `(k, l)` with a word for each axis:
    "smallest", "largest" is the smallest over k of the largest over l.
    """
    values, variance, from_images = _variance(function, members, images, resamples, seed)

    def fold(numbers: np.ndarray) -> float:
        for word in reversed(which):
            numbers = numbers.min(axis=-1) if word == "smallest" else numbers.max(axis=-1)
        return float(numbers)

    def quantile(word: str) -> np.ndarray:
        """Adjusted for how many numbers there are along the axes of that word."""
        tried = math.prod(size for size, own in zip(values.shape, which, strict=True) if own == word)
        return t.ppf(1 - (1 - level) / 2 / tried, df)

    df = (math.inf if members is None else members - 1) / np.square(1 - from_images)
    error = np.sqrt(variance)
    low, high = fold(values - quantile("largest") * error), fold(values + quantile("smallest") * error)
    if not math.isfinite(low + high):
        low = high = math.nan
    binding = np.abs(values - fold(values)).argmin()
    own_df, own_share = (float(one.ravel()[binding]) for one in (df, from_images))
    own_df = None if math.isinf(own_df) else own_df
    return Estimate(fold(values), low, high, "intersection-union", members, images, own_df, own_share, level=level)


def share(shares: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of one share a run, with the interval of Clopper and Pearson that has runs as units.

    `shares (M,)`: of each run, 0 to 1, such as the part of its samples that stay; nan for a run without samples, which
    is left out. Samples of one run resemble each other, so that they count as one. The sum of the shares stands for the
    number of successes: exact where each is 0 or 1, on the safe side between, where they vary less.
    """
    shares = np.asarray(shares, dtype=float)
    shares = valid_fraction("shares", shares[~np.isnan(shares)])
    runs = len(shares)
    low, high = clopper_pearson(shares.sum(), runs, level) if runs >= LEAST_MEMBERS else (math.nan, math.nan)
    value = float(shares.mean()) if runs else math.nan
    return Estimate(value, float(low), float(high), "Clopper-Pearson", runs, level=level)


def clopper_pearson(successes: ArrayLike, runs: ArrayLike, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval; the quantiles of beta are nan where all or none succeeded."""
    tail, failures = (1 - level) / 2, np.subtract(runs, successes)
    low = np.nan_to_num(beta.ppf(tail, successes, failures + 1), nan=0)
    return low, np.nan_to_num(beta.ppf(1 - tail, np.add(successes, 1), failures), nan=1)


def equal_sizes(
    prepare: Callable[[np.ndarray], np.ndarray],
    members: int,
    score: Callable[..., ArrayLike] | None = None,
    size: int | None = None,
) -> Callable[..., np.ndarray]:
    """What depends on the size of an ensemble, as a function for `interval`: always of ensembles of `size`.

    Of some members it is the mean over the ensembles of `size` neighbours in a ring of them, so that each member counts
    alike. The value and every deletion are of one size, and the true number is that of ensembles of `size`.

    Args:
        prepare: of different members, as ascending indices, computed once for each ensemble: something by example,
            `(..., n)`, or with `score` anything.
        members: how many there are.
        score: `score(prepared, images)`, of an ensemble on some images; the mean over images when left out.
        size: of the ensembles, at most one fewer than all members, which it is when left out.
    """
    size = members - 1 if size is None else size

    @cache
    def prepared(chosen: tuple[int, ...]) -> np.ndarray:
        return prepare(np.array(chosen))

    def ensembles(chosen: tuple[int, ...]) -> list[np.ndarray]:
        starts = range(len(chosen) if size < len(chosen) else 1)
        return [prepared(tuple(sorted((chosen[start:] + chosen[:start])[:size]))) for start in starts]

    @cache
    def by_example(chosen: tuple[int, ...]) -> np.ndarray:
        return np.mean(ensembles(chosen), axis=0)

    def function(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        chosen = tuple(members.tolist())
        if score is None:
            return mean_over(by_example(chosen), images)
        return np.mean([score(ensemble, images) for ensemble in ensembles(chosen)], axis=0)

    return function


def pairs(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of different members, as indices `(a, b)`: `matrix[pairs(members)]` picks them from `(N, N)`."""
    first, second = np.triu_indices(len(members), k=1)
    return members[first], members[second]


def mean_over(values: ArrayLike, images: ArrayLike) -> np.ndarray:
    """Means of `values (..., n)` over images that may repeat: `(...)`.

    float32, exact in the sums of booleans; many times faster than copying what was drawn.
    """
    values = np.asarray(values)
    counts = np.bincount(images, minlength=values.shape[-1])
    return values @ counts.astype(np.float32) / np.float32(len(images))


def _over_images(function: Callable, images: int, level: float, resamples: int, seed: int) -> Estimate:
    """The percentile bootstrap."""
    with _undefined_is_nan():
        value = float(function(images=_all(images=images)["images"]))
        found = np.array([function(images=chosen) for chosen in _resamples(images, resamples, seed)], dtype=float)
    ends = [math.nan, math.nan]
    if images > 1 and np.isfinite([value, *found]).all() and _varies(found.std(), value):
        ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Estimate(value, *ends, "bootstrap", images=images, from_images=1.0, level=level)


def _variance(
    function: Callable[..., ArrayLike], members: int | None, images: int | None, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic, its variance, nan where there can be none, and the images' share of it, each as `function` gives."""
    everything = _all(members=members, images=images)

    def values(name: str, choices: list[np.ndarray]) -> np.ndarray:
        return np.array([function(**everything | {name: chosen}) for chosen in choices], dtype=float)

    with _undefined_is_nan():
        value = np.asarray(function(**everything), dtype=float)
        few = members is not None and members < LEAST_MEMBERS
        if few or images == 1 or not np.isfinite(value).all():
            none = np.full(value.shape, np.nan)
            return value, none, none
        parts = {}
        if members is not None:
            deletions = [np.delete(everything["members"], i) for i in range(members)]
            parts["members"] = (members - 1) * values("members", deletions).var(axis=0)
        if images is not None:
            parts["images"] = values("images", _resamples(images, resamples, seed)).var(axis=0, ddof=1)
        variance = sum(parts.values())
        for part in parts.values():
            variance = np.where(_varies(np.sqrt(part), value), variance, np.nan)
        return value, variance, parts.get("images", 0) / variance


def _all(**sizes: int | None) -> dict[str, np.ndarray]:
    """All indices of each, with those of the two that vary."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name}: expected at least 1, received {size}")
    return {name: np.arange(size) for name, size in sizes.items() if size is not None}


def _resamples(images: int, resamples: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(images, size=images) for _ in range(resamples)]


def _varies(error: ArrayLike, value: ArrayLike) -> np.ndarray:
    return error > np.maximum(ROUNDING * np.abs(value), ROUNDING**2)


@contextmanager
def _undefined_is_nan() -> Iterator[None]:
    """Without numpy's warnings of an empty mean, of log(0) and of nan; the result says the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
