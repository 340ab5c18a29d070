"""Figures 5 and S1: the plane through two solutions, equally accurate on both sides but not the same function.

Points of the plane have `radii (R,)`, 1 at the solutions, and `angles (A,)` in radians: 0 on the ray of the first
solution, π/2 on the ray of the second. `targets (n,)` are the true labels.
"""

from collections.abc import Sequence
from math import inf

import numpy as np
import pandas as pd

from lib.errors import ConfigError, unknown
from lib.findings.claim import DESCRIPTION, Criterion, Finding, claim
from lib.metrics.intervals import Estimate, count, extreme, interval, mean_over
from lib.subspaces.methods import NATURAL_SCALES

FINDING = Finding(
    "05_radial",
    settings={
        "paper": {"architectures": ["medium_cnn"]},
        "reference": {"architectures": ["medium_cnn"]},
    },
    ranges={"num_radii": (2, inf), "num_angles": (2, inf), "num_map_images": (1, inf)},
)

#: Radius factors that `radial/valley` checks; the solution itself is in the middle.
FACTORS = np.linspace(0.8, 1.2, 5)

#: A point of the plane counts as accurate up to this much below its solution's accuracy: 5 points, as in the claim.
ACCURATE = 0.05


@claim(
    "radial/valley",
    "each optimum sits in a radial valley: moving along its ray keeps accuracy",
    figure="5, S1",
    criterion=Criterion("<=", 5),
)
def valley(labels: np.ndarray, targets: np.ndarray) -> Estimate:
    """Largest loss of accuracy, in percentage points, at radius factors 0.8 to 1.2 along the rays of both optima.

    `labels (F, 2, n)`: top labels at the `FACTORS` on both rays.
    """
    right = labels == targets
    others = np.delete(right, len(right) // 2, axis=0).reshape(-1, 2, len(targets))
    lost = right[len(right) // 2].astype(np.float32) - others  # per image: 1 if only the solution is right
    return extreme(lambda images: 100 * mean_over(lost, images).ravel(), "largest", images=len(targets))


@claim(
    "radial/norm-grows",
    "weights grow radially during training",
    figure="5",
    criterion=Criterion(">", 1),
    kind=DESCRIPTION,
)
def norm_grows(weights: np.ndarray) -> Estimate:
    """Norm of the final weights divided by the norm at initialisation, minimum over runs.

    `weights (M, T, P)`: all checkpoints of every run, or only the first and the last.
    """
    return count(_growth(weights).min())


# Our addition: the smallest value over these runs says nothing about other runs.
@claim(
    "radial/norm-grows-mean",
    "weights grow radially during training, on average over runs (our addition)",
    figure="5",
    criterion=Criterion(">", 0),
)
def norm_grows_mean(weights: np.ndarray) -> Estimate:
    """Mean over runs of log(norm of the final weights / norm at initialisation).

    `weights` as in `norm_grows`.
    """
    growth = np.log(_growth(weights))
    return interval(lambda members: growth[members].mean(), members=len(growth))


def _growth(weights: np.ndarray) -> np.ndarray:
    return np.linalg.norm(weights[:, -1], axis=1) / np.linalg.norm(weights[:, 0], axis=1)


@claim(
    "radial/own-mode",
    "in the plane, accurate points on one side resemble that side's optimum only",
    figure="5, S1",
    criterion=Criterion(">=", 0.95),
)
def own_mode(
    labels: np.ndarray, solutions: np.ndarray, targets: np.ndarray, radii: np.ndarray, angles: np.ndarray
) -> Estimate:
    """Share of points of the plane that agree more with the optimum nearer in angle than with the other, among points
    at most 5 percentage points less accurate than that nearer optimum.

    Ties count against the claim. Top `labels (R, A, n)` of the points and `solutions (2, n)` of both solutions.
    """
    nearer = nearer_optimum(radii, angles)
    counted = nearer >= 0
    labels, nearer = labels[counted], nearer[counted]  # (G, n) and (G,)
    right = (labels == targets).astype(np.float32)
    alike = (labels == solutions[:, None]).astype(np.float32)  # (2, G, n)
    solutions_right = solutions == targets  # (2, n)
    places = np.arange(len(nearer))

    def share(images: np.ndarray) -> float:
        likeness = mean_over(alike, images)
        # Differences are whole numbers of images, so the tolerance only covers rounding.
        lost = mean_over(solutions_right, images)[nearer] - mean_over(right, images)
        accurate = lost <= ACCURATE + 1e-6
        more_alike = likeness[nearer, places] > likeness[1 - nearer, places]
        return more_alike[accurate].mean()

    return interval(share, images=len(targets))


def nearer_optimum(radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Index of the optimum nearer in angle to each point of `lib.landscape.planes.polar_grid`: `(R, A)` of 0, 1 and -1.

    -1 marks points that do not count: the origin, the ray halfway between, and the optima themselves.
    """
    away = np.abs(angles - np.array([[0], [np.pi / 2]]))  # (2, A)
    nearer = np.where(np.isclose(*away), -1, away.argmin(axis=0))
    radii = radii[:, None]
    optimum = np.isclose(radii, 1) & np.isclose(away.min(axis=0), 0)
    return np.where(np.isclose(radii, 0) | optimum, -1, nearer)


def chosen_pair(runs: list[int] | None, num_members: int) -> tuple[int, int]:
    """Indices (from 0) of two runs given by their numbers (from 1); None chooses the first two.

    Raises `ConfigError` unless `runs` are two different numbers from 1 to `num_members`.
    """
    if runs is None:
        return 0, 1
    if len(runs) != 2 or len({*runs} & {*range(1, num_members + 1)}) != 2:
        raise ConfigError(f"runs must be two different numbers from 1 to {num_members}, as in [1, 2], got {runs}")
    return int(runs[0]) - 1, int(runs[1]) - 1


def natural_scale(gaussian: str) -> float:
    """The natural scale of a Gaussian, see `NATURAL_SCALES`; `ConfigError` if its name is unknown."""
    if gaussian not in NATURAL_SCALES:
        raise ConfigError(unknown("gaussian", gaussian, NATURAL_SCALES))
    return NATURAL_SCALES[gaussian]


def solutions(
    pair: Sequence[int], weights: Sequence[np.ndarray], labels: np.ndarray, samples: np.ndarray, targets: np.ndarray
) -> pd.DataFrame:
    """Table of both solutions, one row each; `pair` has their indices from 0.

    `weights (T, P)` of each run's checkpoints, top `labels (2, n)` of both solutions, and the top labels of S
    `samples (2, S, n)` around each.
    """
    norms = np.array([np.linalg.norm(run, axis=1)[[0, -1]] for run in weights])
    agree = (samples[:, None] == labels[:, None]).mean(axis=(2, 3))  # (samples of, labels of)
    columns = {
        "run": [run + 1 for run in pair],
        "test accuracy": (labels == targets).mean(axis=1),
        "norm of first weights": norms[:, 0],
        "norm of last weights": norms[:, 1],
        "samples agree with own run": agree.diagonal(),
        "with the other run": [agree[0, 1], agree[1, 0]],
    }
    return pd.DataFrame(columns).round(3).astype(str)
