"""What an interval decides: one-sided p-values, their correction for several methods, and how much data is needed.

Everything is derived from an `Estimate`, so that it never contradicts the verdict on it.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, t

from lib.metrics.intervals import LEAST_MEMBERS, Estimate, clopper_pearson

#: The largest multiple of the runs and images at hand that `power` considers.
MOST_TIMES = 100


def p_above(estimate: Estimate, threshold: float) -> float:
    """One-sided p-value of "the true value is above `threshold`"; nan without an interval.

    It is at most (1 - level) / 2 if and only if `low` is at least the threshold, as the standard error is taken from
    the end towards the threshold. For an asymmetric interval the p-value is accurate only near its ends.
    """
    if _of_shares(estimate):
        successes = estimate.value * estimate.members
        return float(beta.cdf(threshold, successes, estimate.members - successes + 1)) if successes > 0 else 1.0
    gap, reach = _gap_and_reach(estimate, threshold)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(t.sf(gap / reach * t.ppf((1 + estimate.level) / 2, _df(estimate)), _df(estimate)))


def p_below(estimate: Estimate, threshold: float) -> float:
    """One-sided p-value of "the true value is below `threshold`", like `p_above`."""
    if _of_shares(estimate):
        successes, runs = estimate.value * estimate.members, estimate.members
        return float(beta.sf(threshold, successes + 1, runs - successes)) if successes < runs else 1.0
    return 1 - p_above(estimate, threshold)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm-adjusted p-values of the methods of one sentence, `(k,)`; nan stays nan and does not count."""
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values)[: np.isfinite(p_values).sum()]
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def expected_false(intervals: int, level: float = 0.95) -> float:
    """Upper bound on the expected number of false verdicts among `intervals` claims: each can err on one side only."""
    return intervals * (1 - level) / 2


def power(estimate: Estimate, threshold: float) -> str:
    """Text with the interval's half-width, and how many runs or images would decide if the value stayed the same."""
    if not math.isfinite(estimate.half_width):
        few = estimate.members is not None and estimate.members < LEAST_MEMBERS
        return f"no interval: at least {LEAST_MEMBERS} runs are needed" if few else "no interval"
    words = f"half-width {estimate.half_width:.2g}"
    if not estimate.low <= threshold <= estimate.high:
        return words
    for names in (("members",), ("images",), ("members", "images")):
        sizes = {name: getattr(estimate, name) for name in names}
        if None in sizes.values():
            continue
        times = np.geomspace(1, MOST_TIMES, 4000)
        enough = times[_decides(estimate, threshold, **{name: times for name in names})]
        if len(enough):
            needed = {name: math.ceil(size * enough[0]) for name, size in sizes.items()}
            told = [f"{needed['members']:,} runs"] if "members" in needed else []
            told += [f"{_rounded(needed['images']):,} images"] if "images" in needed else []
            return f"{words}; about {' and '.join(told)} would decide"
    return f"{words}; {MOST_TIMES} times as many would not decide"


def _of_shares(estimate: Estimate) -> bool:
    return estimate.method == "Clopper-Pearson" and math.isfinite(estimate.low)


def _gap_and_reach(estimate: Estimate, threshold: float) -> tuple[float, float]:
    """Distance from the threshold to the value, and from the value to the interval's end towards the threshold."""
    ends = np.array([estimate.value, estimate.low, estimate.high, threshold])
    with np.errstate(divide="ignore", invalid="ignore"):
        value, low, high, threshold = np.log(ends) if estimate.log else ends
    # A bootstrap interval need not contain the value; the distance is then 0.
    return value - threshold, np.maximum(value - low if value > threshold else high - value, 0)


def _decides(estimate: Estimate, threshold: float, members: ArrayLike = 1.0, images: ArrayLike = 1.0) -> np.ndarray:
    """Whether `members` and `images` times as many would decide, with the same value and variances."""
    gap, reach = _gap_and_reach(estimate, threshold)
    if estimate.method == "Clopper-Pearson":
        low, high = clopper_pearson(
            estimate.value * estimate.members * members, estimate.members * members, estimate.level
        )
        return np.asarray((low > threshold) | (high < threshold))
    of_members, of_images = (1 - estimate.from_images) / members, estimate.from_images / np.asarray(images)
    variance = of_members + of_images
    df = _df(estimate)
    if math.isfinite(df):
        df = (estimate.members * np.asarray(members) - 1) * np.square(variance / of_members)
    quantile = (1 + estimate.level) / 2
    return reach * np.sqrt(variance) * t.ppf(quantile, df) / t.ppf(quantile, _df(estimate)) < abs(gap)


def _df(estimate: Estimate) -> float:
    return math.inf if estimate.df is None else estimate.df


def _rounded(count: int) -> int:
    """`count` rounded to two significant digits."""
    return int(float(f"{count:.2g}"))
