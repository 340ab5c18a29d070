"""Figures 6 and S6: at equal accuracy, independent solutions are more diverse than samples of one run.

All labels are top labels: `solutions (M, n)` of the runs' final solutions and `samples (M, S, n)` around each of them;
`targets (n,)` are the true labels. Networks are compared with a base, and each run is the base in turn.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, PaperValue, claim
from lib.metrics import diversity_at_accuracy, diversity_rmse, flip_family_diversity
from lib.metrics.comparison import Comparison, Points
from lib.metrics.intervals import UNDEFINED, Estimate, interval, share
from lib.subspaces.methods import METHOD_NAMES, METHODS

FINDING = Finding("04_diversity", networks="sampled_architectures")

#: How many standard errors a point may lie outside the limits and still count as between them, as in the claim.
TOLERANCE = 2.0

#: Resamples of the images for the family's claims; few, as each one fits the family to the samples around every run.
FITTED_RESAMPLES = 100


def _compared(solutions: np.ndarray, others: np.ndarray, targets: np.ndarray, num_classes: int) -> list[Comparison]:
    """Compare each row of `others (M, S, n)` with its own base in `solutions (M, n)`."""
    return [Comparison(own, base, targets, num_classes) for own, base in zip(others, solutions, strict=True)]


def _beside_each_other(solutions: np.ndarray, targets: np.ndarray, num_classes: int) -> list[Comparison]:
    """Compare all solutions with each solution as the base."""
    every = np.broadcast_to(solutions, (len(solutions), *solutions.shape))
    return _compared(solutions, every, targets, num_classes)


def _every_pair(members: np.ndarray, count: int) -> np.ndarray:
    """Mask of all pairs of different `members`, a base and another solution: bool `(count, count)`."""
    chosen = np.isin(np.arange(count), members)
    return chosen[:, None] & chosen & ~np.eye(count, dtype=bool)


@claim(
    "diversity/{method}",
    "at equal accuracy, independent solutions are more diverse than subspace samples ({method})",
    figure="5, 6",
    criterion=Criterion(">", 0),
    methods=METHODS,
)
def more_diverse(solutions: np.ndarray, samples: np.ndarray, targets: np.ndarray, num_classes: int) -> Estimate:
    """Normalised diversity of independent solutions minus that of the method's samples at the same accuracy (isotonic
    fit, no extrapolation), with each run as the base in turn.

    Each solution of a pair is compared with the samples around the other one, if these reach its accuracy; usually they
    do so for the less accurate solution. Undefined if a pair has neither comparison.
    """
    count = len(solutions)
    others = _beside_each_other(solutions, targets, num_classes)
    around = _compared(solutions, samples, targets, num_classes)
    reached = np.array(
        [gaps(one.points(), own.points(), within=True) for one, own in zip(others, around, strict=True)]
    )  # (bases, solutions)
    reached = np.isfinite(reached) & _every_pair(np.arange(count), count)
    if not (reached | reached.T | np.eye(count, dtype=bool)).all():
        return UNDEFINED
    share_of_pair = reached / np.maximum(reached + reached.T.astype(int), 1)

    @cache
    def matrix(images: bytes) -> np.ndarray:
        drawn = np.frombuffer(images, dtype=np.int64)
        points = zip(others, around, strict=True)
        return np.array([gaps(one.points(drawn), own.points(drawn)) for one, own in points])

    def gap(members: np.ndarray, images: np.ndarray) -> float:
        weights = share_of_pair * _every_pair(members, count)
        return np.sum(np.where(weights > 0, matrix(images.tobytes()), 0) * weights) / weights.sum()

    return interval(gap, members=count, images=len(targets))


def gaps(independent: Points, samples: Points, within: bool = False) -> np.ndarray:
    """How much more diverse each of N independent solutions is than samples of the same accuracy: `(N,)`.

    Outside the samples' range of accuracies the nearest end is used, or the gap is nan if `within`.
    """
    return independent.diversities - matched(samples, independent.accuracies, within)


def matched(samples: Points, accuracies: np.ndarray, within: bool = True) -> np.ndarray:
    """Normalised diversity of samples at some `accuracies (N,)` by an isotonic fit; `within` as in `gaps`.

    If the base is more accurate than all samples, it is added to them as a sample of diversity 0.
    """
    found, diversities = samples.accuracies, samples.diversities
    if samples.reference_accuracy > found.max():
        found, diversities = np.append(found, samples.reference_accuracy), np.append(diversities, 0)
    wanted = accuracies if within else np.clip(accuracies, found.min(), found.max())
    return diversity_at_accuracy(found, diversities, wanted)


def share_between_limits(points: Points, standard_errors: np.ndarray) -> float:
    """Share of points between both limits, or outside by at most `TOLERANCE` of their `standard_errors (N,)`.

    From 0 to 1. Points of networks without errors are left out; nan if no points remain or there is no lower limit.
    """
    slack = TOLERANCE * standard_errors
    lower, upper = points.limits()
    outside = np.maximum(lower - slack - points.diversities, points.diversities - upper - slack)
    between = (outside <= 0)[np.isfinite(outside)]
    return float(between.mean()) if between.size else np.nan


@claim(
    "diversity/limits",
    "every point of the diversity-accuracy plane lies between the two analytic limits",
    figure="5, 6",
    criterion=Criterion(">=", 0.95),
)
def limits(solutions: np.ndarray, samples: np.ndarray, targets: np.ndarray, num_classes: int) -> Estimate:
    """Share of points of all methods between the limits, with a tolerance of 2 standard errors of the point.

    There is one share per run as the base; `samples` are the samples of all methods together.
    """
    count = len(solutions)
    others = np.stack([np.delete(solutions, base, axis=0) for base in range(count)])  # (M, M - 1, n)
    planes = _compared(solutions, np.concatenate([others, samples], axis=1), targets, num_classes)
    return share([share_between_limits(one.points(), one.standard_errors()) for one in planes])


@claim(
    "diversity/below-uncorrelated",
    "even independent solutions stay below the uncorrelated limit",
    figure="6, App. D",
    criterion=Criterion(">", 0),
)
def below_uncorrelated(solutions: np.ndarray, targets: np.ndarray, num_classes: int) -> Estimate:
    """Uncorrelated limit minus normalised diversity of independent solutions, mean over all pairs."""
    count = len(solutions)
    planes = _beside_each_other(solutions, targets, num_classes)

    def distance(members: np.ndarray, images: np.ndarray) -> float:
        points = [planes[base].points(images) for base in members]
        below = np.array([own.limits()[1] - own.diversities for own in points])
        return below[_every_pair(members, count)[members]].mean()

    return interval(distance, members=count, images=len(targets))


def distances_from_curves(points: Points, exponent: float) -> list[float]:
    """RMSE of points from the flip family with this exponent, from the lower limit and from the upper limit.

    The first two are nan unless the reference is better than chance; the first also if `exponent` is nan.
    """
    family = flip_family_diversity(points.accuracies, exponent, points.reference_accuracy, points.num_classes)
    return [diversity_rmse(points.accuracies, points.disagreements, curve) for curve in (family, *points.limits())]


def family_error(points: Points, exponent: float) -> float:
    """RMSE of the points from the flip family with this exponent minus the smaller RMSE from the two limits.

    Below 0 the family describes the points better than either limit; nan if there is no family or no lower limit.
    """
    family, lower, upper = distances_from_curves(points, exponent)
    return family - min(lower, upper)


def family_fit(
    solutions: np.ndarray, samples: np.ndarray, targets: np.ndarray, num_classes: int
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function of images that gives each run's best-fitting exponent and its `family_error`, `(M,)` each.

    The exponent is fitted to every other one of `samples`, which has the samples of all methods, and evaluated on the
    rest. Fits are cached: a fit takes milliseconds, and two claims need the same ones.
    """
    fitted = _compared(solutions, samples[:, ::2], targets, num_classes)
    held_out = _compared(solutions, samples[:, 1::2], targets, num_classes)

    @cache
    def fit(images: bytes) -> tuple[np.ndarray, np.ndarray]:
        drawn = np.frombuffer(images, dtype=np.int64)
        exponents = [own.points(drawn).exponent() for own in fitted]
        errors = [family_error(own.points(drawn), best) for own, best in zip(held_out, exponents, strict=True)]
        return np.array(exponents), np.array(errors)

    return lambda images: fit(images.tobytes())


