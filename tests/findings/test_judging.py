"""Verdicts: their words, agreement in size, sentences, and claims judged from arrays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lib.findings import CLAIMS, judging
from lib.findings.claim import KINDS, Criterion
from lib.findings.judging import (
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    NOT_REPRODUCED,
    REPRODUCED,
    Result,
    Sentence,
    decided,
    judge,
    sentences,
)
from lib.metrics.intervals import Estimate, count, extreme, interval, share
from lib.subspaces.methods import METHODS

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}
PAPERS = CONTEXT | {"dataset": "cifar10"}


def between(low, high, **facts):
    return Estimate((low + high) / 2, low, high, "jackknife", members=8, df=7.0, **facts)


@pytest.mark.parametrize(
    ("operator", "expected"), [(">=", "-??+++"), ("<=", "++?+?-"), (">", "--?-?+"), ("<", "+??---"), ("==", "-??+?-")]
)
def test_decided_truth_table(operator, expected):
    """Intervals below the threshold of 0.8, up to it, across it, equal to it, from it on, and above it."""
    ends = [(0.7, 0.79), (0.7, 0.8), (0.7, 0.9), (0.8, 0.8), (0.8, 0.9), (0.81, 0.9)]
    found = [decided(between(low, high), Criterion(operator, 0.8)) for low, high in ends]
    assert "".join({True: "+", False: "-", None: "?"}[one] for one in found) == expected
    for position in range(3):
        numbers = np.where(np.arange(3) == position, math.nan, 0.8)
        assert decided(Estimate(*numbers), Criterion(operator, 0.8)) is None


TWENTIETHS = st.integers(0, 20).map(lambda number: number / 20)


@settings(max_examples=50)
@given(arrays(float, (5, 3), elements=TWENTIETHS), st.sampled_from([">=", "<=", "<", ">"]), TWENTIETHS)
def test_no_definite_verdict_against_the_value_itself(numbers, operator, threshold):
    criterion, table = Criterion(operator, threshold), np.exp(numbers)
    made = [
        interval(lambda members: numbers[members].mean(), members=5),
        interval(lambda members, images: table[members][:, images].mean(), members=5, images=3, resamples=9, log=True),
        interval(lambda images: len(set(images)) / 3, images=3, resamples=9),  # no resample exceeds the value
        extreme(lambda members: numbers[members].mean(axis=0), "smallest", members=5),
        share(numbers[:, 0]),
    ]
    for estimate in made:
        assert decided(estimate, criterion) in (None, criterion.met(estimate.value))


# Words


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (PAPERS, (REPRODUCED, NOT_REPRODUCED)),
        (CONTEXT | {"dataset": "cifar10_holdout", "architecture": "resnet20_v1"}, (REPRODUCED, NOT_REPRODUCED)),
        (CONTEXT, (HOLDS, FAILS)),
        (PAPERS | {"architecture": "resnet8_v1"}, (HOLDS, FAILS)),
    ],
)
def test_words_are_by_data_and_network(context, words):
    claim = CLAIMS["independent/disagree"]  # at least 0.4
    found = [Result(claim, between(low, low + 0.1), context).verdict for low in (0.5, 0.1, 0.35)]
    assert found == [*words, INCONCLUSIVE]


def test_descriptions_are_met_or_not_and_identities_true():
    said = {value: Result(CLAIMS["independent/orthogonal"], count(value), PAPERS).verdict for value in (0.1, 0.2)}
    assert said == {0.1: judging.MET, 0.2: judging.NOT_MET}
    assert Result(CLAIMS["independent/orthogonal"], count(math.nan), PAPERS).verdict == INCONCLUSIVE
    assert Result(CLAIMS["ensemble/brier"], count(-0.1), PAPERS).verdict == judging.IDENTICAL


@pytest.mark.parametrize(
    ("low", "high", "context", "expected"),
    [
        (0.7, 0.85, PAPERS, True),  # the paper has 0.86 to 1.03, with a reading error of 0.02
        (0.7, 0.83, PAPERS, False),
        (1.04, 1.2, PAPERS | {"dataset": "cifar10_holdout"}, True),
        (1.06, 1.2, PAPERS, False),
        (0.7, 0.85, CONTEXT, None),
        (math.nan, math.nan, PAPERS, None),
    ],
)
def test_in_size_widens_by_the_error_of_reading(low, high, context, expected):
    assert Result(CLAIMS["independent/disagree"], between(low, high), context).in_size is expected


# Sentences


def closer(*ends, context=CONTEXT):
    """One result per method, for claims with the criterion "less than 1"."""
    names = [f"subspaces/{method}/closer" for method in METHODS]
    return [Result(CLAIMS[name], between(*own), context) for name, own in zip(names, ends, strict=False)]


def test_methods_of_one_sentence_are_one_sentence_a_run():
    disagree = Result(CLAIMS["independent/disagree"], between(0.5, 0.6), CONTEXT)
    largest = Result(CLAIMS["independent/orthogonal"], count(0.1), CONTEXT)
    own, other = closer((0.1, 0.2), (0.2, 0.3)), closer((0.1, 0.2), context=PAPERS)
    found = sentences([own[0], disagree, largest, own[1], *other])
    assert [sentence.results for sentence in found] == [own, [disagree], other]
    assert len(sentences([own[0], largest], KINDS)) == 2
    assert [one.claim.method for one in (own[1], disagree)] == [METHODS[1], ""]
    assert own[1].claim.words == "samples differ less from their base than runs differ from each other"
    assert CLAIMS["subspaces/random/nearer"].words.endswith("to any other (our addition)")


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([(0.1, 0.2), (0.2, 0.3)], HOLDS),
        ([(0.1, 0.2), (0.9, 1.3)], INCONCLUSIVE),
        ([(1.3, 1.4), (1.1, 1.2)], FAILS),
        ([(1.3, 1.4), (0.1, 0.2)], FAILS),
        ([(1.0, 1.4), (0.1, 0.2)], INCONCLUSIVE),  # p is 0.025 alone, and 0.05 with another method
        ([(1.0, 1.4)], FAILS),
    ],
)
def test_sentence_holds_when_all_methods_do_and_fails_at_holms_level(ends, expected):
    sentence = Sentence(closer(*ends))
    assert sentence.verdict == expected
    if ends[0][0] == 1:
        assert sentence.p == pytest.approx(0.025 * len(ends))


def test_sentence_without_intervals_is_inconclusive():
    sentence = Sentence(closer((math.nan, math.nan), (math.nan, math.nan)))
    assert sentence.verdict == INCONCLUSIVE
    assert math.isnan(sentence.p)


# Judged from arrays


def test_judge_computes_the_statistic_of_the_claim_from_arrays():
    weights = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    judged = judge("independent/orthogonal", CONTEXT, "0123", weights=weights)
    assert (judged.claim, judged.estimate) == (CLAIMS["independent/orthogonal"], count(0))
    assert (judged.verdict, judged.context, judged.commit) == (judging.MET, CONTEXT, "0123")


def test_judge_unknown_claim_names_the_nearest():
    message = r"^unknown claim 'independent/orthogonl'; did you mean 'independent/orthogonal'"
    with pytest.raises(ValueError, match=message):
        judge("independent/orthogonl", CONTEXT)
