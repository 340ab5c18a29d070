"""Numbers beside those of the claims, against answers worked out by hand."""

import numpy as np
import pytest

from lib.findings import estimates
from lib.metrics.comparison import Points

#: Each of two runs is sure of one image and wrong about the other; their mean is right about both.
PROBS = np.array([[[0.8, 0.2], [0.4, 0.6]], [[0.4, 0.6], [0.8, 0.2]]], np.float32)
TARGETS = np.array([0, 0])


def value(table, number, **which):
    for name, wanted in (which | {"number": number}).items():
        table = table[table[name] == wanted]
    return table["value"].item()


def test_accuracy_disagreement_and_cosine_of_solutions():
    found = estimates.of_solutions({"net": PROBS.argmax(-1)}, TARGETS, {"net": np.eye(2)})
    numbers = {"accuracy": 0.5, "disagreement": 1, "disagreement per error": 2, "cosine": 0}
    assert {name: value(found, name) for name in numbers} == pytest.approx(numbers)


def test_scores_of_ensembles_by_size():
    found = estimates.of_ensembles({"independent": PROBS}, TARGETS, severity=3)
    assert value(found, "accuracy", size=1) == 0.5
    assert value(found, "accuracy", size=2, severity=3) == 1
    assert value(found, "Brier score", size=1) == pytest.approx((0.08 + 0.72) / 2)
    assert value(found, "negative log-likelihood", size=2) == pytest.approx(-np.log(0.6))
    assert value(found, "calibration error", size=2) == pytest.approx(0.4)


def test_images_that_stand_under_several_corruptions_vary_together():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), (5, 40)).astype(np.float32)
    targets = rng.integers(3, size=40)
    once = estimates.of_ensembles({"independent": probs}, targets)
    twice = estimates.of_ensembles(
        {"independent": np.concatenate([probs, probs], axis=1)}, np.tile(targets, 2), np.tile(np.arange(40), 2)
    )
    np.testing.assert_allclose(once[["value", "low", "high"]], twice[["value", "low", "high"]], rtol=1e-5)


def test_divergence_of_independent_solutions_and_within_runs():
    found = estimates.of_divergence(np.eye(2, dtype=np.float32)[:, None], {"random": np.array([[0.1], [0.3]])}, size=2)
    assert value(found, "divergence", method="independent") == pytest.approx(np.log(2))
    assert value(found, "divergence", method="random") == pytest.approx(0.2)


def test_where_samples_reach_the_diversity_of_independent_solutions():
    around = Points(np.array([0.699, 0.65, 0.5]), np.array([0.1, 0.28, 0.45]), 0.7, 10)
    independent = Points(np.array([0.7]), np.array([0.3]), 0.7, 10)
    found = estimates.of_planes({("net", "random"): around, ("net", "independent"): independent})
    assert value(found, "largest accuracy at a diversity of 0.8") == 0.65
    assert value(found, "largest diversity within a point of the base") == pytest.approx(0.1 / 0.301)
