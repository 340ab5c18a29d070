"""Chains and their cycles: which pairs belong to one chain, and distances worked out by hand."""

import numpy as np
import pytest
from helpers import as_set

from lib import metrics
from lib.findings.sgmcmc import between_chains, diversities, ensembles, less_diverse, pairs, within_chains

EVERYONE = np.arange(3)


def test_pairs_of_chains():
    """Three chains of two cycles: networks 0 and 1, 2 and 3, 4 and 5."""
    assert as_set(within_chains(EVERYONE, 2)) == {frozenset(pair) for pair in ((0, 1), (2, 3), (4, 5))}
    between = {frozenset(pair) for pair in ((0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5))}
    assert as_set(between_chains(EVERYONE, 2)) == between
    assert len(within_chains(EVERYONE, 3)[0]) == 9
    assert as_set(between_chains(np.array([0, 2]), 2)) == {frozenset((0, 4)), frozenset((1, 5))}
    assert len(within_chains(EVERYONE, 1)[0]) == 0


#: Top labels of two chains of two cycles on ten images. Cycles of a chain differ on 2 and 4 of them, the chains on 6
#: after the first cycle and on 8 after the second.
FIRST = np.zeros(10, int)
LABELS = np.array(
    [
        [FIRST, np.where(np.arange(10) < 2, 1, FIRST)],
        [np.where(np.arange(10) < 6, 2, FIRST), np.array([2, 2, 2, 2, 2, 2, 3, 3, 3, 3])],
    ]
)
TARGETS = np.array([1, 1, 2, 2, 0, 0, 0, 0, 4, 4])
NETWORKS = LABELS.reshape(4, 10)


def test_less_diverse_by_hand():
    disagreement = metrics.disagreement(NETWORKS)
    assert disagreement[[0, 2], [1, 3]].tolist() == [0.2, 0.4]
    found = less_diverse(LABELS)
    assert (found.members, found.images) == (2, 10)
    assert found.value == pytest.approx(disagreement[[0, 1], [2, 3]].mean() - 0.3)


def test_diversities_are_of_both_kinds_of_pairs():
    values = diversities({"small_cnn": LABELS}, TARGETS)
    assert list(values) == ["small_cnn\ncycles of one chain", "small_cnn\nindependent runs"]
    for own, chosen in zip(values.values(), (((0, 1), (2, 3)), ((0, 2), (1, 3))), strict=True):
        for value, (a, b) in zip(own, chosen, strict=True):
            both = [metrics.normalized_diversity(NETWORKS[i], NETWORKS[j], TARGETS) for i, j in ((a, b), (b, a))]
            assert value == pytest.approx(np.mean(both), rel=1e-5)


def test_pairs_have_a_row_a_kind():
    weights = np.array([[[1.0, 0], [1, 0]], [[0, 2], [0, 3]]])
    table = pairs({"small_cnn": weights}, {"small_cnn": LABELS}, TARGETS)
    assert table["pairs of"].tolist() == ["cycles of one chain", "independent runs"]
    assert table["pairs"].tolist() == [2, 2]
    assert table["cosine"].tolist() == ["1.000 ± 0.000", "0.000 ± 0.000"]
    assert table["disagreement"].tolist() == ["0.300 ± 0.100", "0.800 ± 0.200"]


def test_ensembles_are_of_cycles_and_of_as_many_chains():
    probs = np.eye(5)[LABELS]  # (2 chains, 2 cycles, 10 images, 5 classes)
    # The first cycle of the first chain is undecided; that of the second chain is right and surer than its second.
    probs[0, 0], probs[1, 0], probs[1, 1] = 0.2, np.eye(5)[TARGETS], 0.5 * probs[1, 1] + 0.1
    (row,) = ensembles({"small_cnn": probs}, TARGETS).to_dict("records")
    first, second = np.mean(LABELS[:, 1] == TARGETS, axis=1)
    assert first != second
    assert row == {
        "network": "small_cnn",
        "one network": f"{(first + second) / 2:.4f}",
        "2 cycles of a chain": f"{(first + 1) / 2:.4f}",
        "independent runs": 2,
        "ensemble of these": f"{first:.4f}",  # the first chain is surer than the second
    }
