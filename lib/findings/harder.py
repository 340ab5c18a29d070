"""Figures 7 and 10: larger and harder datasets.

The claims of `lib.findings.diversity`, judged on harder data than there, and one that compares the two.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.data.datasets import Split
from lib.data.shift import Shift
from lib.data.streaming import imagenet_c
from lib.findings.claim import Criterion, Finding, claim
from lib.findings.diversity import more_diverse
from lib.metrics import accuracy, brier_score
from lib.metrics.ensembles import subsets
from lib.metrics.intervals import Estimate, difference

FINDING = Finding(
    "09_harder",
    settings={"reference": {"architectures": ["medium_cnn"], "num_members": 4, "epochs": 15}},
)

#: Datasets with at least this many classes count as harder than those of page 4; the claims are judged only on these.
MANY_CLASSES = 100

#: Ensemble sizes, as in figure 10.
SIZES = (1, 2, 4)

#: Maximum number of ensembles of each size whose scores are averaged.
ENSEMBLES = 50


# Our addition: figure 7 is about how the gap changes with the data.
@claim(
    "harder/gap",
    "independent solutions are further ahead of samples of one run where the data are harder (our addition)",
    figure="7",
    criterion=Criterion(">", 0),
)
def gap(harder: Mapping[str, Any], easier: Mapping[str, Any]) -> Estimate:
    """Difference in diversity at equal accuracy between independent solutions and samples in random directions on the
    harder data, minus the same difference on the data of page 4, for the same network.

    Both arguments are keyword arguments of `lib.findings.diversity.more_diverse`.
    """
    return difference(more_diverse(**harder), more_diverse(**easier))


def corrupted(shift: Shift, severity: int, imagenet_c_dir: str | Path | None = None) -> Split:
    """Test images at a severity from 0 (clean) to 5, under all corruptions one after the other.

    `shift` makes them, with `shift.count` images per corruption, unless they are read from `imagenet_c_dir`, the folder
    of ImageNet-C. Raises `DatasetError` if published files are missing or do not match the dataset.
    """
    dataset = shift.dataset
    if imagenet_c_dir is None:
        return Split(shift.images(severity).reshape(-1, *dataset.image_shape), shift.labels.ravel())
    images, labels = dataset.test.images[: shift.count], dataset.test.labels[: shift.count]
    if severity == 0:
        return Split(images, labels)
    found = imagenet_c(images, imagenet_c_dir, severity)
    return Split(found, np.tile(labels, len(found) // len(labels)))


def ensemble_scores(probs: np.ndarray, targets: np.ndarray) -> pd.DataFrame:
    """Mean accuracy and Brier score of ensembles of `SIZES`, one row per size; columns as in the figure.

    `probs (M, n, K)` of M runs, true labels `targets (n,)`. Averages over all ensembles of each size up to M, or over
    `ENSEMBLES` different ones if there are more.
    """
    rows = []
    for size in (size for size in SIZES if size <= len(probs)):
        ensembles = [probs[members].mean(axis=0) for members in subsets(len(probs), size, ENSEMBLES)]
        scores = [[accuracy(own, targets), brier_score(own, targets)] for own in ensembles]
        rows.append([size, *np.mean(scores, axis=0)])
    return pd.DataFrame(rows, columns=["size", "accuracy", "Brier score"])
