"""Where diversity comes from: which pairs share what, and their means on paper."""

import numpy as np
import pytest
from helpers import experiment

from lib import metrics
from lib.errors import ConfigError
from lib.findings import randomness
from lib.findings.randomness import MEASURES, SOURCES, by_rate, differences, learning_rates, of_source
from lib.metrics.comparison import Pairs

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 3, 40)
#: Of two learning rates, two families, three members and 40 images.
LABELS = RNG.integers(0, 3, (2, 2, 3, 40))
LABELS[:, 1, 0] = LABELS[:, 0, 0]  # the same network, first of both families
EVERYONE, ALL = np.arange(3), np.arange(40)


def as_set(chosen):
    return {frozenset(pair) for pair in zip(*(one.tolist() for one in chosen), strict=True)}


def mean_diversity(rate, source, members=EVERYONE, images=ALL):
    matrix = Pairs(LABELS[rate].reshape(6, 40), TARGETS).diversities(images)
    return matrix[of_source(source, members, 3)].mean()


def test_of_source_shares_what_it_says():
    """Seeds of each network: (initial weights, order)."""
    seeds = [(0, 0), (1, 0), (2, 0), (0, 0), (0, 1), (0, 2)]
    differ = {"initialization": (True, False), "order": (False, True), "both": (True, True)}
    for source, expected in differ.items():
        found = as_set(of_source(source, EVERYONE, 3))
        assert len(found) == {"initialization": 3, "order": 3, "both": 4}[source]
        for one, other in map(tuple, found):
            assert tuple(a != b for a, b in zip(seeds[one], seeds[other], strict=True)) == expected


def test_of_source_has_the_members_that_count():
    members = np.array([2, 0, 2])
    assert as_set(of_source("initialization", members, 3)) == {frozenset((0, 2))}
    assert as_set(of_source("order", members, 3)) == {frozenset((3, 5))}
    first, second = of_source("both", members, 3)
    assert (first.tolist(), second.tolist()) == ([2] * 4, [5] * 4)
    assert len(of_source("both", np.array([0, 0, 0]), 3)[0]) == 0


@pytest.mark.parametrize("images", [ALL, np.array([3, 3, *range(20)])])
def test_claims_are_margins_of_mean_diversity(images):
    members = np.array([0, 2, 1, 2])
    for claim, more, less in (("initialisation", "initialization", "order"), ("both", "both", "initialization")):
        statistic = getattr(randomness, claim)(LABELS, TARGETS)
        assert (statistic.members, statistic.images) == (3, 40)
        margins = [mean_diversity(r, more, members, images) - mean_diversity(r, less, members, images) for r in (0, 1)]
        assert statistic.function(members, images) == pytest.approx(np.mean(margins))
    grown = mean_diversity(1, "order", members, images) - mean_diversity(0, "order", members, images)
    assert randomness.rate(LABELS, TARGETS).function(members, images) == pytest.approx(grown)


def test_deterministic_is_a_count():
    same = LABELS[0, 0, 0]
    assert randomness.deterministic(np.stack([same, same])).function() == 0
    other = np.where(np.arange(40) < 10, 9, same)
    assert randomness.deterministic(np.stack([same, other])).function() == 0.25


def test_differences_have_values_and_intervals():
    labels = LABELS[:1]
    found = differences([0.1], labels, np.stack([labels[0, 0, 0]] * 2), TARGETS)
    assert list(found["measure"].unique()) == list(MEASURES)
    assert list(found["series"].unique()) == list(SOURCES.values())
    assert set(found["learning rate"]) == {0.1}
    disagreement = metrics.disagreement(labels.reshape(6, 40))
    for source in ("both", "initialization", "order"):
        first, second = found[found["series"] == SOURCES[source]].to_dict("records")
        assert first["value"] == pytest.approx(disagreement[of_source(source, EVERYONE, 3)].mean())
        assert second["value"] == pytest.approx(mean_diversity(0, source))
        assert first["low"] < first["high"]
    same = found[found["series"] == "neither"]
    assert same[["value", "low", "high"]].to_numpy().tolist() == [[0, 0, 0]] * 2

    (row,) = by_rate([0.1], labels, TARGETS, found).to_dict("records")
    assert (row["learning rate"], row["mean accuracy"]) == ("0.1", f"{np.mean(labels == TARGETS):.3f}")
    assert row["normalised diversity: order alone"] == f"{mean_diversity(0, 'order'):.3f}"
    assert len(row) == 8


def test_learning_rates_of_the_protocol_are_the_range_of_the_paper():
    assert learning_rates(experiment(), None) == pytest.approx([4e-4, 8e-4, 1.6e-3])
    assert learning_rates(experiment(), [0.1, 0.01, 0.1]) == [0.01, 0.1]


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
        learning_rates(experiment(), given)
