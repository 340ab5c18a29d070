"""Figure 8: what an ensemble gains, what samples of one run gain, and both together.

`probs (M, n, K)`: what every solution predicts; `targets (n,)`: the true labels; `within (M, n, K)`: the mean of a
method's samples around each solution.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pandas as pd

from lib.findings.claim import IDENTITY, Criterion, Finding, claim
from lib.metrics import expected_calibration_error
from lib.metrics.ensembles import METRICS, scores_by_example
from lib.metrics.intervals import UNDEFINED, Estimate, count, equal_sizes, extreme, interval, mean_over
from lib.subspaces.methods import METHODS, WITHIN_RUN

FINDING = Finding(
    "07_ensemble",
    settings={
        "paper": {"architectures": ["medium_cnn"]},
        "reference": {"architectures": ["medium_cnn", "small_cnn"]},
    },
    ranges={"max_subsets": (1, math.inf)},
)


#: Of the images, where each one sorts the predictions of every ensemble into bins.
CALIBRATION_RESAMPLES = 200


@claim("ensemble/accuracy", "averaging independent solutions beats one", figure="8", criterion=Criterion(">", 0))
def accuracy(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Accuracy of the full ensemble minus mean single accuracy.

    As everywhere here, the full ensemble is of one run fewer than there are: so it is of one size when a run is left
    out.
    """
    gain = _gain(probs, targets, 0)
    return interval(lambda members, images: gain(members, images)[0], members=len(probs), images=len(targets))


@claim(
    "ensemble/brier",
    "the average of independent solutions has a better Brier score than one of them",
    figure="8",
    criterion=Criterion("<", 0),
    kind=IDENTITY,
)
def brier(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Brier score of the full ensemble minus mean single Brier score.

    By convexity it is never above 0.
    """
    _, together = scores_by_example(probs.mean(axis=0), targets)  # (n,)
    _, alone = scores_by_example(probs, targets)  # (M, n)
    return count(together.mean() - alone.mean())


# Ours, added because the sign of the gain is true by construction.
@claim(
    "ensemble/brier-gain",
    "the average of independent solutions improves the Brier score by more than a twentieth (our addition)",
    figure="8",
    criterion=Criterion(">", 0.05),
)
def brier_gain(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Brier score that the full ensemble gains over the mean single one, as a share of that one's."""
    gain = _gain(probs, targets, 1)

    def share(members: np.ndarray, images: np.ndarray) -> float:
        difference, single = gain(members, images)
        return -difference / single

    return interval(share, members=len(probs), images=len(targets))


# Ours, added because a Brier score is not calibration.
@claim(
    "ensemble/calibration",
    "the average of independent solutions is better calibrated than one of them (our addition)",
    figure="8",
    criterion=Criterion("<", 0),
)
def calibration(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Calibration error of the full ensemble minus mean single calibration error, of equally many bins."""
    together = equal_sizes(
        lambda members: probs[members].mean(axis=0),
        len(probs),
        lambda own, images: expected_calibration_error(own[images], targets[images]),
    )

    @cache
    def alone(images: bytes) -> np.ndarray:
        drawn = np.frombuffer(images, dtype=np.int64)
        return expected_calibration_error(probs[:, drawn], targets[drawn])  # (M,)

    def difference(members: np.ndarray, images: np.ndarray) -> float:
        return together(members, images) - alone(images.tobytes())[members].mean()

    return interval(difference, members=len(probs), images=len(targets), resamples=CALIBRATION_RESAMPLES)


def _gain(probs: np.ndarray, targets: np.ndarray, score: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A score of the full ensemble less the mean single one, and the latter; it is a place in `scores_by_example`."""
    alone = scores_by_example(probs, targets)[score]  # (M, n)
    ensemble = _ensemble(probs, targets, score)

    def gain(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        single = mean_over(alone, images)[members].mean()
        return np.array([ensemble(members, images) - single, single])

    return gain


def _ensemble(probs: np.ndarray, targets: np.ndarray, score: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A score of the full ensemble of some members on some images; it is a place in `scores_by_example`."""
    return equal_sizes(lambda members: scores_by_example(probs[members].mean(axis=0), targets)[score], len(probs))


@claim(
    "ensemble/{method}/less",
    "a subspace alone improves accuracy less than the ensemble, if at all ({method})",
    figure="8",
    criterion=Criterion("<", 0),
    methods=WITHIN_RUN,
)
def less(probs: np.ndarray, within: np.ndarray | None, targets: np.ndarray) -> Estimate:
    """Accuracy gain of the method in one mode minus gain of the full ensemble.

    `within` is None where the method has too few samples. Both gains are over the same single networks, which drop out
    of the difference.
    """
    if within is None:
        return UNDEFINED
    right = scores_by_example(within, targets)[0]  # (M, n)
    ensemble = _ensemble(probs, targets, 0)

    def difference(members: np.ndarray, images: np.ndarray) -> float:
        return mean_over(right, images)[members].mean() - ensemble(members, images)

    return interval(difference, members=len(probs), images=len(targets))


@claim(
    "ensemble/{method}/complements",
    "the gains of a subspace and of the ensemble add up ({method})",
    figure="8",
    criterion=Criterion("<", 0),
    methods=WITHIN_RUN,
)
def complements(probs: np.ndarray, within: np.ndarray | None, targets: np.ndarray) -> Estimate:
    """Brier score of the ensemble of the method minus that of the ensemble of plain solutions, same members.

    `within` as in `less`.
    """
    if within is None:
        return UNDEFINED
    plain, own = _ensemble(probs, targets, 1), _ensemble(within, targets, 1)
    return interval(
        lambda members, images: own(members, images) - plain(members, images), members=len(probs), images=len(targets)
    )


@claim(
    "ensemble/random-best",
    "among subspaces in one mode, random sampling gains the most Brier score",
    figure="8, 10",
    criterion=Criterion("<", 0),
)
def random_best(within: Mapping[str, np.ndarray], targets: np.ndarray) -> Estimate:
    """Brier score of random minus that of the best other subspace.

    `within` for each method that has enough samples. Random sampling is the best where it beats every other one.
    Averaging weights samples no subspace and does not take part, nor do directions of the random samples themselves.
    """
    others = [method for method in within if method in METHODS and method not in ("random", "random-pca")]
    if "random" not in within or not others:
        return UNDEFINED
    scores = np.stack([scores_by_example(within[method], targets)[1] for method in ("random", *others)])

    def margins(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        random, *rest = mean_over(scores, images)[:, members].mean(axis=1)
        return random - np.array(rest)

    return extreme(margins, "largest", members=scores.shape[1], images=len(targets))


def one_and_all(scores: Mapping[str, pd.DataFrame], names: Mapping[str, str]) -> pd.DataFrame:
    """The table of one run alone, a mean over runs, and of all runs together, one row a method; `names` in print.

    `scores` of each method are what `lib.metrics.ensembles.scores_by_size` gives.
    """
    rows = []
    for size in (1, max(next(iter(scores.values()))["size"])):
        for method, table in scores.items():
            means = table[table["size"] == size].mean()
            rows.append({"method": names[method], "runs": size} | {name: f"{means[name]:.4f}" for name in METRICS})
    return pd.DataFrame(rows)
