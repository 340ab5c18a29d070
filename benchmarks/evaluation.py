"""Weight vectors evaluated per second: `lib.models.predict.predict` against a loop as most people write it.

    python benchmarks/evaluation.py

The loop copies one vector after the other into the network (`vector_to_parameters`) and runs batches of 500 images,
normalised beforehand, in PyTorch's usual memory order. Both compute the probabilities of the same weights on the same
images with the same number of threads, and take turns in every round; their outputs are compared. The convolutions and
matrix products alone, one network per thread, are measured in the same rounds: no evaluation in the same arithmetic can
be faster.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import plain
from benchmarks.report import Report, number, say, times_as_fast
from benchmarks.training import floor_step, layer_shapes, normalized
from lib.data.datasets import Dataset, load_dataset, pixel_statistics
from lib.models.networks import Network, build_model
from lib.models.predict import BATCH_SIZE, as_pixels, predict
from lib.models.weights import flatten, flatten_statistics
from lib.run.engines import usable_cores
from lib.training.trainer import one_thread

#: Each network gets one in this many vectors: large networks take longer, and their rate needs fewer.
SHARES = {"small_cnn": 1, "medium_cnn": 20, "resnet20_v1": 20}
#: Network, and how many times as fast as the loop `predict` should be.
TARGET = ("small_cnn", 5)

FLOOR = "convolutions and products alone"


def random_networks(architecture: str, data: Dataset, count: int) -> tuple[Network, np.ndarray]:
    """A model, and `count` weight vectors `(count, P)` at initialisation."""
    models = [
        build_model(architecture, data.image_shape, data.num_classes, generator=torch.Generator().manual_seed(seed))
        for seed in range(count)
    ]
    model = models[0].set_pixel_statistics(*pixel_statistics(data, "standardize"))
    return model, np.stack([flatten(one) for one in models])


def floor_seconds(model: Network, pixels: np.ndarray, cores: int) -> float:
    """Seconds for the convolutions and products of one network on images, shared by `cores` cores: a lower bound.

    One thread is timed; the other cores are assumed to be equally fast at the same time.
    """
    batch = as_pixels(pixels[: BATCH_SIZE["cpu"]])
    with one_thread():
        model.eval()
        step = floor_step(layer_shapes(model.layers, model.normalize(batch)), torch.float32, backward=False)
        step()  # to warm up
        start = time.perf_counter()
        for _ in range(-(-len(pixels) // len(batch))):
            step()
        return (time.perf_counter() - start) / cores


def main(
    vectors: Annotated[int, typer.Option(help="Weight vectors of small_cnn; other networks get fewer.")] = 200,
    images: Annotated[int, typer.Option(help="Number of test images.")] = 2000,
    dataset: Annotated[str, typer.Option(help="A name of lib.data.datasets.DATASETS.")] = "fashion_mnist_mini",
    architecture: Annotated[list[str], typer.Option(help="May be given several times.")] = list(SHARES),  # noqa: B006
    rounds: Annotated[int, typer.Option(help="Number of rounds.")] = 5,
    output: Annotated[Path | None, typer.Option(help="File of the results; default: results/evaluation.json.")] = None,
) -> None:
    """Weight vectors evaluated per second: `predict` against a loop as most people write it."""
    torch.set_num_threads(usable_cores())
    data = load_dataset(dataset)
    pixels = data.test.images[:images]
    inputs = normalized(pixels, data)
    options = {"vectors": vectors, "images": images, "dataset": data.name, "architecture": architecture}
    report = Report("evaluation", "evaluation", options, rounds)
    for name in architecture:
        count = max(1, vectors // SHARES.get(name, 20))
        model, weights = random_networks(name, data, count)
        statistics = np.tile(flatten_statistics(model), (count, 1))
        if statistics.size == 0:
            statistics = None
        naive = plain.network(name, data.image_shape, data.num_classes)
        ways = {
            "predict": lambda model=model, weights=weights, statistics=statistics: predict(
                model, weights, pixels, statistics
            ),
            "naive loop": lambda naive=naive, weights=weights: plain.predict(naive, weights, inputs),
        }
        seconds: dict[str, list[float]] = {way: [] for way in (*ways, FLOOR)}
        probs = {}
        for turn in range(rounds):
            for way, call in ways.items():
                if turn == 0:
                    probs[way] = call()  # to warm up, too
                start = time.perf_counter()
                call()
                seconds[way].append(time.perf_counter() - start)
                say(f"round {turn + 1} of {rounds}, {name}, {way}: {seconds[way][-1]:.2f} s")
            seconds[FLOOR].append(count * floor_seconds(model, pixels, usable_cores()))
        case = f"{name}, {count} vectors, {len(pixels)} images"
        for way, taken in seconds.items():
            ratio = times_as_fast(taken, seconds["naive loop"])
            report.add(case, way, "vectors/s", [count / one for one in taken], ratio=ratio)
        apart = float(np.abs(probs["predict"] - probs["naive loop"]).max())
        report.add(case, "largest difference between the two", "probability", [apart])
        if name == TARGET[0]:
            ratio = times_as_fast(seconds["predict"], seconds["naive loop"])
            report.target(f"{name}, predict, times as fast as the naive loop", ratio, at_least=TARGET[1])
            bound = times_as_fast(seconds[FLOOR], seconds["naive loop"])
            report.note(
                f"For {name} the convolutions and products alone are {number(bound)} times as fast as the naive loop: "
                "on this processor no evaluation that computes them as PyTorch does, in float32, can be faster."
            )
    report.note(f"Baseline: the naive loop, batches of 500, {usable_cores()} threads.")
    report.finish(output)


if __name__ == "__main__":
    typer.run(main)
