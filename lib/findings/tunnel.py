"""Figures S2 and S3: a path of low loss joins two solutions, and the function changes along it.

`labels (pairs, N, n)`: top labels at N points of each pair's path, ends included; `targets (n,)`: the true labels.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, claim
from lib.metrics.intervals import Estimate, extreme, mean_over

FINDING = Finding(
    "06_tunnel",
    settings={
        "paper": {"architectures": ["medium_cnn"]},
        "reference": {"architectures": ["medium_cnn"]},
    },
    ranges={"curve_epochs": (1, inf), "num_points": (3, inf), "num_segments": (1, inf), "num_fan_radii": (2, inf)},
)


@claim(
    "tunnel/linear-barrier",
    "the straight line between optima crosses high loss",
    figure="S2",
    criterion=Criterion(">=", 10),
)
def linear_barrier(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Mean accuracy of both ends minus the lowest on the line, in percentage points; minimum over pairs."""
    lost = _lost(labels, targets)
    return extreme(lambda images: 100 * mean_over(lost, images), "smallest", "largest", images=len(targets))


@claim(
    "tunnel/connector",
    "an optimised path between optima does not cross high loss",
    figure="S2",
    criterion=Criterion("<=", 2),
)
def connector(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Mean accuracy of both ends minus the lowest on the connector, in percentage points; maximum over pairs."""
    lost = _lost(labels, targets)
    return extreme(lambda images: 100 * mean_over(lost, images), "largest", "largest", images=len(targets))


def _lost(labels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Mean correctness (0 or 1) of the two ends minus that of each point, per image: float32 `(pairs, N, n)`."""
    right = (labels == targets).astype(np.float32)
    return right[:, [0, -1]].mean(axis=1, keepdims=True) - right


@claim(
    "tunnel/functions-change",
    "equal loss is not equal function: along the connector predictions change from one mode's to the other's",
    figure="S2, S3",
    criterion=Criterion(">=", 0.4),
)
def functions_change(labels: np.ndarray) -> Estimate:
    """Disagreement of the connector's midpoint with the nearer end, divided by that of the ends; minimum over pairs.

    N is odd.
    """
    ends = labels[:, [0, -1]]
    from_middle = (labels[:, [labels.shape[1] // 2]] != ends).astype(np.float32)  # (pairs, ends, n)
    apart = (ends[:, 0] != ends[:, 1]).astype(np.float32)  # (pairs, n)

    def ratios(images: np.ndarray) -> np.ndarray:
        return mean_over(from_middle, images) / mean_over(apart, images)[:, None]  # (pairs, ends)

    return extreme(ratios, "smallest", "smallest", images=labels.shape[2])


def along_paths(pairs: Sequence[Sequence[int]], losses: np.ndarray, accuracies: np.ndarray) -> pd.DataFrame:
    """Table of both paths of every pair, one row per pair of runs; `pairs` has the runs' indices from 0.

    `losses (pairs, 2, N)` on training images, in nats, and `accuracies (pairs, 2, N)` on test images: first on the
    straight line, then on the path of low loss.
    """
    columns = {
        "runs": [f"{first + 1} and {second + 1}" for first, second in pairs],
        "training loss, larger of the ends": losses[:, 0, [0, -1]].max(axis=-1),
        "worst on the line": losses[:, 0].max(axis=-1),
        "worst on the path": losses[:, 1].max(axis=-1),
        "test accuracy, mean of the ends": accuracies[:, 0, [0, -1]].mean(axis=-1),
        "lowest on the line": accuracies[:, 0].min(axis=-1),
        "lowest on the path": accuracies[:, 1].min(axis=-1),
    }
    return pd.DataFrame(columns).round(3).astype(str)
