"""Figure 2: along a run, weights and functions settle; runs end in different regions of function space.

For all T checkpoints of M runs: `weights (M, T, P)`, `probs (M, T, n, K)` and top `labels (M, T, n)`.
"""

import numpy as np

from lib.findings.claim import DESCRIPTION, Criterion, Finding, claim
from lib.metrics import cosine_similarity, euclidean_distances
from lib.metrics.intervals import UNDEFINED, Estimate, count, interval, mean_over, pairs, share

FINDING = Finding("01_trajectories")


def late(checkpoints: int) -> slice:
    """The checkpoints of the second half of the epochs; the first of all `checkpoints` is before training."""
    return slice((checkpoints - 1) // 2 + 1, checkpoints)


@claim(
    "trajectories/weights-align",
    "late checkpoints of one run point in nearly the same direction",
    figure="2 left",
    criterion=Criterion(">=", 0.8),
    kind=DESCRIPTION,
)
def weights_align(weights: np.ndarray) -> Estimate:
    """Smallest cosine similarity of a late checkpoint to the final one, minimum over runs."""
    return count(_smallest_cosines(weights).min())


# Our addition: the smallest value over these runs says nothing about other runs.
@claim(
    "trajectories/weights-align-mean",
    "late checkpoints of one run point in nearly the same direction, on average over runs (our addition)",
    figure="2 left",
    criterion=Criterion(">=", 0.8),
)
def weights_align_mean(weights: np.ndarray) -> Estimate:
    """Mean over runs of the smallest cosine similarity of a late checkpoint to the final one."""
    smallest = _smallest_cosines(weights)
    return interval(lambda members: smallest[members].mean(), members=len(weights))


def _smallest_cosines(weights: np.ndarray) -> np.ndarray:
    """Smallest cosine of each run's late checkpoints with its final one: `(M,)`, nan if there are no others."""
    runs = [run[late(len(run))] for run in weights]
    return np.array([cosine_similarity(run)[-1, :-1].min() if len(run) > 1 else np.nan for run in runs])


@claim(
    "trajectories/functions-stay",
    "along a run predictions change less than between runs",
    figure="2 middle",
    criterion=Criterion("<", 1),
)
def functions_stay(labels: np.ndarray) -> Estimate:
    """Mean disagreement between late checkpoints of a run, divided by the mean disagreement between runs.

    Runs are compared at their final checkpoints. The interval is computed on the log scale.
    """
    runs, checkpoints, images = labels.shape
    own = labels[:, late(checkpoints)]
    first, second = np.triu_indices(own.shape[1], k=1)
    if not first.size:
        return UNDEFINED
    within = np.stack([(run[first] != run[second]).mean(axis=0) for run in own])  # (M, n)
    between = labels[:, None, -1] != labels[None, :, -1]  # (M, M, n)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        return mean_over(within, images)[members].mean() / mean_over(between, images)[pairs(members)].mean()

    return interval(ratio, members=runs, images=images, log=True)


@claim(
    "trajectories/modes",
    "runs occupy different regions of function space",
    figure="2 right",
    criterion=Criterion(">=", 0.99),
)
def modes(probs: np.ndarray) -> Estimate:
    """Share of late checkpoints whose nearest neighbour by predictions (Euclidean, before t-SNE) is of the same run."""
    own, foreign = _nearest(probs)
    return share(np.where(np.isnan(own), np.nan, own < foreign).mean(axis=1))


# Our addition: a share over few runs decides little.
@claim(
    "trajectories/modes-apart",
    "late checkpoints of other runs are farther away than those of the same run (our addition)",
    figure="2 right",
    criterion=Criterion(">", 0),
)
def modes_apart(probs: np.ndarray) -> Estimate:
    """Mean over late checkpoints of log(distance to the nearest of another run / of the same run), by predictions."""
    own, foreign = _nearest(probs)
    farther = np.log(foreign / own)
    return interval(lambda members: farther[members].mean(), members=len(farther))


def _nearest(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each late checkpoint to the nearest other one of its own run, and of other runs: `(M, late)` each.

    nan if there is none.
    """
    runs, checkpoints = probs.shape[:2]
    chosen = probs[:, late(checkpoints)]
    owners = np.repeat(np.arange(runs), chosen.shape[1])
    distances = euclidean_distances(chosen.reshape(-1, *probs.shape[2:]))
    np.fill_diagonal(distances, np.inf)
    of_own = owners[:, None] == owners
    nearest = [np.where(which, distances, np.inf).min(axis=1) for which in (of_own, ~of_own)]
    own, foreign = (np.where(np.isinf(one), np.nan, one).reshape(runs, -1) for one in nearest)
    return own, foreign
