"""Figure 4: samples around a run stay in its mode.

    predictions of samples and solutions → distances per example → share that stays, distance relative to other runs

`labels (M, S, n)` are top labels of S samples around each of M runs, `solutions (M, n)` top labels of the runs' final
solutions; `near (M, S)` says which samples count. Distances are kept per example, so that a resample of the images
costs one matrix-vector product.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, claim
from lib.metrics.intervals import Estimate, interval, mean_over, pairs, share
from lib.subspaces.methods import METHOD_NAMES, METHODS

FINDING = Finding("03_subspaces")

#: A sample counts as near if its validation accuracy is at most this much below its base's: the claims' 2 points.
AS_ACCURATE = 0.02


def as_accurate(accuracies: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Which samples are about as accurate on the validation set as their base: bool `(M, S)`.

    Fractions: `accuracies (M, S)` of S samples around each of M runs, `base (M,)` of the runs' final solutions.
    """
    # Accuracies are shares of the same images, so the tolerance only covers rounding.
    return accuracies >= np.asarray(base)[:, None] - AS_ACCURATE - 1e-9


def squared_distances(probs: np.ndarray, solutions: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of each sample from each solution on each example.

    Probabilities `(M, S, n, K)` of S samples around each of M runs and `(M, n, K)` of the runs' final solutions give
    float32 `(M, S, M, n)`, from 0 to 2. Sums over examples are the squared distances of whole predictions.
    """
    distances = np.empty((*probs.shape[:2], *solutions.shape[:2]), np.float32)
    # One sample at a time: the differences of all pairs would take K times the memory of the result.
    for place in np.ndindex(probs.shape[:2]):
        distances[place] = np.square(solutions - probs[place]).sum(axis=-1, dtype=np.float32)
    return distances


def stayed(distances: np.ndarray) -> np.ndarray:
    """Whether the solution nearest to each sample is its own run's: bool `(M, S)`.

    `distances` are the result of `squared_distances`. Ties go to the first run.
    """
    return distances.mean(axis=-1).argmin(axis=-1) == np.arange(len(distances))[:, None]


def _differ(labels: np.ndarray, solutions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where samples differ in label from their base `(M, S, n)`, and solutions from each other `(M, M, n)`."""
    # float32, so that means over images run in BLAS.
    from_base = (labels != solutions[:, None]).astype(np.float32)
    return from_base, (solutions[:, None] != solutions).astype(np.float32)


def relative_disagreement(labels: np.ndarray, solutions: np.ndarray) -> np.ndarray:
    """Disagreement of each sample with its base, divided by the mean disagreement of final solutions: `(M, S)`.

    0 or more; at 1 a sample differs from its base as much as another run does.
    """
    from_base, between = _differ(labels, solutions)
    return from_base.mean(axis=-1) / between[pairs(np.arange(len(solutions)))].mean()


@claim(
    "subspaces/{method}/stays",
    "samples of a subspace stay in the mode of their run ({method})",
    figure="4",
    criterion=Criterion(">=", 0.99),
    methods=METHODS,
)
def stays(distances: np.ndarray, near: np.ndarray) -> Estimate:
    """Share of samples whose nearest final solution, by predicted probabilities, is their own run's, among samples with
    validation accuracy at most 2 percentage points below the base's.

    `distances (M, S, M, n)` are the result of `squared_distances`.
    """
    kept = np.where(near, stayed(distances), np.nan)
    return share([np.nanmean(own) if some.any() else np.nan for own, some in zip(kept, near, strict=True)])


# Our addition: a share over few runs decides little.
@claim(
    "subspaces/{method}/nearer",
    "samples of a subspace are nearer to their own run than to any other (our addition; {method})",
    figure="4",
    criterion=Criterion(">", 0),
    methods=METHODS,
)
def nearer(distances: np.ndarray, near: np.ndarray) -> Estimate:
    """Mean of log(distance to the nearest solution of another run / to the solution of the own run), in predicted
    probabilities, over samples with validation accuracy at most 2 percentage points below the base's.

    `distances (M, S, M, n)` are the result of `squared_distances`. When the jackknife leaves out a run, its solution
    still counts for other runs' samples. Samples with the same predictions as their base are left out.
    """
    own_run = np.eye(len(distances), dtype=bool)[:, None]  # (M, 1, M)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        apart = mean_over(distances, images)  # (M, S, M), squares
        own = np.where(own_run, apart, 0).sum(axis=-1)
        foreign = np.where(own_run, np.inf, apart).min(axis=-1)
        counted = near[members] & (own[members] > 0)
        return np.log(foreign[members][counted] / own[members][counted]).mean() / 2

    return interval(ratio, members=len(distances), images=distances.shape[-1])


@claim(
    "subspaces/{method}/closer",
    "samples differ less from their base than runs differ from each other ({method})",
    figure="4",
    criterion=Criterion("<", 1),
    methods=METHODS,
)
def closer(labels: np.ndarray, solutions: np.ndarray, near: np.ndarray) -> Estimate:
    """Mean disagreement with the base of samples with validation accuracy at most 2 percentage points below the base's,
    divided by the mean disagreement between runs.

    Undefined if no sample counts or runs do not differ. The interval is computed on the log scale.
    """
    from_base, between = _differ(labels, solutions)

    def ratio(members: np.ndarray, images: np.ndarray) -> float:
        own = mean_over(from_base, images)[members][near[members]].mean()
        return np.divide(own, mean_over(between, images)[pairs(members)].mean(), dtype=np.float64)

    return interval(ratio, members=len(labels), images=labels.shape[-1], log=True)


def samples_table(scales: Mapping[str, np.ndarray], near: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Table of each method's largest scale and number of samples that are `near`; `scales (S,)` by method."""
    rows = [[METHOD_NAMES[way], f"{scales[way].max():.3g}", own.size, own.sum()] for way, own in near.items()]
    return pd.DataFrame(rows, columns=["method", "largest scale", "samples", "within two points"])


def staying_table(
    staying: Mapping[str, np.ndarray], near: Mapping[str, np.ndarray], lost: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Table of how many samples of each method stay, among all and among those about as accurate as their base.

    By method, `(M, S)` each: which samples stay, which are `near`, and the loss of validation accuracy, in points.
    """
    rows = []
    for method, own in staying.items():
        of_near = f"{own[near[method]].sum()} of {near[method].sum()}"
        most = f"{lost[method][own].max(initial=0):.1f} points"
        rows.append([METHOD_NAMES[method], f"{own.sum()} of {own.size}", of_near, most])
    columns = ["method", "all samples that stay", "of those within two points", "most accuracy lost by one that stays"]
    return pd.DataFrame(rows, columns=columns)
