"""Weights sampled around a run and selected by validation accuracy: what a subspace achieves without further training.

    run → lib.subspaces.methods → weights → validation accuracy → kept or rejected → predictions

Nothing here is selected by test images. All networks with BatchNorm, checkpoints and samples, get fresh statistics.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lib.data.datasets import Dataset, Split
from lib.errors import ConfigError
from lib.metrics import accuracy
from lib.models.networks import Network
from lib.models.predict import fresh_statistics, predict
from lib.presets import PRESETS
from lib.run.files import array_digest
from lib.run.store import RunStore
from lib.subspaces.methods import (
    METHODS,
    NATURAL_SCALES,
    PCA_SAMPLES,
    RANK,
    REJECTION_MARGIN,
    SUBSPACES,
    Subspace,
    largest_scale,
    late_iterates,
    subspace,
    weight_average,
)
from lib.training.trainer import Trajectory

#: Raise this whenever the same settings would give other samples: stored results are then computed again.
VERSION = 2

#: Samples evaluated at each scale while `scale_at` searches.
SAMPLES_AT_A_SCALE = 3

#: Number of validation images, the first ones, used in that search; samples are later evaluated on all of them.
SEARCH_IMAGES = 500

#: Where the search begins: the largest scales in the authors' plane, tuned to their MediumCNN.
FIRST_SCALES = PRESETS["paper"]["samples"]["plane"]["scales"] | {"random-pca": 1.0}

#: `Sampler.near` draws at most this many times the requested number of samples: the authors try 5 times for each.
ATTEMPTS = 5


@dataclass(frozen=True, eq=False)
class Samples:
    """Weights around the end of one run.

    Attributes:
        method: one of `lib.subspaces.methods.METHODS`, or `weight-average`.
        scales: `(N,)`; N is 0 if all samples were rejected.
        weights: float32 `(N, P)`.
        statistics: of BatchNorm, float32 `(N, S)`; S is 0 without BatchNorm.
        val_accuracies: on the validation images, `(N,)`.
        rejected: how many further samples were drawn and rejected as too inaccurate.
    """

    method: str
    scales: np.ndarray
    weights: np.ndarray
    statistics: np.ndarray
    val_accuracies: np.ndarray
    rejected: int = 0

    def __len__(self) -> int:
        return len(self.weights)

    def predict(self, model: Network, images: np.ndarray) -> np.ndarray:
        """Probabilities `(N, n, K)` on images `(n, H, W, C)`."""
        return predict(model, self.weights, images, self.statistics)

    def chosen(self, which: np.ndarray) -> "Samples":
        """The samples selected by a mask `(N,)` or by indices."""
        return Samples(
            self.method, *(array[which] for array in (self.scales, self.weights, self.statistics, self.val_accuracies))
        )


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws samples around runs of one experiment.

    Attributes:
        model: the network of the runs, see `lib.training.trainer.build_member_model`; its weights are overwritten.
        dataset: its validation images select samples, its training images give BatchNorm statistics.
        statistics_images: how many training images give BatchNorm statistics, the first ones.
        rank: of the low-rank Gaussians.
        standardized: whether their directions are scaled by their standard deviation, see
            `lib.subspaces.methods.subspace`.
        margin: how much validation accuracy random samples and dropout for an ensemble may lose relative to their run.
        seed: of all draws; runs and methods draw independently.
        scales: by method, in place of natural scales or those found by validation accuracy; see `given_scales`.
        store: keeps the validation accuracies and BatchNorm statistics of samples, so that none is evaluated twice.
    """

    model: Network
    dataset: Dataset
    statistics_images: int = 2000
    rank: int = RANK
    standardized: bool = True
    margin: float = REJECTION_MARGIN
    seed: int = 0
    scales: Mapping[str, float] = field(default_factory=dict)
    store: RunStore | None = None

    def samples(self, run: Trajectory, method: str, scales: np.ndarray, draw: int = 0) -> Samples:
        """One sample for each of the `scales (N,)`; a different `draw` gives different samples."""
        return self._drawn(self._subspace(method, self._iterates(run, method)), run, method, scales, draw)

    def average(self, run: Trajectory) -> Samples:
        """The average of the late iterates, as a single sample."""
        average = weight_average(late_iterates(run.weights, self.rank))
        return self._evaluated(run, "weight-average", np.zeros(1), average[None])

    def checkpoints(self, run: Trajectory, count: int) -> Samples:
        """The last `count` checkpoints of a run as samples; the last one is the final solution.

        Raises `ValueError` if `count` exceeds the run's epochs: the weights before training are not a solution.
        """
        epochs = len(run.weights) - 1
        if not 1 <= count <= epochs:
            raise ValueError(f"count: expected from 1 to the {epochs} epochs of the run, received {count}")
        return self._evaluated(run, "trajectory", np.zeros(count), run.weights[-count:])

    def base_accuracy(self, run: Trajectory) -> float:
        """Validation accuracy of the run's final solution."""
        return float(self.checkpoints(run, 1).val_accuracies[0])

    def scale_at(self, run: Trajectory, method: str, floor: float) -> float:
        """The largest scale at which samples have a mean validation accuracy of at least `floor`, a fraction.

        The accuracy is measured on the first `SEARCH_IMAGES`. Returns 0 if samples are less accurate at any scale, and
        the method's entry in `scales` if it has one.
        """
        if method in self.scales:
            return self.scales[method]
        space = self._subspace(method, self._iterates(run, method))
        val = self.dataset.val
        few = Split(val.images[:SEARCH_IMAGES], val.labels[:SEARCH_IMAGES])
        quick = replace(self, dataset=replace(self.dataset, val=few))

        def accuracy_at(scale: float) -> float:
            return float(quick._drawn(space, run, method, np.full(SAMPLES_AT_A_SCALE, scale)).val_accuracies.mean())

        return largest_scale(accuracy_at, floor, min(FIRST_SCALES[method], space.upper), space.upper)

    def spread(self, run: Trajectory, method: str, count: int, largest: float) -> Samples:
        """`count` samples with scales spread over (0, `largest`], denser at small scales.

        The spacing is quadratic, as most of the accuracy is lost over the larger half of the scales. Scales that were
        given are spread as in the authors' notebook: drawn uniformly, or all equal for the low-rank Gaussian.
        """
        scales = largest * np.linspace(0, 1, count + 1)[1:] ** 2
        if method in self.scales:
            share = np.random.default_rng([self.seed, METHODS.index(method)]).uniform(size=count)
            scales = largest * (np.ones(count) if method == "low-rank-gaussian" else share)
        return self.samples(run, method, scales)

    def near(self, run: Trajectory, method: str, count: int, largest: float | None = None) -> Samples:
        """Samples of one run for a study of ensembles: up to `count` that are nearly as accurate as the run.

        The Gaussians are sampled at their natural scale, or the given one, and never rejected. Random directions and
        dropout have no natural scale: their scales are uniform between 0 and `largest`, and samples whose validation
        accuracy is more than `margin` below that of the final solution are rejected; at most `ATTEMPTS` times `count`
        samples are drawn. The result may be empty. There is one `weight-average`. `largest`, for `random-pca` that of
        its random samples, defaults to `scale_at` of the base's accuracy minus the margin.
        """
        if method == "weight-average":
            return self.average(run)
        if method in NATURAL_SCALES:
            iterates = self._iterates(run, method, largest)
            if len(iterates) < 2:
                return self._none(run, method)
            scales = np.full(count, self.scales.get(method, NATURAL_SCALES[method]))
            return self._drawn(self._subspace(method, iterates), run, method, scales)
        floor = self.base_accuracy(run) - self.margin
        largest = self.scale_at(run, method, floor) if largest is None else largest
        if largest == 0:
            return self._none(run, method)
        drawn = []
        for draw in range(ATTEMPTS):
            scales = np.random.default_rng([*self._seed(run, method, draw), 1]).uniform(0, largest, count)
            drawn.append(self.samples(run, method, scales, draw))
            if sum(int((one.val_accuracies >= floor).sum()) for one in drawn) >= count:
                break
        together = _joined(drawn)
        accepted = np.flatnonzero(together.val_accuracies >= floor)[:count]
        kept = together.chosen(accepted)
        # Samples drawn after the last one needed do not count as rejected.
        last = accepted[-1] if len(accepted) == count else len(together) - 1
        return replace(kept, rejected=int(last) + 1 - len(accepted))

    def _none(self, run: Trajectory, method: str) -> Samples:
        return replace(self.checkpoints(run, 1).chosen(np.zeros(0, dtype=int)), method=method)

    def _iterates(self, run: Trajectory, method: str, largest: float | None = None) -> np.ndarray:
        """The iterates that the subspace is made from, see `lib.subspaces.methods.subspace`; `largest` as in `near`."""
        if method == "random-pca":
            # Ignore given scales: the one of the authors' plane reaches far beyond what is accepted.
            return replace(self, scales={}).near(run, "random", PCA_SAMPLES, largest).weights
        return late_iterates(run.weights, self.rank) if SUBSPACES[method].fitted else run.weights[-1:]

    def _subspace(self, method: str, iterates: np.ndarray) -> Subspace:
        if method == "random-pca" and len(iterates) < 2:
            raise ConfigError("random-pca needs two random samples that are accurate enough: use a larger margin")
        return subspace(method, iterates, min(self.rank, max(1, len(iterates) - 1)), self.standardized)

    def _seed(self, run: Trajectory, method: str, draw: int) -> list[int]:
        return [self.seed, METHODS.index(method), run.member.initialization, run.member.order, draw]

    def _drawn(self, space: Subspace, run: Trajectory, method: str, scales: np.ndarray, draw: int = 0) -> Samples:
        weights = space.sample(scales, self._seed(run, method, draw))
        return self._evaluated(run, method, np.asarray(scales, dtype=float), weights)

    def _evaluated(self, run: Trajectory, method: str, scales: np.ndarray, weights: np.ndarray) -> Samples:
        def evaluate() -> dict[str, np.ndarray]:
            statistics = fresh_statistics(self.model, weights, self.dataset.train.images[: self.statistics_images])
            probs = predict(self.model, weights, self.dataset.val.images, statistics)
            return {"statistics": statistics, "val_accuracies": accuracy(probs, self.dataset.val.labels)}

        recipe = {
            "version": VERSION,
            "member": run.member.key,
            "method": method,
            "weights": array_digest(weights),
            "validation_images": len(self.dataset.val.labels),
            "statistics_images": self.statistics_images,
        }
        found = evaluate() if self.store is None else self.store.cached("samples", recipe, evaluate)
        return Samples(method, scales, weights, found["statistics"], found["val_accuracies"])


def given_scales(scales: Sequence[float | None] | None) -> dict[str, float]:
    """Scales by method, from a list in the order of `METHODS`; None, as list or entry, leaves the scale to the sampler.

    Raises `ConfigError` for a list of another length, and for a scale out of a method's range.
    """
    if scales is None:
        return {}
    if len(scales) != len(METHODS):
        raise ConfigError(
            f"scales must be {len(METHODS)}, a number or null for each of {', '.join(METHODS)}, got {scales}"
        )
    given = {method: scale for method, scale in zip(METHODS, scales, strict=True) if scale is not None}
    for method, scale in given.items():
        upper = SUBSPACES[method].upper
        if type(scale) not in (int, float) or not 0 < scale <= upper or scale == math.inf:
            bounds = "above 0" if upper == math.inf else f"above 0 and at most {upper:g}"
            raise ConfigError(f"the scale of {method} must be a number {bounds}, got {scale!r}")
    return {method: float(scale) for method, scale in given.items()}


def _joined(parts: Sequence[Samples]) -> Samples:
    columns = zip(*((part.scales, part.weights, part.statistics, part.val_accuracies) for part in parts), strict=True)
    return Samples(parts[0].method, *map(np.concatenate, columns))
