"""Intervals, verdicts, and records that come back from disk as they went."""

import json
import math
import re

import numpy as np
import pytest

from lib.findings.claims import (
    CLAIMS,
    INCONCLUSIVE,
    NOT_REPRODUCED,
    REPRODUCED,
    TABLE_COLUMNS,
    Criterion,
    Estimate,
    bootstrap,
    distinct_pairs,
    judge,
    numbers,
    read_results,
    table,
    verdict,
    write_result,
)
from lib.run.store import StoreError
from lib.subspaces.methods import METHODS

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}


def interval(low, high, value=None):
    return Estimate((low + high) / 2 if value is None else value, low, high, 2000, "members")


# Criteria and claims


@pytest.mark.parametrize(
    ("operator", "below", "at", "above", "text"),
    [
        (">=", False, True, True, "≥ 0.8"),
        ("<=", True, True, False, "≤ 0.8"),
        (">", False, False, True, "> 0.8"),
        ("<", True, False, False, "< 0.8"),
        ("==", False, True, False, "= 0.8"),
    ],
)
def test_criterion_met_and_printed(operator, below, at, above, text):
    criterion = Criterion(operator, 0.8)
    assert [criterion.met(value) for value in (0.7, 0.8, 0.9)] == [below, at, above]
    assert not criterion.met(math.nan)
    assert str(criterion) == text


def test_criterion_unknown_operator_raises():
    with pytest.raises(ValueError, match=r"operator: expected one of >=.*received '≥'"):
        Criterion("≥", 1)


def test_claims_fixed_beforehand():
    """The criteria are not moved; one that proves badly chosen stays, and another one is added."""
    assert {claim_id: str(claim.criterion) for claim_id, claim in CLAIMS.items()} == {
        "trajectories/weights-align": "≥ 0.8",
        "trajectories/functions-stay": "< 1",
        "trajectories/modes": "≥ 0.99",
        "independent/orthogonal": "≤ 0.1",
        "independent/orthogonal-kernels": "≤ 0.1",
        "independent/equidistant": "≤ 0.15",
        "independent/disagree": "≥ 0.4",
        **{f"subspaces/{method}/stays": "≥ 0.99" for method in METHODS},
        **{f"subspaces/{method}/closer": "< 1" for method in METHODS},
        **{f"diversity/{method}": "> 0" for method in METHODS},
        "diversity/limits": "≥ 0.95",
        "diversity/below-uncorrelated": "> 0",
        "limits/family": "< 0",
        "limits/exponent": "< 1",
        "radial/valley": "≤ 5",
        "radial/norm-grows": "> 1",
        "radial/own-mode": "≥ 0.95",
        "tunnel/linear-barrier": "≥ 10",
        "tunnel/connector": "≤ 2",
        "tunnel/functions-change": "≥ 0.4",
        "ensemble/accuracy": "> 0",
        "ensemble/brier": "< 0",
        **{f"ensemble/{method}/less": "< 0" for method in (*METHODS, "weight-average")},
        **{f"ensemble/{method}/complements": "< 0" for method in (*METHODS, "weight-average")},
        "ensemble/random-best": "< 0",
        "shift/ensemble": "> 0",
        "shift/grows": "> 0",
        "shift/jsd": "> 0",
        "shift/jsd-grows": "> 0",
        "shift/ood": "> 0",
        "randomness/initialisation": "> 0",
        "randomness/both": "> 0",
        "randomness/rate": "> 0",
        "randomness/deterministic": "= 0",
        "sgmcmc/less-diverse": "> 0",
    }


def test_claims_are_named_by_their_own_id():
    assert all(claim_id == claim.id for claim_id, claim in CLAIMS.items())


# Bootstrap


