"""The cells of a sweep before anything runs: their names, what they share, and what is not allowed."""

import json
import random
import re

import numpy as np
import pytest
from conftest import NOTEBOOKS
from helpers import notebook, subset

from lib.errors import OneLineError
from lib.findings.judging import Result, known
from lib.findings.records import write_result
from lib.metrics.intervals import Estimate
from lib.run.runs import Run
from lib.sweep.plan import NAME_LENGTH, plan

SMALL = {"preset": "smoke", "dataset": "digits", "epochs": 1}


def names(notebooks, grid, folder):
    return [cell.name for cell in plan(notebooks, [grid], folder).cells]


def test_name_follows_what_decides_the_result(tmp_path):
    def name(**more):
        (own,) = names([NOTEBOOKS[0]], SMALL | more, tmp_path)
        return own

    assert name() == name(seed=None)
    assert name(seed=1) != name(seed=2)
    assert re.fullmatch(
        r"01_trajectories-preset_smoke-dataset_digits-num_members_3-epochs_1-[0-9a-f]{12}", name(num_members=3)
    )
    assert name(runs_dir="a").rpartition("-")[0] == name().rpartition("-")[0]


def test_cells_that_say_the_same_in_other_words_are_one(tmp_path):
    (path := tmp_path / "page.ipynb").write_text(notebook("rate: float = None\ncount: int = 2"))
    planned = plan([path, path], [{"rate": [1, 1.0, None], "count": [2]}, {"count": 2}], tmp_path)
    assert [cell.given["rate"] for cell in planned.cells] == [1, None]


def test_name_is_a_file_name_whatever_the_values(tmp_path):
    (path := tmp_path / "page.ipynb").write_text(notebook("text: str = None\nwords: list = None"))
    grid = {"text": ["../../etc/passwd", "a" * 500, "{x} 'ü' a=b,c", ""], "words": ["b", "c"]}
    found = names([path], grid, tmp_path)
    assert len(set(found)) == 4
    for name in found:
        assert re.fullmatch(r"page-text_[\w.+-]*-[0-9a-f]{12}", name, re.ASCII)
        assert len(name) <= NAME_LENGTH + 13


def test_other_code_or_data_of_ones_own_is_another_cell(tmp_path):
    def name(*cells, **given):
        (path := tmp_path / "page.ipynb").write_text(notebook(*cells))
        return names([path], given, tmp_path)

    assert name("a: int = 1", "b = 1", a=2) != name("a: int = 1", "b = 2", a=2)
    found = []
    for count in (100, 150):
        few = subset(count)
        labels = {"y_train": few.train.labels, "y_test": few.test.labels}
        np.savez(tmp_path / "own.npz", x_train=few.train.images, x_test=few.test.images, **labels)
        found += name("dataset: str = None", dataset=str(tmp_path / "own.npz"))
    assert len(set(found)) == 2


def test_each_notebook_takes_the_parameters_that_it_has(tmp_path):
    (first := tmp_path / "first.ipynb").write_text(notebook("a: int = 1\nseed: int = 0"))
    (second := tmp_path / "second.ipynb").write_text(notebook("b: int = 1\nseed: int = 0"))
    cells = plan([first, second], [{"a": [2, 3], "seed": 1}], tmp_path).cells
    assert [(cell.source.path.stem, cell.parameters) for cell in cells] == [
        ("first", {"a": 2, "seed": 1}),
        ("first", {"a": 3, "seed": 1}),
        ("second", {"seed": 1}),
    ]


def test_every_setting_of_an_experiment_can_vary(tmp_path):
    planned = plan([NOTEBOOKS[0]], [SMALL, SMALL | {"optimizer": ["sgd", None]}], tmp_path)
    assert [cell.name.rpartition("-")[0].rpartition("epochs_1")[2] for cell in planned.cells] == ["", "-optimizer_sgd"]
    assert [cell.experiments[0].optimizer for cell in planned.cells] == ["adam", "sgd"]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"results_dir": "x"}, "results_dir cannot be in a grid"),
        ({"num_member": [2]}, "unknown parameter 'num_member'; did you mean 'num_members'?"),
        ({"num_members": ["two"]}, "parameter 'num_members' must be int, got 'two'"),
        ({"num_members": [[2], [3]]}, r"parameter 'num_members' must be int, got [2] (list)"),
        ({"optimizer": ["sgd", "sdg"]}, "unknown optimizer 'sdg'; did you mean 'sgd'?"),
        ({"num_members": [2, 1]}, "num_members must be at least 2 on this page"),
        ({"engine": "loki"}, "unknown engine 'loki'; did you mean 'loky'?"),
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'?"),
    ],
)
def test_values_are_checked_before_anything_runs(tmp_path, more, line):
    with pytest.raises(OneLineError) as caught:
        plan([NOTEBOOKS[0]], [SMALL | more], tmp_path / "out")
    assert str(caught.value).startswith(line)
    assert list(tmp_path.iterdir()) == []


def test_members_that_the_store_lacks_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "is_complete", lambda run: run.config.order < 2)
    monkeypatch.setattr("lib.data.sources.fetch", None)
    own = {"runs_dir": str(tmp_path / "runs"), "data_dir": str(tmp_path)}
    planned = plan([NOTEBOOKS[0]], [SMALL | own | {"num_members": [2, 3]}, own | {"preset": "paper"}], tmp_path / "out")
    # CIFAR-10 is missing, and is not downloaded just to count.
    assert [planned.missing(cell) for cell in planned.cells] == ["0 of 2", "1 of 3", "10 of 10"]
    (path := tmp_path / "page.ipynb").write_text(notebook("a: int = 1"))
    planned = plan([path], [{"a": 2}], tmp_path / "out")
    assert planned.missing(planned.cells[0]) == "not known"


def test_any_bit_of_an_executed_notebook_or_verdict_is_noticed(tmp_path):
    (path := tmp_path / "page.ipynb").write_text(notebook("a: int = 1", "b = 0.7"))
    planned = plan([path], [{"a": 2}], tmp_path / "out")
    (cell,) = planned.cells
    planned.unfinished(cell).parent.mkdir(parents=True)
    planned.unfinished(cell).write_text(cell.source.text)
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    judged = Result(known("independent/disagree"), Estimate(0.5, 0.4, 0.6, "jackknife"), context)
    verdict = write_result(judged, planned.records(cell))
    assert planned.results(cell) is None
    planned.complete(cell)
    assert not planned.unfinished(cell).exists()
    assert [one.verdict for one in planned.results(cell)] == [judged.verdict]
    numbers = random.Random(0)
    for file in (planned.notebook(cell), verdict):
        whole = file.read_bytes()
        for _ in range(100):
            changed = bytearray(whole)
            changed[numbers.randrange(len(whole))] ^= 1 << numbers.randrange(8)
            file.write_bytes(bytes(changed))
            # A changed bit in the notebook's whitespace may leave what is read unchanged.
            same = file != verdict and reads_the_same(whole, changed)
            assert (planned.results(cell) is None) != same
        file.write_bytes(whole)
    verdict.unlink()
    assert planned.results(cell) is None


def reads_the_same(one, other):
    try:
        return json.loads(one) == json.loads(other)
    except ValueError:
        return False
