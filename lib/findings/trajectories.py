"""Figure 2: along a run, weights and functions settle; runs end in different regions of function space.

Of all T checkpoints of M runs: `weights (M, T, P)`, `probs (M, T, n, K)` and top `labels (M, T, n)`.
"""

import numpy as np

from lib.findings.claim import Criterion, Finding, Statistic, claim
from lib.metrics import cosine_similarity, euclidean_distances, neighbor_purity
from lib.metrics.intervals import distinct_pairs

FINDING = Finding("01_trajectories")


def late(checkpoints: int) -> slice:
    """The second half of the epochs, of so many checkpoints, the first of which are the weights before training."""
    return slice((checkpoints - 1) // 2 + 1, checkpoints)


@claim(
    "trajectories/weights-align",
    "late checkpoints of one run point in nearly the same direction",
    figure="2 left",
    criterion=Criterion(">=", 0.8),
)
def weights_align(weights: np.ndarray) -> Statistic:
    """Smallest cosine of a late checkpoint with the final one, worst run."""
    smallest = np.array([cosine_similarity(run[late(len(run))])[-1].min() for run in weights])
    return Statistic(lambda members: smallest[members].min(), members=len(weights))


@claim(
    "trajectories/functions-stay",
    "along a run predictions change less than between runs",
    figure="2 middle",
    criterion=Criterion("<", 1),
)
def functions_stay(labels: np.ndarray) -> Statistic:
    """Mean late within-run disagreement / mean between-run disagreement.

    Between runs it is their final checkpoints that are compared.
    """
    runs, checkpoints, images = labels.shape
    own = labels[:, late(checkpoints)]
    first, second = np.triu_indices(own.shape[1], k=1)
    within = np.stack([(run[first] != run[second]).mean(axis=0) for run in own])  # (M, n)
    between = labels[:, None, -1] != labels[None, :, -1]  # (M, M, n)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        return within[np.ix_(members, images)].mean() / between[distinct_pairs(members)][:, images].mean()

    return Statistic(ratio, members=runs, images=images)


@claim(
    "trajectories/modes",
    "runs occupy different regions of function space",
    figure="2 right",
    criterion=Criterion(">=", 0.99),
)
def modes(probs: np.ndarray) -> Statistic:
    """Share of late checkpoints whose nearest neighbour in `probs` (Euclidean, before t-SNE) is of their own run."""
    runs, checkpoints = probs.shape[:2]
    chosen = probs[:, late(checkpoints)]
    owners = np.repeat(np.arange(runs), chosen.shape[1])
    distances = euclidean_distances(chosen.reshape(-1, *probs.shape[2:]))
    return Statistic(lambda members: neighbor_purity(distances, owners, members), members=runs)