def test_bootstrap_covers_a_gaussian_mean():
    """Percentile intervals of 30 draws hold the true mean about 93 times in a hundred."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(100):
        sample = rng.normal(size=30)
        estimate = bootstrap(lambda images, x=sample: x[images].mean(), images=30, resamples=300, seed=trial)
        assert estimate.low < estimate.value < estimate.high
        hits += estimate.low <= 0 <= estimate.high
    assert 86 <= hits <= 99


def test_bootstrap_width_is_that_of_the_normal_interval():
    sample = np.random.default_rng(0).normal(size=400)
    estimate = bootstrap(lambda images: sample[images].mean(), images=400)
    assert estimate.value == pytest.approx(sample.mean())
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.1)
    assert (estimate.resamples, estimate.unit) == (2000, "images")


def test_bootstrap_lower_level_is_narrower():
    sample = np.random.default_rng(0).normal(size=50)
    wide, narrow = (bootstrap(lambda images: sample[images].mean(), images=50, level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_bootstrap_same_seed_repeats_and_other_differs():
    sample = np.random.default_rng(0).normal(size=20)
    first, again, other = (
        bootstrap(lambda members: sample[members].mean(), members=20, resamples=200, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.value == other.value
    assert (first.low, first.high) != (other.low, other.high)


def test_bootstrap_leaves_the_global_generator_alone():
    np.random.seed(0)  # noqa: NPY002 - the one that must not be touched
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    bootstrap(lambda images: images.mean(), images=5, resamples=10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_bootstrap_value_first_with_everything_in_order():
    calls = []

    def statistic(members, images):
        calls.append((members, images))
        return members.sum() + images.sum()

    estimate = bootstrap(statistic, members=3, images=7, resamples=20)
    assert estimate.unit == "members and images"
    assert len(calls) == 21
    np.testing.assert_array_equal(calls[0][0], range(3))
    np.testing.assert_array_equal(calls[0][1], range(7))
    for members, images in calls[1:]:
        assert members.shape == (3,)
        assert images.shape == (7,)
        assert set(members) <= set(range(3))
        assert set(images) <= set(range(7))


def test_bootstrap_deterministic_count_has_no_interval():
    assert bootstrap(lambda: 0) == Estimate(0, 0, 0, 0, "none")


def test_bootstrap_redraws_undefined_resamples():
    matrix = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 0]])
    seen = []

    def mean_over_pairs(members):
        seen.append(matrix[distinct_pairs(members)].mean())  # of nothing when all three are the same
        return seen[-1]

    estimate = bootstrap(mean_over_pairs, members=3, resamples=500)
    assert np.isnan(seen).any()
    assert np.isfinite(seen).sum() == 501
    assert (estimate.value, estimate.low, estimate.high) == (2, 1, 3)


def test_bootstrap_largest_over_pairs():
    matrix = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
    estimate = bootstrap(lambda members: matrix[distinct_pairs(members)].max(initial=-np.inf), members=3, resamples=500)
    assert (estimate.value, estimate.low, estimate.high) == (3, 1, 3)


@pytest.mark.parametrize(("members", "value"), [(1, math.nan), (2, 0.5)])
def test_bootstrap_too_few_members_for_pairs_has_no_interval(members, value):
    """One member makes no pair; two make the same pair in every resample, an interval of width zero."""
    matrix = np.array([[0.0, 0.5], [0.5, 0.0]])
    estimate = bootstrap(lambda members: matrix[distinct_pairs(members)].mean(), members=members, resamples=50)
    assert estimate.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert verdict(estimate, Criterion(">=", 0)) == INCONCLUSIVE


def test_bootstrap_one_member_has_a_value_but_no_interval():
    estimate = bootstrap(lambda members, images: images.mean(), members=1, images=9, resamples=50)
    assert estimate.value == 4
    assert math.isnan(estimate.low)


def test_bootstrap_two_members_without_pairs_has_an_interval():
    sample = np.array([1.0, 2.0])
    estimate = bootstrap(lambda members: sample[members].mean(), members=2, resamples=200)
    assert (estimate.value, estimate.low, estimate.high) == (1.5, 1, 2)


def test_bootstrap_hardly_ever_defined_gives_up():
    calls = iter(range(10**6))
    estimate = bootstrap(lambda images: 1.0 if next(calls) % 20 == 0 else math.nan, images=4, resamples=50)
    assert estimate.value == 1
    assert math.isnan(estimate.low)
    assert next(calls) == 501


def test_bootstrap_nothing_to_draw_from_raises():
    with pytest.raises(ValueError, match="members: expected at least 1, received 0"):
        bootstrap(lambda members: 0, members=0)


def test_distinct_pairs_of_different_members():
    a, b = distinct_pairs(np.arange(3))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_distinct_pairs_leaves_the_same_member_out():
    a, b = distinct_pairs(np.array([4, 2, 4]))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(4, 2), (2, 4)]


def test_distinct_pairs_of_one_member_are_none():
    a, b = distinct_pairs(np.array([1, 1, 1]))
    assert len(a) == len(b) == 0


# Verdicts


@pytest.mark.parametrize(
    ("operator", "low", "high", "expected"),
    [
        (">=", 0.8, 0.9, REPRODUCED),  # the threshold itself meets it
        (">=", 0.7, 0.8, INCONCLUSIVE),
        (">=", 0.6, 0.79, NOT_REPRODUCED),
        ("<=", 0.7, 0.8, REPRODUCED),
        ("<=", 0.8, 0.9, INCONCLUSIVE),
        ("<=", 0.81, 0.9, NOT_REPRODUCED),
        (">", 0.81, 0.9, REPRODUCED),
        (">", 0.8, 0.9, INCONCLUSIVE),  # the threshold itself fails it
        (">", 0.7, 0.8, NOT_REPRODUCED),
        ("<", 0.7, 0.79, REPRODUCED),
        ("<", 0.7, 0.8, INCONCLUSIVE),
        ("<", 0.8, 0.9, NOT_REPRODUCED),
        ("==", 0.8, 0.8, REPRODUCED),
        ("==", 0.7, 0.9, INCONCLUSIVE),
        ("==", 0.8, 0.9, INCONCLUSIVE),
        ("==", 0.9, 0.9, NOT_REPRODUCED),
        ("==", 0.81, 0.9, NOT_REPRODUCED),
    ],
)
def test_verdict_truth_table(operator, low, high, expected):
    assert verdict(interval(low, high), Criterion(operator, 0.8)) == expected


@pytest.mark.parametrize("operator", [">=", "<=", "<", ">", "=="])
@pytest.mark.parametrize("position", range(3))
def test_verdict_nan_anywhere_is_inconclusive(operator, position):
    numbers = [0.8, 0.8, 0.8]
    numbers[position] = math.nan
    assert verdict(Estimate(*numbers, 2000, "images"), Criterion(operator, 0.8)) == INCONCLUSIVE


@pytest.mark.parametrize(("count", "expected"), [(0, REPRODUCED), (1, NOT_REPRODUCED)])
def test_verdict_deterministic_count(count, expected):
    assert verdict(bootstrap(lambda: count), Criterion("==", 0)) == expected


def test_judge_known_claim():
    result = judge("independent/orthogonal", interval(0.02, 0.1), CONTEXT)
    assert result.claim is CLAIMS["independent/orthogonal"]
    assert result.verdict == REPRODUCED
    assert result.context == CONTEXT


def test_judge_unknown_claim_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"^unknown claim 'independent/orthogonl'; did you mean 'independent/orthogonal'"
    ):
        judge("independent/orthogonl", interval(0, 0), CONTEXT)


@pytest.mark.parametrize("name", ["dataset", "architecture", "preset"])
@pytest.mark.parametrize("value", [None, "../elsewhere"])
def test_judge_context_without_its_run_raises(name, value):
    with pytest.raises(ValueError, match=f"context\\['{name}'\\]"):
        judge("independent/orthogonal", interval(0, 0), CONTEXT | {name: value})


# Records


def test_record_round_trip(tmp_path):
    result = judge("independent/disagree", interval(0.5, 0.7), CONTEXT)
    path = write_result(result, tmp_path)
    assert path.parent == tmp_path / "independent" / "disagree"
    assert re.fullmatch(r"digits-small_cnn-smoke-[0-9a-f]{8}\.json", path.name)
    assert write_result(result, tmp_path) == path
    assert read_results(tmp_path) == [result]


def test_record_round_trip_with_nan(tmp_path):
    estimate = Estimate(0.5, math.nan, math.nan, 2000, "members")
    path = write_result(judge("independent/disagree", estimate, CONTEXT | {"rate": math.nan, "x": [1, None]}), tmp_path)
    assert "NaN" not in path.read_text()
    (result,) = read_results(tmp_path)
    assert result.estimate.value == 0.5
    assert math.isnan(result.estimate.low)
    assert math.isnan(result.estimate.high)
    assert result.verdict == INCONCLUSIVE
    assert result.context == CONTEXT | {"rate": None, "x": [1, None]}


def test_record_is_readable_and_leaves_nothing_else(tmp_path):
    path = write_result(judge("independent/disagree", interval(0.5, 0.7), CONTEXT), tmp_path)
    text = path.read_text()
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert list(path.parent.iterdir()) == [path]


def test_record_written_again_replaces_the_first(tmp_path):
    for low in (0.1, 0.5):
        write_result(judge("independent/disagree", interval(low, 0.7), CONTEXT), tmp_path)
    (result,) = read_results(tmp_path)
    assert result.estimate.low == 0.5


def test_record_that_json_cannot_hold_leaves_the_earlier_one(tmp_path):
    path = write_result(judge("independent/disagree", interval(0.5, 0.7), CONTEXT), tmp_path)
    before = path.read_text()
    with pytest.raises(TypeError):
        write_result(judge("independent/disagree", interval(0.5, 0.7), CONTEXT | {"x": object()}), tmp_path)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_record_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError, match="disk full"):
        write_result(judge("independent/disagree", interval(0.5, 0.7), CONTEXT), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_read_results_in_order(tmp_path):
    keys = [
        ("trajectories/modes", "digits", "small_cnn", "quick"),
        ("trajectories/modes", "digits", "small_cnn", "smoke"),
        ("independent/orthogonal", "cifar10", "small_cnn", "paper"),
        ("independent/orthogonal", "digits", "medium_cnn", "smoke"),
        ("independent/disagree", "cifar10", "small_cnn", "paper"),
    ]
    for claim_id, dataset, architecture, preset in reversed(keys):
        context = {"dataset": dataset, "architecture": architecture, "preset": preset}
        write_result(judge(claim_id, interval(0, 1), context), tmp_path)
    results = read_results(tmp_path)
    assert [(r.claim.id, *(r.context[k] for k in ("dataset", "architecture", "preset"))) for r in results] == keys


def test_read_results_of_an_empty_folder(tmp_path):
    assert read_results(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"claim": 3}', '"text"', "\xff"])
def test_read_results_broken_record_names_the_file(tmp_path, text):
    (tmp_path / "broken.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"broken\.json: not a claim's record") as error:
        read_results(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"), [('"threshold": 0.4', '"threshold": 0.3'), ('"reproduced"', '"not reproduced"')]
)
def test_read_results_judged_otherwise_raises(tmp_path, old, new):
    path = write_result(judge("independent/disagree", interval(0.5, 0.7), CONTEXT), tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match="run its notebook again"):
        read_results(tmp_path)


def test_table_text():
    results = [
        judge("independent/disagree", Estimate(0.71234, 0.65, 0.78, 2000, "members"), CONTEXT),
        judge("independent/orthogonal", Estimate(0.00123, math.nan, math.nan, 2000, "members"), CONTEXT),
        judge("trajectories/modes", Estimate(1.0, 1.0, 1.0, 0, "none"), CONTEXT),
    ]
    frame = table(results)
    assert list(frame.columns) == TABLE_COLUMNS
    assert frame["claim"].tolist() == ["independent/disagree", "independent/orthogonal", "trajectories/modes"]
    assert frame["value"].tolist() == ["0.712", "0.0012", "1"]
    assert frame["95 % interval"].tolist() == ["0.650 to 0.780", "–", "–"]
    assert frame["criterion"].tolist() == ["≥ 0.4", "≤ 0.1", "≥ 0.99"]
    assert frame["verdict"].tolist() == [REPRODUCED, INCONCLUSIVE, REPRODUCED]
    assert frame["the paper says"][0].endswith("errors are not shared (0.84 to 1.04, read off figure 6)")


@pytest.mark.parametrize(
    ("value", "expected"), [(-0.0, "0"), (3.0, "3"), (-0.25, "-0.250"), (123.4, "123"), (math.nan, "–")]
)
def test_table_number(value, expected):
    estimate = Estimate(value, value, value, 2000, "images")
    assert table([judge("independent/disagree", estimate, CONTEXT)])["value"][0] == expected


def test_table_of_nothing_has_its_columns():
    assert list(table([]).columns) == TABLE_COLUMNS


def test_numbers_are_the_records_as_they_are():
    one = judge("independent/orthogonal", interval(0.02, math.nan, value=0.05), CONTEXT)
    (row,) = numbers([one]).to_dict("records")
    assert (row["claim"], row["verdict"], row["value"], row["low"]) == (one.claim.id, INCONCLUSIVE, 0.05, 0.02)
    assert math.isnan(row["high"])
    assert (row["operator"], row["threshold"], row["dataset"]) == ("<=", 0.1, "digits")
