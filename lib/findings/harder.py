"""Figures 7 and 10: larger and harder datasets.

The claims are those of `lib.findings.diversity`, judged where the data are harder than its own, and one about both.
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
    settings={"reference": {"architectures": ["medium_cnn", "small_cnn"], "num_members": 4, "epochs": 15}},
)

#: Data of at least so many classes are harder than those of page 4; only there the claims are judged.
MANY_CLASSES = 100

#: Runs in an ensemble: those of figure 10.
SIZES = (1, 2, 4)

#: Ensembles of each size whose scores are averaged, at most.
ENSEMBLES = 50


# Ours, added because figure 7 is about how the gap changes with the data.
@claim(
    "harder/gap",
    "independent solutions are further ahead of samples of one run where the data are harder (our addition)",
    figure="7",
    criterion=Criterion(">", 0),
)
def gap(harder: Mapping[str, Any], easier: Mapping[str, Any]) -> Estimate:
    """Diversity at equal accuracy that independent solutions are ahead of random directions on the harder data, minus
    the same on the data of page 4, same network.

    Both are what `lib.findings.diversity.more_diverse` takes.
    """
    return difference(more_diverse(**harder), more_diverse(**easier))


def corrupted(shift: Shift, severity: int, imagenet_c_dir: str | Path | None = None) -> Split:
    """Test images of a severity from 0, the clean ones, to 5, under all corruptions one after the other.

    `shift` makes them, of `shift.count` images a corruption, unless they are read from `imagenet_c_dir`, the folder of
    ImageNet-C. Raises `DatasetError` for published files that are missing or do not fit the dataset.
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
    """Mean accuracy and Brier score of ensembles of `SIZES`, one row a size; columns as in the figure.

    `probs (M, n, K)` of M runs, true labels `targets (n,)`. Of each size up to M all ensembles, or `ENSEMBLES`
    different ones.
    """
    rows = []
    for size in (size for size in SIZES if size <= len(probs)):
        ensembles = [probs[members].mean(axis=0) for members in subsets(len(probs), size, ENSEMBLES)]
        scores = [[accuracy(own, targets), brier_score(own, targets)] for own in ensembles]
        rows.append([size, *np.mean(scores, axis=0)])
    return pd.DataFrame(rows, columns=["size", "accuracy", "Brier score"])
