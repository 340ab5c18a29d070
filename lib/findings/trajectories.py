"""Figure 2: along a run, weights and functions settle; runs end in different regions of function space.

Of all T checkpoints of M runs: `weights (M, T, P)`, `probs (M, T, n, K)` and top `labels (M, T, n)`.
"""

import numpy as np

from lib.findings.claim import DESCRIPTION, Criterion, Finding, claim
from lib.metrics import cosine_similarity, euclidean_distances
from lib.metrics.intervals import UNDEFINED, Estimate, count, interval, mean_over, pairs, share

FINDING = Finding("01_trajectories")


def late(checkpoints: int) -> slice:
    """The second half of the epochs, of so many checkpoints, the first of which are the weights before training."""
    return slice((checkpoints - 1) // 2 + 1, checkpoints)


@claim(
    "trajectories/weights-align",
    "late checkpoints of one run point in nearly the same direction",
    figure="2 left",
    criterion=Criterion(">=", 0.8),
    kind=DESCRIPTION,
)
def weights_align(weights: np.ndarray) -> Estimate:
    """Smallest cosine of a late checkpoint with the final one, worst run."""
    return count(_smallest_cosines(weights).min())


# Ours, added because a smallest of the runs at hand says nothing about other runs.
@claim(
    "trajectories/weights-align-mean",
    "late checkpoints of one run point in nearly the same direction, on average over runs (our addition)",
    figure="2 left",
    criterion=Criterion(">=", 0.8),
)
def weights_align_mean(weights: np.ndarray) -> Estimate:
    """Mean over runs of the smallest cosine of a late checkpoint with the final one."""
    smallest = _smallest_cosines(weights)
    return interval(lambda members: smallest[members].mean(), members=len(weights))


def _smallest_cosines(weights: np.ndarray) -> np.ndarray:
    """Of each run's late checkpoints with its final one: `(M,)`, nan where that is the only late one."""
    runs = [run[late(len(run))] for run in weights]
    return np.array([cosine_similarity(run)[-1, :-1].min() if len(run) > 1 else np.nan for run in runs])


@claim(
    "trajectories/functions-stay",
    "along a run predictions change less than between runs",
    figure="2 middle",
    criterion=Criterion("<", 1),
)
def functions_stay(labels: np.ndarray) -> Estimate:
    """Mean late within-run disagreement / mean between-run disagreement.

    Between runs it is their final checkpoints that are compared. The interval is that of the logarithm.
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
    """Share of late checkpoints whose nearest neighbour in `probs` (Euclidean, before t-SNE) is of their own run."""
    own, foreign = _nearest(probs)
    return share(np.where(np.isnan(own), np.nan, own < foreign).mean(axis=1))


# Ours, added because a share of few runs decides little.
@claim(
    "trajectories/modes-apart",
    "late checkpoints of other runs are farther away than those of the same run (our addition)",
    figure="2 right",
    criterion=Criterion(">", 0),
)
def modes_apart(probs: np.ndarray) -> Estimate:
    """Mean over late checkpoints of log(distance to the nearest of another run / of their own run), in `probs`."""
    own, foreign = _nearest(probs)
    farther = np.log(foreign / own)
    return interval(lambda members: farther[members].mean(), members=len(farther))


def _nearest(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each late checkpoint is from the nearest other one of its own run, and of other runs: `(M, late)` each.

    nan where there is none.
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
