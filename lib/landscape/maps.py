"""Predictions of networks at many points of weight space on the same images: the numbers behind maps of the landscape.

    points of weight space, block by block → BatchNorm statistics → predict → Survey

A map has hundreds of networks. Their weights are made one block at a time, and only top labels and losses are kept of
their probabilities, so that memory does not grow with the size of the map.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.data.datasets import Split
from lib.metrics import negative_log_likelihood, top_labels
from lib.models.networks import Network
from lib.models.predict import fresh_statistics, predict
from lib.run.progress import PATIENCE, progress


@dataclass(frozen=True, eq=False)
class Survey:
    """Results of B blocks of k networks on n labelled images.

    Attributes:
        labels: top labels, int16 `(B, k, n)`.
        accuracies: fraction of images that each network classifies correctly, `(B, k)`.
        losses: mean negative log-likelihood of each network, in nats, `(B, k)`.
    """

    labels: np.ndarray
    accuracies: np.ndarray
    losses: np.ndarray

    def agreements(self, labels: np.ndarray) -> np.ndarray:
        """Fraction of images on which each network predicts the top `labels (n,)` of a reference network, `(B, k)`."""
        return (self.labels == labels).mean(axis=-1)


def survey(
    model: Network, blocks: Iterable[np.ndarray], num_blocks: int, training: np.ndarray, splits: Sequence[Split]
) -> list[Survey]:
    """One `Survey` of all networks of the `blocks` for each of the labelled `splits`.

    Each of the `num_blocks` blocks is weights `(k, P)`; with a generator only one is in memory. The BatchNorm
    statistics of every network come from `training` images `(n, H, W, C)`. The weights of `model` are overwritten.
    """
    parts: list[list[tuple]] = [[] for _ in splits]
    with progress("evaluating", num_blocks, "block", delay=PATIENCE) as tell:
        for number, block in enumerate(blocks, 1):
            statistics = fresh_statistics(model, block, training)
            for part, split in zip(parts, splits, strict=True):
                probs = predict(model, block, split.images, statistics)
                labels = top_labels(probs).astype(np.int16)
                right = (labels == split.labels).mean(axis=1)
                part.append((labels, right, negative_log_likelihood(probs, split.labels)))
            tell(number)
    return [Survey(*map(np.stack, zip(*part, strict=True))) for part in parts]
