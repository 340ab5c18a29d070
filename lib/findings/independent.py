"""Figure 3: independent solutions are nearly orthogonal in weight space and equally far apart in function space.

`weights (M, P)`: the final solutions; `labels (M, n)`: their top labels; `targets (n,)`: the true labels.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.findings.claim import DESCRIPTION, Criterion, Finding, PaperValue, claim
from lib.metrics import comparison, cosine_similarity, disagreement
from lib.metrics.intervals import Estimate, count, interval, mean_over, pairs

FINDING = Finding("02_independent", networks="architectures")


@claim(
    "independent/orthogonal",
    "weights of independent solutions are nearly orthogonal",
    figure="3",
    criterion=Criterion("<=", 0.1),
    kind=DESCRIPTION,
)
def orthogonal(weights: np.ndarray) -> Estimate:
    """Largest absolute cosine similarity over pairs."""
    return count(_cosines(weights)[pairs(np.arange(len(weights)))].max())


# Our addition, made when `independent/orthogonal` failed for a ResNet: BatchNorm's scales all start at one, so
# independent runs share a direction by construction.
@claim(
    "independent/orthogonal-kernels",
    "weights of independent solutions are nearly orthogonal, BatchNorm's scales and shifts left out (our addition)",
    figure="3",
    criterion=Criterion("<=", 0.1),
    kind=DESCRIPTION,
)
def orthogonal_kernels(weights: np.ndarray, batch_norm: np.ndarray) -> Estimate:
    """Largest absolute cosine similarity over pairs, without the parameters of BatchNorm.

    `batch_norm (P,)` is a mask of these parameters.
    """
    return orthogonal(weights[:, ~batch_norm])


# Our addition: the largest value over these pairs says nothing about other runs.
@claim(
    "independent/orthogonal-mean",
    "weights of independent solutions are nearly orthogonal, on average over pairs (our addition)",
    figure="3",
    criterion=Criterion("<=", 0.1),
)
def orthogonal_mean(weights: np.ndarray) -> Estimate:
    """Mean absolute cosine similarity over pairs."""
    cosines = _cosines(weights)
    return interval(lambda members: cosines[pairs(members)].mean(), members=len(weights))


@claim(
    "independent/orthogonal-kernels-mean",
    "weights of independent solutions are nearly orthogonal, on average over pairs, BatchNorm's scales and shifts left "
    "out (our addition)",
    figure="3",
    criterion=Criterion("<=", 0.1),
)
def orthogonal_kernels_mean(weights: np.ndarray, batch_norm: np.ndarray) -> Estimate:
    """Mean absolute cosine similarity over pairs, without the parameters of BatchNorm.

    `batch_norm (P,)` is a mask of these parameters.
    """
    return orthogonal_mean(weights[:, ~batch_norm])


def _cosines(weights: np.ndarray) -> np.ndarray:
    return np.abs(cosine_similarity(weights))


@claim(
    "independent/equidistant",
    "all pairs of solutions are about equally far in function space",
    figure="3",
    criterion=Criterion("<=", 0.15),
)
def equidistant(labels: np.ndarray) -> Estimate:
    """Coefficient of variation of pairwise disagreement.

    The part due to the finite number of images is subtracted, see `lib.metrics.comparison.equidistant`.
    """
    return comparison.equidistant(labels)


@claim(
    "independent/disagree",
    "independent solutions are far apart in function space: errors are not shared",
    figure="3",
    criterion=Criterion(">=", 0.4),
    paper_values=[
        PaperValue(0.86, 1.03, "read off figure 6", "small_cnn", error=0.02),
        PaperValue(0.835, 0.95, "read off figure 6", "medium_cnn", error=0.02),
        PaperValue(0.90, 1.04, "read off figure 6", "resnet20_v1", error=0.02),
    ],
)
def disagree(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Mean disagreement between runs, divided by (1 - mean accuracy).

    The interval is computed on the log scale.
    """
    differ = labels[:, None] != labels[None, :]  # (M, M, n)
    wrong = labels != targets  # (M, n)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        return mean_over(differ, images)[pairs(members)].mean() / mean_over(wrong, images)[members].mean()

    return interval(ratio, members=len(labels), images=len(targets), log=True)


def accuracies(
    weights: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], targets: np.ndarray
) -> pd.DataFrame:
    """Table of test accuracies, one row per network; `weights` and `labels` by network."""
    rows = []
    for network, own in labels.items():
        right = (own == targets).mean(axis=1)
        spread = f"{right.min():.3f} to {right.max():.3f}"
        rows.append([network, weights[network].shape[1], f"{right.mean():.3f}", spread])
    return pd.DataFrame(rows, columns=["network", "parameters", "mean test accuracy", "lowest to highest"])


def disagreement_per_error(labels: Mapping[str, np.ndarray], targets: np.ndarray) -> dict[str, np.ndarray]:
    """Disagreement of every pair of a network's solutions, divided by the mean error rate: `(pairs,)` by network."""
    return {
        network: disagreement(own)[pairs(np.arange(len(own)))] / np.mean(own != targets)
        for network, own in labels.items()
    }
