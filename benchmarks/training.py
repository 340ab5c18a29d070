"""Seconds per member and epoch: our trainer, a plain PyTorch loop, torch-uncertainty; and a step and its lower bound.

    python benchmarks/training.py --architecture small_cnn
    python benchmarks/training.py --architecture medium_cnn --epochs 2

Contenders train the same network by the same protocol on the same data and cores, evaluate it on the validation images
after every epoch, and take turns in every round; round r trains with seed r, and its networks are then compared on the
test images. Ours trains one member per core, the default of `train_ensemble`. torch-uncertainty is part of the extra
`bench`: `pip install -e '.[bench]'`.
"""

import importlib.util
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import ours, plain
from benchmarks.report import Report, difference, say, times_as_fast
from lib.config import Experiment, MemberConfig
from lib.data.datasets import Dataset, load_dataset, pixel_statistics
from lib.metrics import accuracy, disagreement, top_labels
from lib.models.predict import as_pixels, predict
from lib.run.engines import open_engine, usable_cores
from lib.training.trainer import build_member_model, build_optimizer, one_thread, train_epoch

OURS, PLAIN, TORCH_UNCERTAINTY = "ours", "plain loop", "torch-uncertainty"

#: How many times as fast as the plain loop and torch-uncertainty, both in float32, ours should be.
TARGETS = {("small_cnn", "float32"): 6, ("medium_cnn", "float32"): 2, ("medium_cnn", "bf16"): 3}
#: The longest time that a training step should take, as a multiple of its floor.
STEP_TARGET = 1.5

PRECISIONS = ["float32", "bf16"]


# The contenders: each returns seconds per member and epoch, and predicted probabilities (members, n, K) on test images


def run_ours(experiment: Experiment, data: Dataset) -> tuple[float, np.ndarray]:
    """One member per core, into a store of its own; workers are already running."""
    ours.warm_up(experiment)
    seconds, trajectories = ours.train(experiment)
    model = build_member_model(trajectories[0].member, data)
    probs = predict(model, np.stack([trajectory.final for trajectory in trajectories]), data.test.images)
    return seconds / (experiment.num_members * experiment.epochs), probs


def run_plain(experiment: Experiment, data: Dataset, precision: str, workers: int) -> tuple[float, np.ndarray]:
    """One member, with all threads."""
    (member, *_) = experiment.members(data.name, data.content_hash)
    start = time.perf_counter()
    model = plain.train(member, data, precision, workers)
    return (time.perf_counter() - start) / experiment.epochs, test_probs(model, data)


def run_torch_uncertainty(experiment: Experiment, data: Dataset, workers: int) -> tuple[float, np.ndarray]:
    """One member, with all threads, by torch-uncertainty's unmodified routine and trainer."""
    from torch_uncertainty import TUTrainer
    from torch_uncertainty.routines import ClassificationRoutine

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    (member, *_) = experiment.members(data.name, data.content_hash)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model = plain.new_network(member, data)
        optimizer, schedule = plain.optimizer_and_schedule(member, model)
        recipe = {"optimizer": optimizer, "lr_scheduler": schedule}
        routine = ClassificationRoutine(model, data.num_classes, nn.CrossEntropyLoss(), optim_recipe=recipe)
        quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = TUTrainer(accelerator="cpu", max_epochs=member.epochs, num_sanity_val_steps=0, **quiet)
        trainer.fit(routine, *plain.loaders(data, member.batch_size, workers))
        seconds = time.perf_counter() - start
    return seconds / experiment.epochs, test_probs(model, data)


def normalized(images: np.ndarray, data: Dataset) -> Tensor:
    """Images as a plain network takes them: normalised, `(n, C, H, W)` in that memory order."""
    shift, scale = pixel_statistics(data, "standardize")
    return torch.tensor((images - shift) / scale).permute(0, 3, 1, 2).contiguous()


def test_probs(model: nn.Module, data: Dataset) -> np.ndarray:
    """A plain network's probabilities on the test images, `(1, n, K)`."""
    weights = nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    return plain.predict(model, weights[None].copy(), normalized(data.test.images, data))


# A step and its floor


def layer_shapes(model: nn.Module, images: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """Every convolution and dense layer of a network with its inputs, in the order of the forward pass."""
    seen = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, _: seen.append((layer, inputs[0].detach().clone())))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return seen