@claim(
    "limits/family",
    "the one-parameter flip family describes subspace samples better than either limit",
    figure="S6",
    criterion=Criterion("<", 0),
)
def family(fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], solutions: np.ndarray) -> Estimate:
    """RMSE of the flip family fitted to half of the samples, minus the smaller RMSE of the two limits, both on the
    other half; mean over runs.

    `fit` is the result of `family_fit`.
    """
    count, images = solutions.shape
    return interval(
        lambda members, images: fit(images)[1][members].mean(),
        members=count,
        images=images,
        resamples=FITTED_RESAMPLES,
    )


@claim(
    "limits/exponent",
    "wrong labels flip more readily than right ones: the family's exponent lies between 0 and 1",
    figure="S6",
    criterion=Criterion("<", 1),
    paper_values=[PaperValue(0.22, 0.22, "figure S6", network="resnet20_v1", dataset="cifar100")],
)
def exponent(fit: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], solutions: np.ndarray) -> Estimate:
    """Exponent e of the flip family fitted to half of the samples, geometric mean over runs.

    It is positive by definition. `fit` is the result of `family_fit`.
    """
    count, images = solutions.shape
    return interval(
        lambda members, images: np.exp(np.log(fit(images)[0][members]).mean()),
        members=count,
        images=images,
        log=True,
        resamples=FITTED_RESAMPLES,
    )


def matched_table(
    points: Mapping[tuple[str, str], Points], scales: Mapping[tuple[str, str], np.ndarray]
) -> pd.DataFrame:
    """Table of the diversity of independent solutions and of each method's samples at the same accuracies.

    `points` of independent solutions and of each method, by network and method; `scales (S,)` of the samples, likewise.
    """
    rows = []
    for (network, method), own in scales.items():
        samples, independent = points[network, method], points[network, "independent"]
        beside = matched(samples, independent.accuracies)
        reached = np.isfinite(beside)
        rows.append(
            {
                "network": network,
                "method": METHOD_NAMES[method],
                "largest scale": f"{own.max():.3g}",
                "lowest accuracy": f"{samples.accuracies.min():.3f}",
                "diversity at equal accuracy": f"{beside[reached].mean():.2f}" if reached.any() else "–",
                "independent solutions": f"{independent.diversities.mean():.2f}",
                "solutions whose accuracy is reached": f"{reached.sum()} of {len(reached)}",
            }
        )
    return pd.DataFrame(rows)


def family_table(points: Mapping[str, Points]) -> pd.DataFrame:
    """Table by network of the exponent that best fits all methods' samples, and the RMSE of its curve and limits."""
    rows = []
    for network, own in points.items():
        best = own.exponent()
        rows.append([network, f"{best:.2f}", *(f"{error:.3f}" for error in distances_from_curves(own, best))])
    columns = ["network", "best e", "RMSE of the family", "RMSE of the lower limit", "RMSE of the upper limit"]
    return pd.DataFrame(rows, columns=columns)
