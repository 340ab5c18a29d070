"""Make fashion_mnist_mini.npz from the four official IDX files.

    python lib/assets/make_fashion_mnist_mini.py SOURCE_FOLDER [TARGET]

A seeded sample of each class, shuffled. The same numpy and zlib give the same bytes, because numpy writes a fixed
date into the zip archive. See README.md beside this file.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from lib.data.datasets import MINI_FILE
from lib.data.formats import read_fashion_mnist

SEED = 1912_02757  # the paper's arXiv number
TRAIN_PER_CLASS, VAL_PER_CLASS, TEST_PER_CLASS = 1000, 200, 500


def choose(labels: np.ndarray, per_class: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Return disjoint, shuffled index arrays, the i-th with per_class[i] examples of every class."""
    ends = np.cumsum(per_class)
    orders = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return [
        rng.permutation(np.concatenate([order[end - count : end] for order in orders]))
        for end, count in zip(ends, per_class, strict=True)
    ]


def main(source: Path, target: Path) -> None:
    """Write the file and print its SHA-256, which README.md repeats."""
    raw = read_fashion_mnist(source)
    rng = np.random.default_rng(SEED)
    train, val = choose(raw.train[1], (TRAIN_PER_CLASS, VAL_PER_CLASS), rng)
    (test,) = choose(raw.test[1], (TEST_PER_CLASS,), rng)
    arrays = {}
    parts = {"train": (raw.train, train), "val": (raw.train, val), "test": (raw.test, test)}
    for split, ((images, labels), chosen) in parts.items():
        arrays[f"x_{split}"] = images[chosen, :, :, 0]
        arrays[f"y_{split}"] = labels[chosen].astype(np.uint8)
    np.savez_compressed(target, **arrays)
    print(f"{target}: {target.stat().st_size} bytes, SHA-256 {hashlib.sha256(target.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python lib/assets/make_fashion_mnist_mini.py SOURCE_FOLDER [TARGET]")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else MINI_FILE)