def floor_step(layers: list[tuple[nn.Module, Tensor]], dtype: torch.dtype, backward: bool = True) -> Callable[[], None]:
    """Only the convolutions and matrix products of a step: forward, and the gradients of weights and inputs.

    The images need no gradient, as in training. Without `backward`, the forward part of an evaluation.
    """
    operands = []
    for number, (layer, inputs) in enumerate(layers):
        keep = torch.preserve_format
        inputs, weight, bias = (value.detach().to(dtype, memory_format=keep) for value in (inputs, *layer.parameters()))
        with torch.no_grad():
            outputs = F.conv2d(inputs, weight, bias, layer.stride, layer.padding) if weight.ndim == 4 else None
        gradient = torch.randn_like(outputs) if weight.ndim == 4 else torch.randn(len(inputs), len(weight), dtype=dtype)
        operands.append((layer, inputs, weight, bias, gradient, number > 0))

    @torch.no_grad()
    def step() -> None:
        for layer, inputs, weight, bias, _, _ in operands:
            if weight.ndim == 4:
                F.conv2d(inputs, weight, bias, layer.stride, layer.padding)
            else:
                F.linear(inputs, weight, bias)
        for layer, inputs, weight, _, gradient, needed in reversed(operands) if backward else ():
            if weight.ndim == 4:
                geometry = (layer.stride, layer.padding, layer.dilation, False, [0, 0], 1)
                torch.ops.aten.convolution_backward(
                    gradient, inputs, weight, [len(weight)], *geometry, [needed, True, True]
                )
            else:
                gradient @ weight, gradient.T @ inputs, gradient.sum(dim=0)

    return step


