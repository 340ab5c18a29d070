"""t-SNE keeps neighbours together, and is repeatable."""

import numpy as np

from lib.plots.embedding import tsne


def two_groups() -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = np.repeat([[0.9, 0.1], [0.1, 0.9]], 8, axis=0)[:, None, :]
    return (centers + 0.01 * rng.normal(size=(16, 20, 2))).astype(np.float32)


def test_tsne_separates_groups():
    points = tsne(two_groups())
    assert points.shape == (16, 2)
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert np.array_equal(distances.argmin(axis=1) // 8, np.arange(16) // 8)


def test_tsne_repeats_with_its_seed():
    assert np.array_equal(tsne(two_groups(), seed=1), tsne(two_groups(), seed=1))
