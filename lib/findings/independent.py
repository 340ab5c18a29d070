"""Figure 3: independent solutions are nearly orthogonal in weight space and equally far apart in function space.

`weights (M, P)`: the final solutions; `labels (M, n)`: their top labels; `targets (n,)`: the true ones.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import variation

from lib.findings.claim import Criterion, Finding, Statistic, claim
from lib.metrics import cosine_similarity, disagreement
from lib.metrics.intervals import distinct_pairs

FINDING = Finding("02_independent", networks="architectures")


@claim(
    "independent/orthogonal",
    "weights of independent solutions are nearly orthogonal",
    figure="3",
    criterion=Criterion("<=", 0.1),
)
def orthogonal(weights: np.ndarray) -> Statistic:
    """Largest absolute cosine over pairs."""
    cosine = np.abs(cosine_similarity(weights))
    return Statistic(lambda members: cosine[distinct_pairs(members)].max(initial=-np.inf), members=len(weights))


# Ours, added when `independent/orthogonal` failed for a ResNet: scales that all start at one are a direction that
# independent runs share by construction.
@claim(
    "independent/orthogonal-kernels",
    "weights of independent solutions are nearly orthogonal, BatchNorm's scales and shifts left out (our addition)",
    figure="3",
    criterion=Criterion("<=", 0.1),
)
def orthogonal_kernels(weights: np.ndarray, batch_norm: np.ndarray) -> Statistic:
    """Largest absolute cosine over pairs, without the parameters of BatchNorm.

    `batch_norm (P,)`: which entries are these.
    """
    return orthogonal(weights[:, ~batch_norm])


@claim(
    "independent/equidistant",
    "all pairs of solutions are about equally far in function space",
    figure="3",
    criterion=Criterion("<=", 0.15),
)
def equidistant(labels: np.ndarray) -> Statistic:
    """Coefficient of variation of pairwise disagreement."""
    apart = disagreement(labels)
    return Statistic(lambda members: variation(apart[distinct_pairs(members)], ddof=1), members=len(labels))


@claim(
    "independent/disagree",
    "independent solutions are far apart in function space: errors are not shared",
    figure="3",
    criterion=Criterion(">=", 0.4),
    paper_value="0.84 to 1.04, read off figure 6",
)
def disagree(labels: np.ndarray, targets: np.ndarray) -> Statistic:
    """Mean between-run disagreement / (1 - mean accuracy)."""
    differ = labels[:, None] != labels[None, :]  # (M, M, n)
    right = labels == targets  # (M, n)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        return differ[distinct_pairs(members)][:, images].mean() / (1 - right[np.ix_(members, images)].mean())

    return Statistic(ratio, members=len(labels), images=len(targets))


def accuracies(
    weights: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], targets: np.ndarray
) -> pd.DataFrame:
    """The table of test accuracies, one row a network; `weights` and `labels` by network."""
    rows = []
    for network, own in labels.items():
        right = (own == targets).mean(axis=1)
        spread = f"{right.min():.3f} to {right.max():.3f}"
        rows.append([network, weights[network].shape[1], f"{right.mean():.3f}", spread])
    return pd.DataFrame(rows, columns=["network", "parameters", "mean test accuracy", "lowest to highest"])


def disagreement_per_error(labels: Mapping[str, np.ndarray], targets: np.ndarray) -> dict[str, np.ndarray]:
    """Disagreement of every pair of a network's solutions over their mean error: `(pairs,)` by network."""
    return {
        network: disagreement(own)[distinct_pairs(np.arange(len(own)))] / np.mean(own != targets)
        for network, own in labels.items()
    }
