"""What networks in many places of weight space do on the same images: the numbers behind the maps of a landscape.

    places of weight space, block by block → BatchNorm statistics → predict → Survey

A map has hundreds of networks. Their weights are made a block at a time, and of their probabilities only top labels
and losses are kept, so that memory does not grow with a map as a whole.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lib.data.datasets import Dataset, Split
from lib.errors import ConfigError
from lib.metrics import negative_log_likelihood, top_labels
from lib.metrics.intervals import mean_over
from lib.models.networks import Network
from lib.models.weights import fresh_statistics, predict
from lib.run.progress import PATIENCE, progress
from lib.subspaces.samples import STATISTICS_IMAGES

#: Maps of the plane of two optima end at this radius, as the paper's figure 5 does; the optima have radius 1.
LARGEST_RADIUS = 2.0

#: Maps of the rays through a path end at this radius; the path has radius 1.
LARGEST_PATH_RADIUS = 1.5

#: A place of the plane counts as accurate up to this much below its optimum's accuracy: the 5 points of a claim.
ACCURATE = 0.05


@dataclass(frozen=True, eq=False)
class Survey:
    """What N networks do on n labelled images.

    Attributes:
        labels: top labels, int16 `(N, n)`.
        correct: whether they are right, bool `(N, n)`.
        losses: mean negative log-likelihood of each network, in nats, `(N,)`.
    """

    labels: np.ndarray
    correct: np.ndarray
    losses: np.ndarray

    @property
    def accuracies(self) -> np.ndarray:
        """Fraction of images that each network gets right, `(N,)`."""
        return self.correct.mean(axis=1)

    def agreements(self, labels: np.ndarray) -> np.ndarray:
        """Fraction of images on which each network has the top `labels (n,)` of a reference network, `(N,)`."""
        return (self.labels == labels).mean(axis=1)


def survey(
    model: Network,
    blocks: Iterable[np.ndarray],
    dataset: Dataset,
    splits: Sequence[Split],
    num_blocks: int | None = None,
) -> list[Survey]:
    """One `Survey` for each of the `splits`, of all networks of the `blocks`.

    Args:
        model: the architecture, with its pixel normalisation; its own weights are overwritten.
        blocks: weights `(k, P)` each, k at will; made by a generator, only one block is in memory.
        dataset: BatchNorm statistics of every network come from its first training images.
        splits: labelled images to be evaluated on.
        num_blocks: how many there are, so that progress can be shown.
    """
    parts: list[list[tuple]] = [[] for _ in splits]
    known = nullcontext(lambda finished: None)
    if num_blocks is not None:
        known = progress("evaluating", num_blocks, "block", delay=PATIENCE)
    with known as tell:
        for number, block in enumerate(blocks, 1):
            statistics = _statistics(model, block, dataset)
            for part, split in zip(parts, splits, strict=True):
                probs = predict(model, block, split.images, statistics)
                labels = top_labels(probs).astype(np.int16)
                part.append((labels, labels == split.labels, negative_log_likelihood(probs, split.labels)))
            tell(number)
    return [Survey(*map(np.concatenate, zip(*part, strict=True))) for part in parts]


def predict_anywhere(model: Network, weights: np.ndarray, dataset: Dataset, images: np.ndarray) -> np.ndarray:
    """Probabilities `(N, n, K)` of networks without BatchNorm statistics of their own, as `survey` has them."""
    return predict(model, weights, images, _statistics(model, weights, dataset))


def _statistics(model: Network, weights: np.ndarray, dataset: Dataset) -> np.ndarray:
    return fresh_statistics(model, weights, dataset.train.images[:STATISTICS_IMAGES])


# Where to look


def fan(num_radii: int, num_angles: int) -> tuple[np.ndarray, np.ndarray]:
    """Radii `(R,)` and angles `(A,)`, in radians, for `lib.landscape.paths.polar_grid`.

    `num_radii` from 0 to `LARGEST_RADIUS`, which an odd number makes meet the optima at 1; `num_angles` from the ray of
    the first optimum to that of the second, and one more beyond each. Raises `ConfigError` for fewer than two.
    """
    _check_counts(2, num_radii=num_radii, num_angles=num_angles)
    step = np.pi / 2 / (num_angles - 1)
    return np.linspace(0, LARGEST_RADIUS, num_radii), np.linspace(-step, np.pi / 2 + step, num_angles + 2)


def stitched(num_segments: int, num_fan_radii: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions on a path of `num_segments` straight segments, at their ends and middles, and radii of its rays.

    Gives `(2 * num_segments + 1,)` from 0 to 1, and `(num_fan_radii,)` from 0 to `LARGEST_PATH_RADIUS`. Raises
    `ConfigError` for no segment, and for fewer than two radii. Source: the paper's figure S3.
    """
    _check_counts(1, num_segments=num_segments)
    _check_counts(2, num_fan_radii=num_fan_radii)
    return np.linspace(0, 1, 2 * num_segments + 1), np.linspace(0, LARGEST_PATH_RADIUS, num_fan_radii)


def _check_counts(least: int, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is None or count < least:
            raise ConfigError(f"{name} must be at least {least}, got {count}")


# The plane of two optima


def nearer_optimum(radii: ArrayLike, angles: ArrayLike) -> np.ndarray:
    """Which optimum each place of `lib.landscape.paths.polar_grid` is nearer to in angle: `(R, A)` of 0, 1 and -1.

    -1 stands for places that say nothing about it: the origin, the ray halfway between, and the optima themselves.
    """
    away = np.abs(np.asarray(angles) - np.array([[0], [np.pi / 2]]))  # (2, A)
    nearer = np.where(np.isclose(*away), -1, away.argmin(axis=0))
    radii = np.asarray(radii)[:, None]
    optimum = np.isclose(radii, 1) & np.isclose(away.min(axis=0), 0)
    return np.where(np.isclose(radii, 0) | optimum, -1, nearer)


def own_mode_share(
    correct: ArrayLike, agreements: ArrayLike, optima_correct: ArrayLike, nearer: ArrayLike, images: ArrayLike
) -> float:
    """Share of accurate places of the plane that resemble the optimum nearer in angle more than the other one.

    Accurate is a place no more than `ACCURATE` below that optimum's accuracy. One that agrees with both equally often
    does not resemble the nearer one more.

    Args:
        correct: whether place g is right about an image, `(G, n)`; float32 is many times faster than booleans.
        agreements: whether it has the label of the first and of the second optimum, `(2, G, n)`, alike.
        optima_correct: whether these are right, `(2, n)`, alike.
        nearer: which of the two is nearer in angle, 0 or 1, `(G,)`; see `nearer_optimum`.
        images: indices of the images that count, with repetitions, as from `lib.metrics.intervals.bootstrap`.

    Returns:
        0 to 1; nan where no place is accurate.
    """
    nearer = np.asarray(nearer)
    accuracies, likeness = mean_over(correct, images), mean_over(agreements, images)
    # Differences are whole images: all that is forgiven is rounding.
    accurate = mean_over(optima_correct, images)[nearer] - accuracies <= ACCURATE + 1e-6
    places = np.arange(len(nearer))
    more_alike = likeness[nearer, places] > likeness[1 - nearer, places]
    return float(more_alike[accurate].mean()) if accurate.any() else float("nan")
