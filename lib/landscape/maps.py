"""What networks in many places of weight space predict on the same images: the numbers behind the maps of a landscape.

    places of weight space, block by block → BatchNorm statistics → predict → Survey

A map has hundreds of networks. Their weights are made a block at a time, and of their probabilities only top labels
and losses are kept, so that memory does not grow with a map as a whole.
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
    """What B blocks of k networks do on n labelled images.

    Attributes:
        labels: top labels, int16 `(B, k, n)`.
        accuracies: fraction of images that each network gets right, `(B, k)`.
        losses: mean negative log-likelihood of each network, in nats, `(B, k)`.
    """

    labels: np.ndarray
    accuracies: np.ndarray
    losses: np.ndarray

    def agreements(self, labels: np.ndarray) -> np.ndarray:
        """Fraction of images on which each network has the top `labels (n,)` of a reference network, `(B, k)`."""
        return (self.labels == labels).mean(axis=-1)


def survey(
    model: Network, blocks: Iterable[np.ndarray], num_blocks: int, training: np.ndarray, splits: Sequence[Split]
) -> list[Survey]:
    """One `Survey` for each of the labelled `splits`, of all networks of the `blocks`.

    The `num_blocks` blocks are weights `(k, P)` each; made by a generator, only one is in memory. BatchNorm statistics
    of every network come from `training` images `(n, H, W, C)`. The weights of `model` are overwritten.
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
