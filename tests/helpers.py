"""Shared helpers: tiny experiments on scikit-learn's digits, and scripts in processes of their own."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.special import softmax

from lib.config import Experiment, MemberConfig
from lib.data.datasets import Dataset, Split, load_dataset
from lib.models.networks import Network, build_model
from lib.models.predict import as_pixels
from lib.models.weights import flatten
from lib.run.files import read_with_digest
from lib.run.store import RunStore
from lib.training.ensemble import train_ensemble

# Networks this small are several times slower with several threads, which wait for each other on busy cores.
torch.set_num_threads(1)

CHECKOUT = Path(__file__).resolve().parents[1]


def commands(texts: Iterable[str], program: str) -> list[str]:
    """The distinct lines in the texts' bash blocks that begin with a program's name."""
    blocks = [block for text in texts for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    lines = dict.fromkeys(line for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith(f"{program} ")]


def notebook(*cells, tags=("parameters",)):
    """The text of a notebook whose first cell has the given tags."""
    made = [
        {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)} if number == 0 else {}}
        for number, source in enumerate(cells)
    ]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


def experiment(**overrides):
    """An experiment of two small_cnn with two epochs, unless overridden."""
    return Experiment.from_preset("smoke", **{"num_members": 2, "epochs": 2} | overrides)


def member(number=0, dataset=None, **overrides) -> MemberConfig:
    """One member of `experiment`."""
    dataset = dataset or load_dataset("digits")
    overrides = {"num_members": number + 1} | overrides
    return experiment(**overrides).members(dataset.name, dataset.content_hash)[number]


def subset(count, dataset="digits") -> Dataset:
    """A dataset with the first `count` images of every split."""
    whole = load_dataset(dataset)
    splits = [Split(split.images[:count], split.labels[:count]) for split in (whole.train, whole.val, whole.test)]
    return Dataset(whole.name, *splits, whole.classes)


def train(root, **overrides):
    """Train `experiment` in this process."""
    return train_ensemble(experiment(**overrides), engine="sequential", store=root)


def write_run(root, config, epochs=None) -> Path:
    """Write a run without training, complete or up to an epoch, and return its folder."""
    run = RunStore(root).run(config)
    for epoch in range((config.epochs if epochs is None else epochs) + 1):
        arrays = {"weights": np.full(3, epoch, np.float32), "statistics": np.zeros(0, np.float32)}
        row = {"epoch": epoch, "train_loss": 0.5 / epoch} if epoch else None
        run.write_epoch(epoch, arrays, {"layer/step": np.ones(2, np.float32)}, row)
    if epochs is None:
        run.finish({"device": "cpu"})
    return run.folder


def assert_same(one, other):
    """Assert that trajectories are the same to the bit, except for the seconds."""
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.member == right.member
        np.testing.assert_array_equal(left.weights, right.weights)
        np.testing.assert_array_equal(left.statistics, right.statistics)
        assert left.history.drop(columns="seconds").equals(right.history.drop(columns="seconds"))


def checkpoints(root):
    """The inode and modification time of every checkpoint file, which change if it is written again."""
    stats = {path: path.stat() for path in Path(root).rglob("epoch_*.safetensors")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def finished_checkpoints(root):
    """The checkpoints that will not be written again: those up to the resume state, or all of a complete run."""
    finished = {}
    for run in RunStore(root).runs():
        found = checkpoints(run.folder)
        if not run.is_complete():
            # Read directly, because resuming a run deletes what a stopped process has half written.
            state = run.folder / "resume.safetensors"
            count = int(read_with_digest(state)[1]["epoch"]) + 1 if state.exists() else 0
            found = {path: found[path] for path in sorted(found)[:count]}
        finished |= found
    return finished


def legend_entries(figure) -> list[str]:
    """The entries of a figure's only legend."""
    (legend,) = figure.legends
    return [text.get_text() for text in legend.texts]


def drawn_points(axes) -> dict[str, np.ndarray]:
    """The points of each method in a panel, by name, taken from its error bars."""
    return {bars.get_label(): bars.lines[0].get_xydata() for bars in axes.containers}


def drawn_bars(axes) -> dict[str, np.ndarray]:
    """Half the length of every error bar, by method name."""
    spans = {one.get_label(): np.array(one.lines[2][0].get_segments()) for one in axes.containers}
    return {name: (own[:, 1, 1] - own[:, 0, 1]) / 2 for name, own in spans.items()}


def processes_of_group(group):
    """The ids of the processes in a group, without zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(number) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def write_image_folder(dataset: Dataset, folder: Path, train: int, test: int) -> Path:
    """Write the first images of a dataset as PNG files in `train/<class>/` and `val/<class>/`; return the folder."""
    for part, split, count in (("train", dataset.train, train), ("val", dataset.test, test)):
        for number, (pixels, label) in enumerate(zip(split.images[:count], split.labels[:count], strict=True)):
            path = folder / part / f"{label:03d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.squeeze()).save(path)
    return folder


def table_rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.strip().splitlines()]


def random_probs(*shape, seed=0, scale=2.0) -> np.ndarray:
    """Random probabilities; the last axis has the classes."""
    logits = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return softmax(logits, axis=-1).astype(np.float32)


def as_set(chosen) -> set[frozenset]:
    """Pairs, given as two arrays of indices, without their order."""
    return {frozenset(pair) for pair in zip(*(one.tolist() for one in chosen), strict=True)}


#: Shape of the images of `model`.
SHAPE = (8, 8, 1)


def model(architecture="small_cnn", seed=0, dropout=0.0) -> Network:
    """A small network of five classes that is not trained."""
    network = build_model(architecture, SHAPE, 5, dropout, torch.Generator().manual_seed(seed))
    return network.set_pixel_statistics(np.full((1, 1, 1), 128.0), np.full((1, 1, 1), 64.0))


def images(count=23, seed=0) -> np.ndarray:
    """Random images for `model`."""
    return np.random.default_rng(seed).integers(256, size=(count, *SHAPE), dtype=np.uint8)


def vectors(count=3, architecture="small_cnn") -> np.ndarray:
    """The weights of several networks `model`."""
    return np.stack([flatten(model(architecture, seed)) for seed in range(count)])


def trained_like(seed=0) -> Network:
    """A network whose BatchNorm statistics differ from those of a new network."""
    network = model("resnet8_v1", seed).train()
    with torch.no_grad():
        for start in range(3):
            network(as_pixels(images(16, seed=start)))
    return network


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << position % 8
    path.write_bytes(content)
