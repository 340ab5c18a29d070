"""Figure 8: what an ensemble gains, what samples of one run gain, and both together.

`probs (M, n, K)`: what every solution predicts; `targets (n,)`: the true labels; `within (M, n, K)`: the mean of a
method's samples around each solution.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, Statistic, claim
from lib.metrics.ensembles import METRICS, of_distinct, scores_by_example
from lib.subspaces.methods import METHODS, WITHIN_RUN

FINDING = Finding(
    "07_ensemble",
    settings={"reference": {"architectures": ["medium_cnn"]}},
    ranges={"max_subsets": (1, math.inf)},
)


@claim("ensemble/accuracy", "averaging independent solutions beats one", figure="8", criterion=Criterion(">", 0))
def accuracy(probs: np.ndarray, targets: np.ndarray) -> Statistic:
    """Accuracy of the full ensemble minus mean single accuracy."""
    return _gain(probs, targets, 0)


@claim(
    "ensemble/brier",
    "the average of independent solutions is better calibrated than one of them",
    figure="8",
    criterion=Criterion("<", 0),
)
def brier(probs: np.ndarray, targets: np.ndarray) -> Statistic:
    """Brier score of the full ensemble minus mean single Brier score."""
    return _gain(probs, targets, 1)


def _gain(probs: np.ndarray, targets: np.ndarray, score: int) -> Statistic:
    alone = scores_by_example(probs, targets)[score]  # (M, n)
    ensemble = _ensemble(probs, targets, score)

    def gain(members: np.ndarray, images: np.ndarray) -> float:
        return ensemble(members)[images].mean() - alone[np.ix_(members, images)].mean()

    return Statistic(gain, members=len(probs), images=len(targets))


def _ensemble(probs: np.ndarray, targets: np.ndarray, score: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of members: a score of their ensemble by example, `(n,)`; it is a place in `scores_by_example`."""
    return of_distinct(lambda members: scores_by_example(probs[members].mean(axis=0), targets)[score])


@claim(
    "ensemble/{method}/less",
    "a subspace alone gains less than the ensemble ({method})",
    figure="8",
    criterion=Criterion("<", 0),
    methods=WITHIN_RUN,
)
def less(probs: np.ndarray, within: np.ndarray | None, targets: np.ndarray) -> Statistic:
    """Accuracy gain of the method in one mode minus gain of the full ensemble.

    `within` is None where the method has too few samples. Both gains are over the same single networks, which drop out
    of the difference.
    """
    if within is None:
        return _undefined(len(probs), len(targets))
    right = scores_by_example(within, targets)[0]  # (M, n)
    ensemble = _ensemble(probs, targets, 0)

    def difference(members: np.ndarray, images: np.ndarray) -> float:
        return right[np.ix_(members, images)].mean() - ensemble(members)[images].mean()

    return Statistic(difference, members=len(probs), images=len(targets))


@claim(
    "ensemble/{method}/complements",
    "the gains of a subspace and of the ensemble add up ({method})",
    figure="8",
    criterion=Criterion("<", 0),
    methods=WITHIN_RUN,
)
def complements(probs: np.ndarray, within: np.ndarray | None, targets: np.ndarray) -> Statistic:
    """Brier score of the ensemble of the method minus that of the ensemble of plain solutions, same members.

    `within` as in `less`. Members do not vary: subspaces gain more where runs are fewer, so that the smaller ensembles
    of resamples would lean towards the claim.
    """
    if within is None:
        return Statistic(lambda images: math.nan, images=len(targets))
    _, plain = scores_by_example(probs.mean(axis=0), targets)  # (n,)
    _, own = scores_by_example(within.mean(axis=0), targets)
    gain = own - plain
    return Statistic(lambda images: gain[images].mean(), images=len(targets))


@claim(
    "ensemble/random-best",
    "among subspaces in one mode, random sampling gains the most Brier score",
    figure="8, 10",
    criterion=Criterion("<", 0),
)
def random_best(probs: np.ndarray, within: Mapping[str, np.ndarray], targets: np.ndarray) -> Statistic:
    """Brier score of random minus that of the best other subspace.

    `within` for each method that has enough samples. Which subspace is the best other one is decided anew in every
    resample. Averaging weights samples no subspace and does not take part.
    """
    scores = {method: scores_by_example(own, targets)[1] for method, own in within.items() if method in METHODS}
    random, others = scores.pop("random", None), list(scores.values())  # (M, n) each
    if random is None or not others:
        return _undefined(len(probs), len(targets))
    others = np.stack(others)

    def margin(members: np.ndarray, images: np.ndarray) -> float:
        best = others[:, members[:, None], images].mean(axis=(1, 2)).min()
        return random[np.ix_(members, images)].mean() - best

    return Statistic(margin, members=len(probs), images=len(targets))


def _undefined(members: int, images: int) -> Statistic:
    """A statistic without a value, where a method has too few samples."""
    return Statistic(lambda members, images: math.nan, members=members, images=images)


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
