"""Figure 8: the gains of an ensemble, of samples around one run, and of both together.

`probs (M, n, K)`: predictions of all solutions; `targets (n,)`: the true labels; `within (M, n, K)`: mean predictions
of a method's samples around each solution.
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
        "reference": {"architectures": ["medium_cnn"]},
    },
    ranges={"max_subsets": (1, math.inf)},
)


#: Resamples of the images for the calibration error; few, as each one bins the predictions of every ensemble.
CALIBRATION_RESAMPLES = 200


@claim("ensemble/accuracy", "averaging independent solutions beats one", figure="8", criterion=Criterion(">", 0))
def accuracy(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Accuracy of the full ensemble minus the mean accuracy of single networks.

    In all claims with an interval, the "full" ensemble has one run fewer than there are, so that its size is the same
    when the jackknife leaves out a run.
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
    """Brier score of the ensemble of all runs minus the mean Brier score of single networks.

    By convexity it is never positive.
    """
    _, together = scores_by_example(probs.mean(axis=0), targets)  # (n,)
    _, alone = scores_by_example(probs, targets)  # (M, n)
    return count(together.mean() - alone.mean())


# Our addition: the sign of the gain is true by construction.
@claim(
    "ensemble/brier-gain",
    "the average of independent solutions improves the Brier score by more than a twentieth (our addition)",
    figure="8",
    criterion=Criterion(">", 0.05),
)
def brier_gain(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Reduction of the Brier score by the full ensemble, as a share of the mean Brier score of single networks."""
    gain = _gain(probs, targets, 1)

    def share(members: np.ndarray, images: np.ndarray) -> float:
        difference, single = gain(members, images)
        return -difference / single

    return interval(share, members=len(probs), images=len(targets))


# Our addition: the Brier score does not measure calibration.
@claim(
    "ensemble/calibration",
    "the average of independent solutions is better calibrated than one of them (our addition)",
    figure="8",
    criterion=Criterion("<", 0),
)
def calibration(probs: np.ndarray, targets: np.ndarray) -> Estimate:
    """Calibration error of the full ensemble minus the mean error of single networks, with the same number of bins."""
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
    """The full ensemble's score minus the mean single score, and that mean; `score` indexes `scores_by_example`."""
    alone = scores_by_example(probs, targets)[score]  # (M, n)
    ensemble = _ensemble(probs, targets, score)

    def gain(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        single = mean_over(alone, images)[members].mean()
        return np.array([ensemble(members, images) - single, single])

    return gain


def _ensemble(probs: np.ndarray, targets: np.ndarray, score: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The full ensemble's score as a function of members and images; `score` indexes `scores_by_example`."""
    return equal_sizes(lambda members: scores_by_example(probs[members].mean(axis=0), targets)[score], len(probs))


@claim(
    "ensemble/{method}/less",
    "a subspace alone improves accuracy less than the ensemble, if at all ({method})",
    figure="8",
    criterion=Criterion("<", 0),
    methods=WITHIN_RUN,
)
def less(probs: np.ndarray, within: np.ndarray | None, targets: np.ndarray) -> Estimate:
    """Accuracy gain of the method in one mode minus the gain of the full ensemble.

    `within` is None if the method has too few samples. Both gains are relative to the same single networks, which
    cancel in the difference.
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
    """Brier score of the ensemble with the method minus the Brier score of the plain ensemble of the same members.

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
    """Brier score of random sampling minus the Brier score of the best other subspace.

    `within` by method, for each method with enough samples. Random sampling is best if it beats every other method.
    Weight averaging is left out, as it samples no subspace, and so is `random-pca`, made from the random samples.
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
    """Table of scores of one run (mean over runs) and of all runs together, one row per method and number of runs.

    `scores` has the result of `lib.metrics.ensembles.scores_by_size` by method, `names` the methods' display names.
    """
    rows = []
    for size in (1, max(next(iter(scores.values()))["size"])):
        for method, table in scores.items():
            means = table[table["size"] == size].mean()
            rows.append({"method": names[method], "runs": size} | {name: f"{means[name]:.4f}" for name in METRICS})
    return pd.DataFrame(rows)
