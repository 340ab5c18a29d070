"""Pairs of networks: which share what, and how different they are on paper."""

import numpy as np
import pytest
from helpers import experiment

from lib import metrics
from lib.errors import ConfigError
from lib.findings import pairs
from lib.findings.pairs import Pairs

TARGETS = np.array([0, 1, 2, 3])
# Right on 4, 3, 2 and 3 of the four images.
LABELS = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 3, 0], [1, 1, 2, 3]])


def as_set(chosen):
    return {frozenset(pair) for pair in zip(*(one.tolist() for one in chosen), strict=True)}


# Measures


def test_disagreements_are_those_of_metrics():
    compared = Pairs(LABELS, TARGETS)
    np.testing.assert_allclose(compared.disagreements(), metrics.disagreement(LABELS))
    images = np.array([3, 3, 0])
    np.testing.assert_allclose(compared.disagreements(images), metrics.disagreement(LABELS[:, images]))
    assert (compared.networks, compared.images) == (4, 4)


def test_diversities_are_the_mean_of_both_directions():
    labels = np.random.default_rng(0).integers(0, 4, (3, 50))
    targets = np.random.default_rng(1).integers(0, 4, 50)
    compared = Pairs(labels, targets).diversities()
    for i, j in ((0, 1), (1, 2), (2, 0)):
        both = [metrics.normalized_diversity(labels[a], labels[b], targets) for a, b in ((i, j), (j, i))]
        assert compared[i, j] == pytest.approx(np.mean(both), rel=1e-5)


def test_diversities_by_hand():
    compared = Pairs(LABELS, TARGETS).diversities()
    assert compared[1, 2] == pytest.approx(0.25 * (1 / 0.25 + 1 / 0.5) / 2)
    assert compared[1, 3] == pytest.approx(0.5 / 0.25)
    assert compared[1, 1] == 0
    assert np.isnan(compared[0]).all()  # without errors


@pytest.mark.parametrize(("labels", "targets"), [(LABELS[0], TARGETS), (LABELS, TARGETS[:3])])
def test_pairs_of_the_wrong_shape_raise(labels, targets):
    with pytest.raises(ValueError, match=r"labels and targets: expected shapes \(N, n\) and \(n,\), received"):
        Pairs(labels, targets)


def test_mean_of_no_pair_is_nan():
    nothing = np.array([], int)
    assert np.isnan(pairs.mean_of(np.eye(2), (nothing, nothing)))


# Sources


def test_of_source_shares_what_it_says():
    """Seeds of each network: (initial weights, order)."""
    seeds = [(0, 0), (1, 0), (2, 0), (0, 0), (0, 1), (0, 2)]
    everyone = np.arange(3)
    differ = {"initialization": (True, False), "order": (False, True), "both": (True, True)}
    assert tuple(differ) == ("initialization", "order", "both")
    for source, expected in differ.items():
        found = as_set(pairs.of_source(source, everyone, 3))
        assert len(found) == {"initialization": 3, "order": 3, "both": 4}[source]
        for one, other in map(tuple, found):
            assert tuple(a != b for a, b in zip(seeds[one], seeds[other], strict=True)) == expected


def test_of_source_in_a_resample_has_the_members_that_were_drawn():
    members = np.array([2, 0, 2])
    assert as_set(pairs.of_source("initialization", members, 3)) == {frozenset((0, 2))}
    assert as_set(pairs.of_source("order", members, 3)) == {frozenset((3, 5))}
    first, second = pairs.of_source("both", members, 3)
    assert (first.tolist(), second.tolist()) == ([2] * 4, [5] * 4)
    assert len(pairs.of_source("both", np.array([0, 0, 0]), 3)[0]) == 0


def test_of_source_unknown_raises():
    with pytest.raises(ValueError, match="source: expected initialization, order or both, received 'none'"):
        pairs.of_source("none", np.arange(2), 2)


def test_by_source_has_values_and_intervals():
    rng = np.random.default_rng(0)
    labels, targets = rng.integers(0, 3, (6, 40)), rng.integers(0, 3, 40)
    labels[3] = labels[0]  # the same network, first of both halves
    found = pairs.by_source({0.1: Pairs(labels, targets)})
    assert list(found) == list(pairs.MEASURES)
    disagreement = metrics.disagreement(labels)
    for source in pairs.SOURCES:
        estimate = found["fraction of labels that differ"][source][0.1]
        assert estimate.value == pytest.approx(disagreement[pairs.of_source(source, np.arange(3), 3)].mean())
        assert estimate.low < estimate.high
        own = pairs.diversity_from(source, Pairs(labels, targets), np.arange(3), np.arange(40))
        assert found["normalised diversity"][source][0.1].value == pytest.approx(own)


def test_learning_rates_of_the_protocol_are_the_range_of_the_paper():
    assert pairs.learning_rates(experiment(), None) == pytest.approx([4e-4, 8e-4, 1.6e-3])
    assert pairs.learning_rates(experiment(), [0.1, 0.01, 0.1]) == [0.01, 0.1]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([0.1], r"learning_rates must be at least two different ones, got \[0.1\]"),
        ([], r"learning_rates must be at least two different ones, got \[\]"),
        ([0.1, "high"], "learning_rate must be a number at least 0, got 'high'"),
    ],
)
def test_learning_rates_not_allowed_are_one_line(given, line):
    with pytest.raises(ConfigError, match=f"^{line}$"):
        pairs.learning_rates(experiment(), given)


# Chains


def test_pairs_of_chains():
    """Three chains of two cycles: networks 0 and 1, 2 and 3, 4 and 5."""
    everyone = np.arange(3)
    assert as_set(pairs.within_chains(everyone, 2)) == {frozenset(pair) for pair in ((0, 1), (2, 3), (4, 5))}
    between = {frozenset(pair) for pair in ((0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5))}
    assert as_set(pairs.between_chains(everyone, 2)) == between
    assert len(pairs.within_chains(everyone, 3)[0]) == 9
    assert len(pairs.between_chains(np.array([1, 1]), 2)[0]) == 0
    assert len(pairs.within_chains(everyone, 1)[0]) == 0


def test_chain_gap_by_hand():
    matrix = np.full((4, 4), 0.9)
    matrix[[0, 2], [1, 3]] = matrix[[1, 3], [0, 2]] = 0.2, 0.4  # within the two chains
    matrix[[0, 1], [2, 3]] = matrix[[2, 3], [0, 1]] = 0.5, 0.7  # between them, after as many cycles
    assert pairs.chain_gap(matrix, np.arange(2), 2) == pytest.approx(0.6 - 0.3)
    assert np.isnan(pairs.chain_gap(matrix, np.array([1, 1]), 2))
