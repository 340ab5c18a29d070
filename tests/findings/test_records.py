"""Records are read back from disk as they were written."""

import json
import math
import re

import pytest

from lib.findings.judging import INCONCLUSIVE, Result, known
from lib.findings.records import numbers, read_results, write_result
from lib.metrics.intervals import Estimate

CONTEXT = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke", "epochs": 2}


def interval(low, high, value=None):
    value = (low + high) / 2 if value is None else value
    return Estimate(value, low, high, "jackknife", members=5, images=397, df=4.2, from_images=0.1)


def result(claim_id, estimate, context=CONTEXT):
    return Result(known(claim_id), estimate, context)


def test_record_round_trip(tmp_path):
    judged = result("independent/disagree", interval(0.5, 0.7))
    path = write_result(judged, tmp_path, {"device": "CPU"})
    assert json.loads(path.read_text())["made"] == {"device": "CPU"}
    assert path.parent == tmp_path / "independent" / "disagree"
    assert re.fullmatch(r"digits-small_cnn-smoke-[0-9a-f]{8}\.json", path.name)
    assert write_result(judged, tmp_path) == path
    assert read_results(tmp_path) == [judged]


def test_record_round_trip_with_nan(tmp_path):
    estimate = Estimate(0.5, math.nan, math.nan, "jackknife", members=3, from_images=math.nan)
    context = CONTEXT | {"rate": math.nan, "x": [1, None]}
    path = write_result(result("independent/disagree", estimate, context), tmp_path)
    assert "NaN" not in path.read_text()
    (judged,) = read_results(tmp_path)
    assert judged.estimate.value == 0.5
    assert math.isnan(judged.estimate.low)
    assert math.isnan(judged.estimate.high)
    assert judged.verdict == INCONCLUSIVE
    assert judged.context == CONTEXT | {"rate": None, "x": [1, None]}


def test_record_is_readable_and_leaves_nothing_else(tmp_path):
    path = write_result(result("independent/disagree", interval(0.5, 0.7)), tmp_path)
    text = path.read_text()
    assert text == json.dumps(json.loads(text), ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert list(path.parent.iterdir()) == [path]


def test_record_written_again_replaces_the_first(tmp_path):
    for low in (0.1, 0.5):
        write_result(result("independent/disagree", interval(low, 0.7)), tmp_path)
    (judged,) = read_results(tmp_path)
    assert judged.estimate.low == 0.5


def test_record_that_json_cannot_hold_leaves_the_earlier_one(tmp_path):
    path = write_result(result("independent/disagree", interval(0.5, 0.7)), tmp_path)
    before = path.read_text()
    with pytest.raises(TypeError):
        write_result(result("independent/disagree", interval(0.5, 0.7), CONTEXT | {"x": object()}), tmp_path)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


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
        write_result(result(claim_id, interval(0, 1), context), tmp_path)
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


@pytest.mark.parametrize(("old", "new"), [('"threshold": 0.4', '"threshold": 0.3'), ('"holds here"', '"reproduced"')])
def test_read_results_judged_otherwise_raises(tmp_path, old, new):
    path = write_result(result("independent/disagree", interval(0.5, 0.7)), tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match="run its notebook again"):
        read_results(tmp_path)


def test_numbers_are_the_records_as_they_are():
    one = result("independent/orthogonal", interval(0.02, math.nan, value=0.05))
    (row,) = numbers([one]).to_dict("records")
    assert (row["claim"], row["verdict"], row["value"], row["low"]) == (one.claim.id, INCONCLUSIVE, 0.05, 0.02)
    assert math.isnan(row["high"])
    assert (row["operator"], row["threshold"], row["dataset"]) == ("<=", 0.1, "digits")
