"""Growth of cost with size, step by step, and which step becomes superlinear first.

    python benchmarks/growth.py

Every step is measured at an eighth, a quarter, a half and all of its largest size (training also by network). The slope
of a row is that of log(cost) over log(size) since the previous row, for the fastest rounds, as noise only adds: 1 is
proportional, 2 quadratic. Matrices are of random labels and weights, t-SNE of random probabilities: their cost depends
only on shapes. Memory is the peak that Python and NumPy allocate beyond the input, measured in a separate call.
"""

import math
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import ours
from benchmarks.evaluation import random_networks
from benchmarks.report import Report, number, say
from lib.config import Experiment
from lib.data.datasets import Dataset, load_dataset
from lib.metrics import cosine_similarity, disagreement
from lib.models.networks import build_model
from lib.models.predict import predict
from lib.models.weights import flatten
from lib.plots.embedding import tsne
from lib.run.engines import usable_cores

NETWORKS = ("small_cnn", "resnet8_v1", "medium_cnn")  # ordered by number of weights

#: Name of the step, unit of its size, and calls by size; their inputs are prepared beforehand.
Step = tuple[str, str, list[tuple[int, Callable[[], object]]]]


def sizes(largest: int, least: int = 1) -> list[int]:
    """An eighth, a quarter, a half and all of the largest size, without those below `least`."""
    return [size for size in (largest // 8, largest // 4, largest // 2, largest) if size >= least]


def training_steps(dataset: str, members: int, epochs: int) -> Iterator[Step]:
    """Ensembles trained on the default path: by members, by epochs and by network."""

    def call(**settings) -> Callable[[], object]:
        experiment = Experiment.from_preset("quick", dataset=dataset, **settings)
        return lambda: ours.train(experiment)

    small = {"architecture": "small_cnn"}
    yield (
        "train, 2 epochs of small_cnn",
        "members",
        [(size, call(num_members=size, epochs=2, **small)) for size in sizes(members)],
    )
    cores = usable_cores()
    yield (
        f"train, {cores} members of small_cnn",
        "epochs",
        [(size, call(num_members=cores, epochs=size, **small)) for size in sizes(epochs)],
    )
    data = load_dataset(dataset)
    weights = {name: len(flatten(build_model(name, data.image_shape, data.num_classes))) for name in NETWORKS}
    yield (
        f"train, {cores} members, 1 epoch: {', '.join(NETWORKS)}",
        "weights P",
        [(weights[name], call(num_members=cores, epochs=1, architecture=name)) for name in NETWORKS],
    )


def reading_steps(data: Dataset, vectors: int, checkpoints: int, points: int, images: int) -> Iterator[Step]:
    """Computations on trained weights: predictions, matrices and maps."""
    rng = np.random.default_rng(0)
    pixels = data.test.images[:images]
    model, sampled = random_networks("small_cnn", data, vectors)
    yield (
        f"predict of small_cnn, {len(pixels)} images",
        "sampled vectors",
        [(size, lambda size=size: predict(model, sampled[:size], pixels)) for size in sizes(vectors)],
    )
    labels = rng.integers(0, data.num_classes, (checkpoints, len(pixels)))
    yield (
        f"disagreement matrix, {len(pixels)} images",
        "checkpoints N",
        [(size, lambda size=size: disagreement(labels[:size])) for size in sizes(checkpoints)],
    )
    weights = rng.normal(size=(checkpoints, sampled.shape[1])).astype(np.float32)
    yield (
        f"cosine matrix, P = {sampled.shape[1]}",
        "checkpoints N",
        [(size, lambda size=size: cosine_similarity(weights[:size])) for size in sizes(checkpoints)],
    )
    flat = weights.reshape(-1)
    wide = [len(flat) // 32 // part for part in (8, 4, 2, 1)]
    yield (
        "cosine matrix, N = 32",
        "weights P",
        [(size, lambda size=size: cosine_similarity(flat[: 32 * size].reshape(32, size))) for size in wide if size],
    )
    logits = rng.normal(size=(points, len(pixels), data.num_classes)).astype(np.float32)
    probs = np.exp(logits)
    probs /= probs.sum(axis=2, keepdims=True)
    yield (
        f"t-SNE, {len(pixels)} images",
        "checkpoints N",
        [(size, lambda size=size: tsne(probs[:size])) for size in sizes(points, least=3)],
    )


def peak_memory(call: Callable[[], object]) -> float:
    """Peak memory in MB that a call allocates beyond what was allocated before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def slope(small: tuple[int, float], large: tuple[int, float]) -> float:
    """Slope of log(cost) over log(size) between two pairs (size, cost)."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


def main(
    dataset: Annotated[str, typer.Option(help="A name of lib.data.datasets.DATASETS.")] = "fashion_mnist_mini",
    members: Annotated[int, typer.Option(help="Members of the largest ensemble.")] = 8,
    epochs: Annotated[int, typer.Option(help="Epochs of the longest training.")] = 8,
    vectors: Annotated[int, typer.Option(help="Largest number of sampled vectors.")] = 200,
    checkpoints: Annotated[int, typer.Option(help="Checkpoints in the largest matrices.")] = 1000,
    points: Annotated[int, typer.Option(help="Points in the largest t-SNE.")] = 500,
    images: Annotated[int, typer.Option(help="Number of test images.")] = 2000,
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 3,
    output: Annotated[Path | None, typer.Option(help="File of the results; default: results/growth.json.")] = None,
) -> None:
    """Growth of cost with size, step by step, and which step becomes superlinear first."""
    torch.set_num_threads(usable_cores())
    data = load_dataset(dataset)
    options = {"dataset": data.name, "members": members, "epochs": epochs, "vectors": vectors}
    options |= {"checkpoints": checkpoints, "points": points, "images": images}
    report = Report("growth", "growth", options, rounds)
    ours.warm_up(Experiment.from_preset("quick", dataset=dataset))
    last: dict[str, float] = {}
    for step, unit, calls in [
        *training_steps(dataset, members, epochs),
        *reading_steps(data, vectors, checkpoints, points, images),
    ]:
        calls[0][1]()  # to warm up
        taken: dict[int, list[float]] = {size: [] for size, _ in calls}
        for turn in range(rounds):
            for size, call in calls:
                start = time.perf_counter()
                call()
                taken[size].append(time.perf_counter() - start)
            say(f"round {turn + 1} of {rounds}, {step}, by {unit}: {sum(times[-1] for times in taken.values()):.2f} s")
        before = None
        for size, times in taken.items():
            now = (size, min(times))
            rise = slope(before, now) if before else None
            report.add(step, f"{unit} = {size}", "s", times, slope=rise)
            if rise is not None:
                last[f"{step}, by {unit}"] = rise
            before = now
        if unit == "checkpoints N":
            before = None
            for size, call in calls:
                now = (size, peak_memory(call))
                report.add(f"{step}: memory", f"{unit} = {size}", "MB", [now[1]], slope=before and slope(before, now))
                before = now
            n = calls[-1][0]
            report.note(f"{step}: N × N numbers in float64 are {number(n * n * 8 / 1e6)} MB at N = {n}.")
    first = max(last, key=last.get)
    report.note(f"Bends upward first: {first}, with slope {last[first]:.2f} at its largest size.")
    report.finish(output)


if __name__ == "__main__":
    typer.run(main)
