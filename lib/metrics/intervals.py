"""Confidence intervals for statistics of few networks: a jackknife over members combined with a bootstrap over images.

A statistic is a function of the indices of the members, which are all different, and of the images, which may repeat.
A percentile bootstrap over few members covers too rarely, as measured in `benchmarks/intervals.py`. Sources: Efron and
Stein (1981) for the jackknife's variance, which is biased upwards; Satterthwaite (1946) for the degrees of freedom;
Berger (1982) for `extreme`; Clopper and Pearson (1934) for `share`.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, t

from lib.metrics.checks import valid_fraction

#: With fewer members there is no interval: three leave two degrees of freedom, and none for pairs.
LEAST_MEMBERS = 4

#: A standard error below this share of the value is only rounding (float32 has seven digits): nothing varied.
ROUNDING = 1e-6

#: Resamples of the images: with members, where only a variance is needed, and alone, where quantiles are needed.
RESAMPLES, RESAMPLES_ALONE = 400, 2000


@dataclass(frozen=True)
class Estimate:
    """A statistic with its interval, the interval's method, and what `lib.metrics.power` needs.

    Attributes:
        value: the statistic for all members and images.
        low, high: the ends of the interval, nan if there is none; both equal `value` for a count.
        method: "jackknife", "bootstrap", "intersection-union", "Clopper-Pearson", "random effects", or "" for a count.
        members, images: how many there were; None if the interval does not vary them.
        df: degrees of freedom of Student's t; None if the interval does not use it.
        from_images: the images' share of the variance, 0 to 1.
        log: whether the interval is symmetric on the log scale.
        level: the confidence level.
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
        """Half of the distance between the ends, nan if there is no interval."""
        return (self.high - self.low) / 2


#: The estimate if a statistic is not defined.
UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def count(value: float) -> Estimate:
    """An estimate without an interval, for a value that is not inferred from a sample, such as a maximum over runs."""
    return Estimate(float(value), float(value), float(value))


def interval(
    function: Callable[..., float],
    *,
    members: int | None = None,
    images: int | None = None,
    log: bool = False,
    level: float = 0.95,
    resamples: int | None = None,
) -> Estimate:
    """A statistic with its interval over `members` networks, `images` images, or both.

    `function(members=..., images=...)` computes θ; only the indices of what was given are passed. With members the
    interval is θ ± t √(v_M + v_I): v_M = (M-1)/M Σ (θ₋ᵢ - mean θ₋ᵢ)² over the M deletions of one member, v_I the
    variance over `resamples` of the images with all members kept, and (v_M + v_I)² (M-1) / v_M² degrees of freedom.
    Variance from their interaction counts twice, which is conservative. Images alone have a percentile bootstrap.

    The ends are nan with fewer than `LEAST_MEMBERS` members, with one image, if the statistic is undefined (nan or
    infinite), or if members or images do not change it. `log`, for positive statistics such as ratios, computes the
    interval on the log scale; value and ends are transformed back.
    """
    if members is None:
        return _over_images(function, images, level, resamples or RESAMPLES_ALONE)
    scale = (lambda **chosen: np.log(function(**chosen))) if log else function
    value, variance, from_images = _variance(scale, members, images, resamples or RESAMPLES)
    df = (members - 1) / np.square(1 - from_images)
    half = t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    ends = [float(np.exp(end) if log else end) for end in (value, value - half, value + half)]
    return Estimate(*ends, "jackknife", members, images, float(df), float(from_images), log, level)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Welch's interval for the difference of two jackknife estimates with different members and images.

    Source: Welch (1947). The ends are nan if one of the two has no interval.
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
) -> Estimate:
    """The smallest or largest of k values, such as margins by severity; `function` as in `interval`, but gives `(k,)`.

    Intersection-union: the smallest is above a threshold if all lower bounds are, so `low` is the smallest lower bound;
    it is below if any upper bound is, at an error rate divided by k, so `high` is the smallest such upper bound. The
    largest is treated the other way round. The extreme is never taken within a resample, where noise exaggerates it.
    There is no interval if any of the values has none. `function` may give `(k, l)`, with one word of `which` per
    axis: "smallest", "largest" is the smallest over k of the largest over l.
    """
    values, variance, from_images = _variance(function, members, images, resamples)

    def fold(numbers: np.ndarray) -> float:
        for word in reversed(which):
            numbers = numbers.min(axis=-1) if word == "smallest" else numbers.max(axis=-1)
        return float(numbers)

    def quantile(word: str) -> np.ndarray:
        """Quantile of t, adjusted for the number of values along the axes with this word."""
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
    """Mean of one share per run, with the Clopper-Pearson interval over runs.

    `shares (M,)`: one share per run, 0 to 1, such as the fraction of its samples that stay; nan for a run without
    samples, which is left out. A run counts once, as its samples resemble each other. The sum of the shares is used as
    the number of successes: exact if each is 0 or 1, conservative in between, where shares vary less.
    """
    shares = np.asarray(shares, dtype=float)
    shares = valid_fraction("shares", shares[~np.isnan(shares)])
    runs = len(shares)
    low, high = clopper_pearson(shares.sum(), runs, level) if runs >= LEAST_MEMBERS else (math.nan, math.nan)
    value = float(shares.mean()) if runs else math.nan
    return Estimate(value, float(low), float(high), "Clopper-Pearson", runs, level=level)


