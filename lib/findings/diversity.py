"""Figures 6 and S6: at equal accuracy, independent solutions are more diverse than samples of one run.

All networks are compared with one base, the first run. All labels are top labels: `independent (M - 1, n)` of the other
runs, `samples (S, n)` around the base, `base (n,)`, and `targets (n,)` the true ones. Base and samples are not
resampled.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, Statistic, claim
from lib.metrics import diversity_at_accuracy, diversity_rmse, flip_family_diversity
from lib.metrics.comparison import Comparison, Points
from lib.subspaces.methods import METHOD_NAMES, METHODS

FINDING = Finding("04_diversity", networks="sampled_architectures")

#: How many standard errors a point may lie outside the limits and still count as between them: what the claim says.
TOLERANCE = 2.0


def mean_gap(independent: Points, samples: Points) -> float:
    """How much more diverse independent solutions are than samples of the same accuracy, on average.

    Solutions whose accuracy the samples do not reach are left out; nan where they reach none.
    """
    matched = diversity_at_accuracy(samples.accuracies, samples.diversities, independent.accuracies)
    return _mean(independent.diversities - matched)


@claim(
    "diversity/{method}",
    "at equal accuracy, independent solutions are more diverse than subspace samples ({method})",
    figure="5, 6",
    criterion=Criterion(">", 0),
    methods=METHODS,
)
def more_diverse(
    independent: np.ndarray, samples: np.ndarray, base: np.ndarray, targets: np.ndarray, num_classes: int
) -> Statistic:
    """Normalised diversity of independent solutions minus that of the method's samples at the same accuracy (isotonic
    fit, no extrapolation).
    """
    others = Comparison(independent, base, targets, num_classes)
    around = Comparison(samples, base, targets, num_classes)

    def gap(members: np.ndarray, images: np.ndarray) -> float:
        return mean_gap(others.points(images).chosen(members), around.points(images))

    return Statistic(gap, members=len(independent), images=len(targets))


def share_between_limits(points: Points, standard_errors: np.ndarray) -> float:
    """Share of points between both limits, or outside by at most `TOLERANCE` of their `standard_errors (N,)`.

    0 to 1. Points without errors are left out; nan when there are no others, or no lower limit.
    """
    slack = TOLERANCE * standard_errors
    lower, upper = points.limits()
    outside = np.maximum(lower - slack - points.diversities, points.diversities - upper - slack)
    return float((outside <= 0)[np.isfinite(outside)].mean())


@claim(
    "diversity/limits",
    "every point of the diversity-accuracy plane lies between the two analytic limits",
    figure="5, 6",
    criterion=Criterion(">=", 0.95),
)
def limits(labels: np.ndarray, base: np.ndarray, targets: np.ndarray, num_classes: int) -> Statistic:
    """Share of points of all methods between the limits, tolerance 2 standard errors of the point.

    `labels (N, n)`: of samples and independent solutions together.
    """
    every = Comparison(labels, base, targets, num_classes)
    errors = every.standard_errors()
    return Statistic(lambda images: share_between_limits(every.points(images), errors), images=len(targets))


def mean_below_uncorrelated(points: Points) -> float:
    """Mean distance of points below the uncorrelated limit, in normalised diversity; nan where none has errors."""
    return _mean(points.limits()[1] - points.diversities)


@claim(
    "diversity/below-uncorrelated",
    "even independent solutions stay below the uncorrelated limit",
    figure="6, App. D",
    criterion=Criterion(">", 0),
)
def below_uncorrelated(independent: np.ndarray, base: np.ndarray, targets: np.ndarray, num_classes: int) -> Statistic:
    """Uncorrelated limit minus normalised diversity of independent solutions."""
    others = Comparison(independent, base, targets, num_classes)

    def distance(members: np.ndarray, images: np.ndarray) -> float:
        return mean_below_uncorrelated(others.points(images).chosen(members))

    return Statistic(distance, members=len(independent), images=len(targets))


def distances_from_curves(points: Points, exponent: float) -> list[float]:
    """RMSE of points from the flip family of that exponent, from the lower limit and from the upper one.

    nan for the first two without a reference better than chance, and for the first where `exponent` is.
    """
    family = flip_family_diversity(points.accuracies, exponent, points.reference_accuracy, points.num_classes)
    return [diversity_rmse(points.accuracies, points.disagreements, curve) for curve in (family, *points.limits())]


def family_error(points: Points, exponent: float) -> float:
    """RMSE of the points from the flip family of that exponent minus the smaller RMSE from the two limits.

    Below 0 the family describes the points better than either limit; nan where there is no family or no lower limit.
    """
    family, lower, upper = distances_from_curves(points, exponent)
    return family - min(lower, upper)


def family_fit(
    samples: np.ndarray, base: np.ndarray, targets: np.ndarray, num_classes: int
) -> Callable[[np.ndarray], tuple[float, float]]:
    """A function of images (indices, which may repeat): the exponent that fits best on them, and its `family_error`.

    `samples` are those of all methods together. What was fitted once is remembered, as a fit takes milliseconds, and
    two claims need the same ones.
    """
    around = Comparison(samples, base, targets, num_classes)

    @cache
    def fit(images: bytes) -> tuple[float, float]:
        points = around.points(np.frombuffer(images, dtype=np.int64))
        exponent = points.exponent()
        return exponent, family_error(points, exponent)

    return lambda images: fit(images.tobytes())


@claim(
    "limits/family",
    "the one-parameter flip family describes subspace samples better than either limit",
    figure="S6",
    criterion=Criterion("<", 0),
)
def family(fit: Callable[[np.ndarray], tuple[float, float]], targets: np.ndarray) -> Statistic:
    """RMSE of the best member of the family minus the smaller RMSE of the two limits.

    `fit`: what `family_fit` gives.
    """
    return Statistic(lambda images: fit(images)[1], images=len(targets))


@claim(
    "limits/exponent",
    "wrong labels flip more readily than right ones: the family's exponent lies between 0 and 1",
    figure="S6",
    criterion=Criterion("<", 1),
    paper_value="0.22 for ResNet-20 on CIFAR-100",
)
def exponent(fit: Callable[[np.ndarray], tuple[float, float]], targets: np.ndarray) -> Statistic:
    """Exponent e of the best member of the family, above 0 by its definition.

    `fit`: what `family_fit` gives.
    """
    return Statistic(lambda images: fit(images)[0], images=len(targets))


def matched_table(
    points: Mapping[tuple[str, str], Points], scales: Mapping[tuple[str, str], np.ndarray]
) -> pd.DataFrame:
    """Independent solutions beside samples of each method at the same accuracies.

    By network and way, the `points` of independent solutions and of each method, and the `scales (S,)` of its samples.
    """
    rows = []
    for (network, method), own in scales.items():
        samples, independent = points[network, method], points[network, "independent"]
        matched = diversity_at_accuracy(samples.accuracies, samples.diversities, independent.accuracies)
        reached = np.isfinite(matched)
        rows.append(
            {
                "network": network,
                "method": METHOD_NAMES[method],
                "largest scale": f"{own.max():.3g}",
                "lowest accuracy": f"{samples.accuracies.min():.3f}",
                "diversity at equal accuracy": f"{matched[reached].mean():.2f}" if reached.any() else "–",
                "independent solutions": f"{independent.diversities.mean():.2f}",
                "solutions whose accuracy is reached": f"{reached.sum()} of {len(reached)}",
            }
        )
    return pd.DataFrame(rows)


def family_table(points: Mapping[str, Points]) -> pd.DataFrame:
    """The exponent that fits the samples of all methods best, by network, and how far its curve and the limits are."""
    rows = []
    for network, own in points.items():
        best = own.exponent()
        rows.append([network, f"{best:.2f}", *(f"{error:.3f}" for error in distances_from_curves(own, best))])
    columns = ["network", "best e", "RMSE of the family", "RMSE of the lower limit", "RMSE of the upper limit"]
    return pd.DataFrame(rows, columns=columns)


def _mean(values: np.ndarray) -> float:
    """Mean of the values that are finite."""
    return float(values[np.isfinite(values)].mean())