def measure_steps(member: MemberConfig, data: Dataset, rounds: int, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of a whole training step and of its floor, in turns, on one thread; runs in a trainer's worker."""
    with one_thread():
        model = build_member_model(member, data)
        optimizer = build_optimizer(member, model)
        size = member.batch_size
        count = min(steps, len(data.train.labels) // size) * size
        pixels = as_pixels(data.train.images[:count])
        labels = torch.tensor(data.train.labels[:count])
        dtype = torch.bfloat16 if member.precision == "bf16" else torch.float32
        floor = floor_step(layer_shapes(model.eval().layers, model.normalize(pixels[:size])), dtype)
        whole_seconds, floor_seconds = [], []
        for turn in range(rounds + 1):
            start = time.perf_counter()
            train_epoch([member], model, optimizer, pixels, labels, 0)
            between = time.perf_counter()
            for _ in range(count // size):
                floor()
            if turn:  # the first turn is a warm-up
                whole_seconds.append((between - start) / (count // size))
                floor_seconds.append((time.perf_counter() - between) / (count // size))
    return whole_seconds, floor_seconds


# The report


def chosen_contenders(precisions: list[str], workers: int) -> dict[str, Callable]:
    """Name to `(experiment in float32, data) -> (seconds, probs)`, in the order of a round."""
    chosen: dict[str, Callable] = {}
    for precision in precisions:
        chosen[f"{OURS}, {precision}"] = lambda experiment, data, precision=precision: run_ours(
            replace(experiment, precision=precision), data
        )
    for precision in dict.fromkeys(["float32", *precisions]):
        chosen[f"{PLAIN}, {precision}"] = lambda experiment, data, precision=precision: run_plain(
            experiment, data, precision, workers
        )
    if importlib.util.find_spec("torch_uncertainty"):
        chosen[f"{TORCH_UNCERTAINTY}, float32"] = lambda experiment, data: run_torch_uncertainty(
            experiment, data, workers
        )
    return chosen


def add_rounds(report: Report, architecture: str, rounds: dict[str, list[tuple[float, np.ndarray]]], labels) -> None:
    """Rows and targets of the contenders' rounds."""
    seconds = {name: [taken for taken, _ in turns] for name, turns in rounds.items()}
    baseline = seconds[f"{PLAIN}, float32"]
    for name, taken in seconds.items():
        report.add("time of a member and epoch", name, "s", taken, ratio=times_as_fast(taken, baseline))
    scores = {name: [accuracy(probs, labels).mean() for _, probs in turns] for name, turns in rounds.items()}
    for name, score in scores.items():
        more = {} if name == f"{PLAIN}, float32" else {"difference": difference(score, scores[f"{PLAIN}, float32"])}
        report.add("test accuracy", name, "fraction", score, **more)
    apart = {
        name: [disagreement(top_labels(probs))[np.triu_indices(len(probs), 1)].mean() for _, probs in turns]
        for name, turns in rounds.items()
        if len(turns[0][1]) > 1
    }
    for name, values in apart.items():
        reference = apart.get(f"{OURS}, float32")
        more = {} if values is reference or reference is None else {"difference": difference(values, reference)}
        report.add("disagreement of members", name, "fraction", values, **more)
    for (network, precision), least in TARGETS.items():
        mine = f"{OURS}, {precision}"
        for other in (f"{PLAIN}, float32", f"{TORCH_UNCERTAINTY}, float32"):
            if network == architecture and mine in seconds and other in seconds:
                what = f"{network}, {mine}, times as fast as {other}"
                report.target(what, times_as_fast(seconds[mine], seconds[other]), at_least=least)


def add_steps(report: Report, experiment: Experiment, data: Dataset, precision: str, rounds: int, steps: int) -> None:
    """Rows and target of a step and its floor."""
    (member, *_) = replace(experiment, precision=precision).members(data.name, data.content_hash)
    with open_engine("loky", 1, 1) as executor:
        whole, floor = executor.submit(measure_steps, member, data, rounds, steps).result()
    case = f"step of batch {experiment.batch_size}, one thread, {precision}"
    report.add(case, "whole step", "ms", [1000 * value for value in whole])
    report.add(case, "convolutions and products alone", "ms", [1000 * value for value in floor])
    ratio = statistics.median(one / other for one, other in zip(whole, floor, strict=True))
    report.target(f"{experiment.architecture}, {precision}, step in floors", ratio, at_most=STEP_TARGET)


def main(
    architecture: Annotated[str, typer.Option(help="small_cnn or medium_cnn.")] = "small_cnn",
    dataset: Annotated[str, typer.Option(help="A name of lib.data.datasets.DATASETS.")] = "fashion_mnist_mini",
    epochs: Annotated[int, typer.Option(help="Epochs per training.")] = 10,
    rounds: Annotated[int, typer.Option(help="Number of rounds; round r uses seed r.")] = 5,
    precision: Annotated[list[str], typer.Option(help="float32 or bf16; may be given several times.")] = PRECISIONS,
    loader_workers: Annotated[int, typer.Option(help="DataLoader processes; 0 is PyTorch's default.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps per round of the floor; at most one epoch.")] = 78,
    output: Annotated[Path | None, typer.Option(help="Default: results/training_ARCHITECTURE.json.")] = None,
) -> None:
    """Seconds per member and epoch: our trainer, a plain loop, torch-uncertainty; a training step and its floor."""
    if architecture not in plain.CNN_CHANNELS:
        raise typer.BadParameter(f"architecture must be one of {', '.join(plain.CNN_CHANNELS)}, got {architecture!r}")
    if unknown := set(precision) - set(PRECISIONS):
        raise typer.BadParameter(f"precision must be one of {', '.join(PRECISIONS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(usable_cores())
    data = load_dataset(dataset)
    options = {"architecture": architecture, "dataset": data.name, "epochs": epochs, "precision": precision}
    options |= {"loader-workers": loader_workers, "steps": steps}
    report = Report(f"training_{architecture}", "training", options, rounds)
    setting = {"dataset": dataset, "architecture": architecture, "num_members": usable_cores()}
    contenders = chosen_contenders(precision, loader_workers)
    turns: dict[str, list] = {name: [] for name in contenders}
    for turn in range(-1, rounds):
        experiment = Experiment.from_preset("quick", **setting, epochs=1 if turn < 0 else epochs, seed=max(turn, 0))
        for name, run in contenders.items():
            seconds, probs = run(experiment, data)
            say(f"{'warm-up' if turn < 0 else f'round {turn + 1} of {rounds}'}, {name}: {seconds:.3f} s")
            if turn >= 0:
                turns[name].append((seconds, probs))
    add_rounds(report, architecture, turns, data.test.labels)
    for one in precision:
        add_steps(report, experiment, data, one, rounds, steps)
    report.note(
        f"Baseline: the plain loop in float32, DataLoader with {loader_workers} workers, {usable_cores()} threads. "
        f"Ours trains {usable_cores()} members side by side; its accuracy is their mean, its disagreement theirs."
    )
    report.note(f"{len(data.train.labels)} training images, {len(data.val.labels)} for validation, {epochs} epochs.")
    if f"{TORCH_UNCERTAINTY}, float32" not in contenders:
        report.note("torch-uncertainty is not installed and was left out: pip install -e '.[bench]'")
    report.finish(output)


if __name__ == "__main__":
    typer.run(main)
