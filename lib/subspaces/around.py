"""Samples around each of several runs, and their combined predictions.

    runs → samples_of_runs, spread_of_runs → within_runs → lib.metrics.ensembles

The samples around a run are averaged first, so that each method has one prediction per run, and an ensemble of any
method is a mean over runs. Probabilities are averaged, not logits, and all runs have the same weight.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from lib import metrics
from lib.models.networks import Network
from lib.models.predict import predict
from lib.run.progress import PATIENCE, progress
from lib.subspaces.methods import NATURAL_SCALES, SUBSPACES
from lib.subspaces.samples import Sampler, Samples
from lib.training.trainer import Trajectory


def samples_of_runs(
    sampler: Sampler, runs: Sequence[Trajectory], methods: Iterable[str], count: int
) -> dict[str, list[Samples]]:
    """Up to `count` samples of each method around each run, drawn and rejected by `Sampler.near`.

    The largest scale of methods without a natural one, such as random directions, is found around the first run and
    used for all of them, as the authors use one scale for all runs; each run rejects samples by its own validation
    accuracy.
    """
    floor = sampler.base_accuracy(runs[0]) - sampler.margin

    def around_all(method: str) -> Iterator[Samples]:
        scaled = "random" if method == "random-pca" else method
        searched = scaled in SUBSPACES and scaled not in NATURAL_SCALES
        largest = sampler.scale_at(runs[0], scaled, floor) if searched else None
        return (sampler.near(run, method, count, largest) for run in runs)

    return _shown(around_all, methods, len(runs))


def spread_of_runs(
    sampler: Sampler, runs: Sequence[Trajectory], methods: Iterable[str], count: int, share: float
) -> dict[str, list[Samples]]:
    """`count` samples of each method around each run, with scales spread from 0 to the largest; none is rejected.

    The largest scale is where samples around the first run keep a `share` of its validation accuracy on average; it is
    used for all runs.
    """

    def around_all(method: str) -> Iterator[Samples]:
        largest = sampler.scale_at(runs[0], method, share * sampler.base_accuracy(runs[0]))
        return (sampler.spread(run, method, count, largest) for run in runs)

    return _shown(around_all, methods, len(runs))


def _shown(
    around_all: Callable[[str], Iterator[Samples]], methods: Iterable[str], num_runs: int
) -> dict[str, list[Samples]]:
    """The samples of each method around all runs; shows progress while drawing them."""
    methods, samples = list(methods), {}
    with progress("sampling", len(methods) * num_runs, "sample set", delay=PATIENCE) as tell:
        for method in methods:
            samples[method] = []
            for own in around_all(method):
                samples[method].append(own)
                tell(sum(map(len, samples.values())))
    return samples


def complete(samples: Mapping[str, Sequence[Samples]], count: int = 1) -> dict[str, Sequence[Samples]]:
    """The methods that have at least `count` samples around every run; for the weight average one is enough.

    Other methods are left out entirely: means over different sets of runs could not be compared.
    """
    needed = {method: 1 if method == "weight-average" else count for method in samples}
    return {method: own for method, own in samples.items() if all(len(one) >= needed[method] for one in own)}


def samples_table(samples: Mapping[str, Sequence[Samples]], names: Mapping[str, str]) -> pd.DataFrame:
    """A table for a page of how many samples each method kept and rejected; `names` are display names."""
    rows = []
    for method, own in samples.items():
        scales = np.concatenate([one.scales for one in own])
        accuracies = np.concatenate([one.val_accuracies for one in own])
        rows.append(
            {
                "method": names[method],
                "kept": len(scales),
                "rejected": sum(one.rejected for one in own),
                "runs without any": sum(len(one) == 0 for one in own),
                "largest scale": f"{scales.max():.3g}" if scales.any() else "–",
                "mean validation accuracy": f"{accuracies.mean():.3f}" if len(accuracies) else "–",
            }
        )
    return pd.DataFrame(rows)


def within_runs(model: Network, samples: Sequence[Samples], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean prediction of the samples around each of M runs, and how much they differ.

    `samples` are of one method, one entry per run, none of them empty; images are uint8 `(n, H, W, C)`. Returns the
    mean of the probabilities within each run, float32 `(M, n, K)`, and their Jensen-Shannon divergence within each run
    per example, in nats, float32 `(M, n)`: 0 for a single sample. The weights of `model` are overwritten.
    """
    sizes = [len(one) for one in samples]
    # One call for all runs, so that networks evaluated in parallel keep the cores busy.
    weights = np.concatenate([one.weights for one in samples])
    statistics = np.concatenate([one.statistics for one in samples])
    runs = np.split(predict(model, weights, images, statistics), np.cumsum(sizes)[:-1])
    mean = np.stack([probs.mean(axis=0) for probs in runs])
    divergence = np.stack([metrics.jensen_shannon_by_example(probs) for probs in runs])
    return mean, divergence.astype(np.float32)


def across_runs(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The results of `within_runs` for one ensemble of networks from different runs.

    `probs (N, n, K)` give the mean `(1, n, K)` and the Jensen-Shannon divergence per example `(1, n)`, float32.
    """
    divergence = metrics.jensen_shannon_by_example(probs)
    return probs.mean(axis=0)[None], divergence[None].astype(np.float32)