def clopper_pearson(successes: ArrayLike, runs: ArrayLike, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the Clopper-Pearson interval; 0 or 1 where beta quantiles are nan because none or all succeeded."""
    tail, failures = (1 - level) / 2, np.subtract(runs, successes)
    low = np.nan_to_num(beta.ppf(tail, successes, failures + 1), nan=0)
    return low, np.nan_to_num(beta.ppf(1 - tail, np.add(successes, 1), failures), nan=1)


def equal_sizes(
    prepare: Callable[[np.ndarray], np.ndarray],
    members: int,
    score: Callable[..., ArrayLike] | None = None,
    size: int | None = None,
) -> Callable[..., np.ndarray]:
    """Make a function for `interval` of a statistic that depends on ensemble size, always for ensembles of `size`.

    It averages over all ensembles of `size` neighbours when the given members are arranged in a ring, so that all
    members have equal weight. Value and deletions have the same ensemble size, so the estimate is for that size.

    Args:
        prepare: called once per ensemble with its members' ascending indices; returns values per example,
            `(..., n)`, or anything that `score` takes.
        members: the number of members.
        score: `score(prepared, images)` of an ensemble on some images; by default the mean over images.
        size: the size of the ensembles, less than `members`; by default one less.
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
    """All pairs of different members as indices `(a, b)`: `matrix[pairs(members)]` selects them from `(N, N)`."""
    first, second = np.triu_indices(len(members), k=1)
    return members[first], members[second]


def mean_over(values: ArrayLike, images: ArrayLike) -> np.ndarray:
    """Means of `values (..., n)` over images that may repeat: `(...)`.

    In float32, in which sums of booleans are exact; many times faster than copying the drawn images.
    """
    values = np.asarray(values)
    counts = np.bincount(images, minlength=values.shape[-1])
    return values @ counts.astype(np.float32) / np.float32(len(images))


def _over_images(function: Callable, images: int, level: float, resamples: int) -> Estimate:
    """The percentile bootstrap over images."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # undefined is nan
        value = float(function(images=_all(images=images)["images"]))
        found = np.array([function(images=chosen) for chosen in _resamples(images, resamples)], dtype=float)
    ends = [math.nan, math.nan]
    if images > 1 and np.isfinite([value, *found]).all() and _varies(found.std(), value):
        ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Estimate(value, *ends, "bootstrap", images=images, from_images=1.0, level=level)


def _variance(
    function: Callable[..., ArrayLike], members: int | None, images: int | None, resamples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic, its variance (nan if there is none), and the images' share of it, each in the statistic's shape."""
    everything = _all(members=members, images=images)

    def values(name: str, choices: list[np.ndarray]) -> np.ndarray:
        return np.array([function(**everything | {name: chosen}) for chosen in choices], dtype=float)

    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # undefined is nan
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
            parts["images"] = values("images", _resamples(images, resamples)).var(axis=0, ddof=1)
        variance = sum(parts.values())
        for part in parts.values():
            variance = np.where(_varies(np.sqrt(part), value), variance, np.nan)
        return value, variance, parts.get("images", 0) / variance


def _all(**sizes: int | None) -> dict[str, np.ndarray]:
    """All indices of members and images, for each size that is not None."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ValueError(f"{name}: expected at least 1, received {size}")
    return {name: np.arange(size) for name, size in sizes.items() if size is not None}


def _resamples(images: int, resamples: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(images, size=images) for _ in range(resamples)]


def _varies(error: ArrayLike, value: ArrayLike) -> np.ndarray:
    return error > np.maximum(ROUNDING * np.abs(value), ROUNDING**2)
