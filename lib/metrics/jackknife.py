"""How sure a number about few networks is: a jackknife over members beside a bootstrap over images, and what follows.

A statistic is a function of the indices of the members, which are all different, and of the images, which may repeat.
A percentile bootstrap over few members is no interval: `benchmarks/intervals.py` has the numbers. Sources: Efron and
Stein (1981) for the jackknife's variance, which is too large rather than too small; Satterthwaite (1946) for degrees of
freedom; Berger (1982) for `extreme`; Clopper and Pearson (1934); Griffing (1956) and Graybill and Wang (1980) for
`equidistant`.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, chi2, t

from lib.metrics import intervals
from lib.metrics.checks import valid_fraction, valid_labels
from lib.metrics.intervals import bootstrap, mean_over

#: Fewer members have no interval: with three, two degrees of freedom are left, and none for pairs.
LEAST_MEMBERS = 4

#: A standard error below this share of the value is rounding (a float32 has seven digits): nothing varied.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate(intervals.Estimate):
    """A statistic with its interval, how it was made, and what `power` and `p_above` need.

    Attributes:
        method: "jackknife", "bootstrap", "intersection-union", "Clopper-Pearson", "random effects", or "" for a count.
        df: degrees of freedom of Student's t, infinite where the interval is not made with it.
        level: of the interval.
        members, images: how many there were, where they vary.
        from_images: the images' share of the variance, 0 to 1.
        log: whether the interval is symmetric on the log scale.
    """

    method: str = ""
    df: float = math.inf
    level: float = 0.95
    members: int | None = None
    images: int | None = None
    from_images: float = 0.0
    log: bool = False

    @property
    def half_width(self) -> float:
        """Half of the distance between the ends, nan where there is no interval."""
        return (self.high - self.low) / 2


def interval(
    function: Callable[..., float],
    *,
    members: int | None = None,
    images: int | None = None,
    log: bool = False,
    level: float = 0.95,
    resamples: int = 400,
    seed: int = 0,
) -> Estimate:
    """A statistic with its interval over `members` networks, `images` images, or both; with neither it is a count.

    `function(members=..., images=...)`, with those of the two that were given, is θ. With members, θ ± t √(v_M + v_I):
    v_M = (M-1)/M Σ (θ₋ᵢ - mean θ₋ᵢ)² over the M deletions of one member, v_I the variance over `resamples` of the
    images with all members kept, and (v_M + v_I)² (M-1) / v_M² degrees of freedom. What both bring about together
    counts twice, on the safe side. Images alone have the percentile bootstrap of `intervals.bootstrap`.

    The ends are nan below `LEAST_MEMBERS` members, for one image, where the statistic is undefined (nan, infinite) or
    members or images do not change it. With `log`, for ratios and others that are positive, all is done on the
    logarithm, and value and ends are those of the statistic itself.
    """
    if members is None:
        return _over_images(function, images, log, level, seed)
    scale = _logarithm(function) if log else function
    value, variance, from_images = _variance(scale, members, images, resamples, seed)
    df = (members - 1) / np.square(1 - from_images)
    half = t.ppf((1 + level) / 2, df) * np.sqrt(variance)
    ends = [float(np.exp(end) if log else end) for end in (value, value - half, value + half)]
    facts = {"df": float(df), "level": level, "members": members, "images": images, "log": log}
    drawn = 0 if images is None else resamples
    return Estimate(*ends, drawn, _unit(members, images), "jackknife", from_images=float(from_images), **facts)


def extreme(
    function: Callable[..., ArrayLike],
    which: Literal["smallest", "largest"],
    *,
    members: int | None = None,
    images: int | None = None,
    level: float = 0.95,
    resamples: int = 400,
    seed: int = 0,
) -> Estimate:
    """The smallest (or largest) of k true numbers, such as margins by severity; `function` as in `interval`, to `(k,)`.

    Intersection-union: the smallest lies above a threshold when every one's lower bound does, so `low` is the smallest
    lower bound; it lies below when any one's upper bound does, at a level divided by k, so `high` is the smallest of
    those. Mirrored for the largest. The extreme is never taken inside a resample, where noise makes it more extreme.
    There is no interval as soon as one of the numbers has none.
    """
    sign = -1 if which == "largest" else 1
    values, variance, from_images = _variance(
        lambda **chosen: sign * np.asarray(function(**chosen)), members, images, resamples, seed
    )
    df = (math.inf if members is None else members - 1) / np.square(1 - from_images)
    error, tail = np.sqrt(variance), (1 - level) / 2
    lows = values - t.ppf(1 - tail, df) * error
    highs = values + t.ppf(1 - tail / values.size, df) * error
    value, low, high = (float(sign * numbers.min()) for numbers in (values, lows, highs))
    binding = int(np.argmin(lows))
    facts = {"df": float(df[binding]), "level": level, "members": members, "images": images}
    facts["from_images"] = float(from_images[binding])
    drawn = 0 if images is None else resamples
    ends = sorted([low, high]) if math.isfinite(low + high) else [math.nan, math.nan]
    return Estimate(value, *ends, drawn, _unit(members, images), "intersection-union", **facts)


def share(shares: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of one share a run, with the interval of Clopper and Pearson that has runs as units.

    `shares (M,)`: of each run, 0 to 1, such as the part of its samples that stay; nan for a run without samples, which
    is left out. Samples of one run resemble each other, so that they count as one. The sum of the shares stands for the
    number of successes: exact where each is 0 or 1, on the safe side between, where they vary less.
    """
    shares = np.asarray(shares, dtype=float)
    shares = valid_fraction("shares", shares[~np.isnan(shares)])
    count = len(shares)
    low = high = math.nan
    if count >= LEAST_MEMBERS:
        low, high = clopper_pearson(shares.sum(), count, level)
    value = float(shares.mean()) if count else math.nan
    return Estimate(value, float(low), float(high), 0, "members", "Clopper-Pearson", level=level, members=count)


