"""Where diversity comes from: which pairs share what, and their means worked out by hand."""

import numpy as np
import pytest
from helpers import as_set, experiment

from lib import metrics
from lib.errors import ConfigError
from lib.findings import randomness
from lib.findings.randomness import MEASURES, SOURCES, by_rate, differences, learning_rates, of_source
from lib.metrics.comparison import Pairs
from lib.metrics.intervals import count

RNG = np.random.default_rng(0)
TARGETS = RNG.integers(0, 3, 40)
#: Labels for two learning rates, two families, three members and 40 images.
LABELS = RNG.integers(0, 3, (2, 2, 3, 40))
LABELS[:, 1, 0] = LABELS[:, 0, 0]  # the same network is the first of both families
EVERYONE = np.arange(3)


def mean_diversity(rate, source):
    matrix = Pairs(LABELS[rate].reshape(6, 40), TARGETS).diversities(np.arange(40))
    return matrix[of_source(source, EVERYONE, 3)].mean()


def test_of_source_shares_what_it_says():
    """Pairs differ in the expected seeds; those of a network are (initial weights, order)."""
    seeds = [(0, 0), (1, 0), (2, 0), (0, 0), (0, 1), (0, 2)]
    differ = {"initialization": (True, False), "order": (False, True), "both": (True, True)}
    for source, expected in differ.items():
        found = as_set(of_source(source, EVERYONE, 3))
        assert len(found) == {"initialization": 3, "order": 3, "both": 4}[source]
        for one, other in map(tuple, found):
            assert tuple(a != b for a, b in zip(seeds[one], seeds[other], strict=True)) == expected


def test_of_source_has_the_members_that_count():
    members = np.array([0, 2])
    assert as_set(of_source("initialization", members, 3)) == {frozenset((0, 2))}
    assert as_set(of_source("order", members, 3)) == {frozenset((3, 5))}
    assert as_set(of_source("both", members, 3)) == {frozenset((2, 5))}
    assert as_set(of_source("both", np.array([1, 2]), 3)) == {frozenset((a, b)) for a in (1, 2) for b in (4, 5)}


def test_claims_are_margins_of_mean_diversity():
    for claim, more, less in (("initialisation", "initialization", "order"), ("both", "both", "initialization")):
        found = getattr(randomness, claim)(LABELS, TARGETS)
        assert (found.members, found.images) == (3, 40)
        assert found.value == pytest.approx(
            np.mean([mean_diversity(r, more) - mean_diversity(r, less) for r in (0, 1)])
        )
    grown = mean_diversity(1, "order") - mean_diversity(0, "order")
    assert randomness.rate(LABELS, TARGETS).value == pytest.approx(grown)


def test_deterministic_is_a_count():
    same = LABELS[0, 0, 0]
    other = np.where(np.arange(40) < 10, 9, same)
    assert randomness.deterministic(np.stack([same, same])) == count(0)
    assert randomness.deterministic(np.stack([same, other])) == count(0.25)


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
        assert np.isnan([first["low"], second["high"]]).all()  # three members are too few
    same = found[found["series"] == "neither"]
    np.testing.assert_array_equal(same[["value", "low", "high"]], [[0, np.nan, np.nan]] * 2)

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