def equidistant(labels: ArrayLike, level: float = 0.95) -> Estimate:
    """Coefficient of variation of the true disagreement of pairs: of more runs like these, on more images like these.

    `labels (M, n)`: top labels. Disagreement is μ + g_i + g_j + s_ij with random g and s, plus what few images add.
    Mean squares between members (M-1 degrees of freedom) and of the rest (M(M-3)/2) give the variance between pairs,
    (2 MS_g + (M-4) MS_s) / (M-2), with the bounds of Graybill and Wang; what images add to it is found from how pairs
    vary over images, and subtracted before. 0 or more, no unit; the low end is 0 where images explain it all.
    """
    labels = valid_labels("labels", labels, "M n")
    members, images = labels.shape
    nothing = Estimate(math.nan, math.nan, math.nan, 0, "members", "random effects", level=level, members=members)
    if members < LEAST_MEMBERS or images < 2:
        return nothing
    differ = (labels[:, None] != labels).astype(np.float64)  # (M, M, n)
    apart = differ.mean(axis=-1)
    mean = apart.sum() / (members * (members - 1))
    parts = _parts(apart)
    total = parts.sum()
    noise = _parts(differ - apart[..., None]).sum() / (images * (images - 1))
    if not total > 0:
        return nothing
    df, tail = np.array([members - 1, members * (members - 3) / 2]), (1 - level) / 2
    below = np.linalg.norm(parts * (1 - df / chi2.ppf(1 - tail, df)))
    above = np.linalg.norm(parts * (df / chi2.ppf(tail, df) - 1))
    ends = np.sqrt(np.maximum([total - noise, total - below - noise, total + above - noise], 0)) / mean
    if ends[2] == 0:  # less than images alone would bring about: they were not drawn as was thought
        ends[1:] = math.nan
    return Estimate(*map(float, ends), 0, "members", "random effects", level=level, members=members)


def equal_sizes(
    prepare: Callable[[np.ndarray], np.ndarray], members: int, score: Callable[..., ArrayLike] | None = None
) -> Callable[..., np.ndarray]:
    """What depends on the size of an ensemble, as a function for `interval`: always of one fewer than all members.

    Of all members it is the mean over the ensembles of all but one; with one member deleted it is that of the rest. So
    the value and every deletion are of one size, and the true number is that of ensembles of `members - 1`.

    Args:
        prepare: of different members, as ascending indices, computed once for each ensemble: something by example,
            `(..., n)`, or with `score` anything.
        members: how many there are.
        score: `score(prepared, images)`, of an ensemble on some images; the mean over images when left out.
    """

    @cache
    def ensembles(chosen: tuple[int, ...]) -> list[np.ndarray]:
        if len(chosen) < members:
            return [prepare(np.array(chosen))]
        return [one for i in range(members) for one in ensembles(chosen[:i] + chosen[i + 1 :])]

    @cache
    def by_example(chosen: tuple[int, ...]) -> np.ndarray:
        return np.mean(ensembles(chosen), axis=0)

    def function(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        chosen = tuple(members.tolist())
        if score is None:
            return mean_over(by_example(chosen), images)
        return np.mean([score(ensemble, images) for ensemble in ensembles(chosen)], axis=0)

    return function


# Parts of the above


def _unit(members: int | None, images: int | None) -> str:
    return " and ".join(name for name, size in (("members", members), ("images", images)) if size is not None)


def _logarithm(function: Callable[..., float]) -> Callable[..., float]:
    return lambda **chosen: np.log(function(**chosen))


def _over_images(function: Callable[..., float], images: int | None, log: bool, level: float, seed: int) -> Estimate:
    """The bootstrap over images alone, or a count; its ends are the same on any scale."""
    made = bootstrap(function, images=images, level=level, seed=seed)
    if images is None:
        return Estimate(**vars(made))
    facts = vars(made) | ({} if made.low < made.high else {"low": math.nan, "high": math.nan})
    return Estimate(**facts, method="bootstrap", level=level, images=images, from_images=1.0, log=log)


def _variance(
    function: Callable[..., ArrayLike], members: int | None, images: int | None, resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic, its variance, nan where there can be none, and the images' share of it, each as `function` gives."""
    sizes = {name: size for name, size in (("members", members), ("images", images)) if size is not None}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, received {size}")
    everything = {name: np.arange(size) for name, size in sizes.items()}

    def values(name: str, choices: list[np.ndarray]) -> np.ndarray:
        return np.array([function(**everything | {name: chosen}) for chosen in choices], dtype=float)

    with warnings.catch_warnings():
        # numpy warns of an empty mean, of log(0) and of nan; the result says the same.
        warnings.simplefilter("ignore", RuntimeWarning)
        value = np.asarray(function(**everything), dtype=float)
        if sizes.get("members", LEAST_MEMBERS) < LEAST_MEMBERS or images == 1 or not np.isfinite(value).all():
            return value, np.full(value.shape, np.nan), np.full(value.shape, np.nan)
        parts = {"members": np.zeros(value.shape), "images": np.zeros(value.shape)}
        if members is not None:
            deletions = [np.delete(everything["members"], i) for i in range(members)]
            parts["members"] = (members - 1) * values("members", deletions).var(axis=0)
        if images is not None:
            rng = np.random.default_rng(seed)
            drawn = [rng.integers(images, size=images) for _ in range(resamples)]
            parts["images"] = values("images", drawn).var(axis=0, ddof=1)
        variance = sum(parts.values())
        for name in sizes:
            varies = np.sqrt(parts[name]) > np.maximum(ROUNDING * np.abs(value), ROUNDING**2)
            variance = np.where(varies, variance, np.nan)
        return value, variance, parts["images"] / variance


def clopper_pearson(successes: ArrayLike, count: ArrayLike, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval; the quantiles of beta are nan where all or none succeeded."""
    tail, failures = (1 - level) / 2, np.subtract(count, successes)
    low = np.nan_to_num(beta.ppf(tail, successes, failures + 1), nan=0)
    return low, np.nan_to_num(beta.ppf(1 - tail, np.add(successes, 1), failures), nan=1)


def _parts(apart: np.ndarray) -> np.ndarray:
    """What mean squares between members and of the rest add to the variance between pairs.

    `apart (M, M, ...)`, symmetric with zeros on the diagonal, gives `(2, ...)`, summed over further axes: `(2,)`.
    Formulas of a half diallel without selfs (Griffing's method 4).
    """
    members = len(apart)
    of_members, everything = apart.sum(axis=0), apart.sum(axis=(0, 1)) / 2
    squares = np.square(of_members).sum(axis=0)
    between = (squares - 4 * everything**2 / members) / (members - 2)
    rest = np.square(apart).sum(axis=(0, 1)) / 2 - squares / (members - 2)
    rest = rest + 2 * everything**2 / ((members - 1) * (members - 2))
    return np.array(
        [
            2 * between.sum() / (members - 1),
            (members - 4) * rest.sum() / (members * (members - 3) / 2),
        ]
    ) / (members - 2)
