"""The benchmarks: their arithmetic, and every script at a tiny size. No time is asserted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from helpers import member, subset
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[1]
from benchmarks import evaluation, growth, plain, report, training  # noqa: E402
from lib.models.networks import build_model  # noqa: E402
from lib.run.engines import open_engine  # noqa: E402
from lib.training.trainer import build_member_model  # noqa: E402

SCRIPTS = {
    training: "--dataset digits --epochs 1 --rounds 1 --steps 1 --precision float32",
    evaluation: "--dataset digits --vectors 4 --images 20 --rounds 1",
    growth: "--dataset digits --members 2 --epochs 2 --vectors 2 --checkpoints 8 --points 8 --images 20 --rounds 1",
}


# Arithmetic


def test_ratio_is_the_median_within_rounds():
    # The last round was slow for both.
    assert report.times_as_fast([1, 1, 10], [2, 3, 30]) == 3


def test_difference_has_an_interval_from_two_rounds_on():
    assert report.difference([0.5], [0.25]) == {"mean": 0.25, "low": None, "high": None}
    apart = report.difference([1.0, 3.0], [0.0, 0.0])
    # Student's t with one degree of freedom, times a standard error of 1.
    assert apart["mean"] == 2
    assert apart["high"] - 2 == pytest.approx(12.706, abs=1e-3)
    assert 2 - apart["low"] == pytest.approx(12.706, abs=1e-3)


def test_targets_are_met_at_their_bounds_and_not_beyond():
    made = report.Report("x", "x", {}, 1)
    made.target("speed", 6, at_least=6)
    made.target("speed", 5.9, at_least=6)
    made.target("step", 1.5, at_most=1.5)
    made.target("step", 1.6, at_most=1.5)
    assert [target["met"] for target in made.content["targets"]] == [True, False, True, False]


def test_command_repeats_every_option():
    made = report.Report("x", "training", {"epochs": 2, "precision": ["float32", "bf16"]}, 5)
    expected = "python benchmarks/training.py --epochs 2 --precision float32 --precision bf16 --rounds 5"
    assert made.content["command"] == expected


def test_slope_of_a_square_is_two():
    assert growth.slope((10, 3.0), (40, 48.0)) == pytest.approx(2)


# The contenders compute the same


@pytest.mark.parametrize("architecture", ["small_cnn", "medium_cnn"])
def test_plain_network_is_ours(architecture):
    data = subset(10)
    config = member(dataset=data, architecture=architecture)
    mine, theirs = build_member_model(config, data).eval(), plain.new_network(config, data).eval()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    images = torch.tensor(data.test.images).permute(0, 3, 1, 2)
    with torch.no_grad():
        torch.testing.assert_close(mine(images), theirs(training.normalized(data.test.images, data)))


def test_loader_normalizes_as_we_do():
    data = subset(10)
    _, validation = plain.loaders(data, 5)
    images, labels = next(iter(validation))
    np.testing.assert_allclose(images, training.normalized(data.val.images, data), atol=1e-5)
    np.testing.assert_array_equal(labels, data.val.labels)


def test_floor_has_every_convolution_and_dense_layer():
    model = build_model("small_cnn", (8, 8, 1), 10).eval()
    layers = training.layer_shapes(model.layers, torch.zeros(4, 1, 8, 8))
    assert [type(layer).__name__ for layer, _ in layers] == ["Conv2d", "Conv2d", "Conv2d", "Linear"]
    assert [tuple(inputs.shape) for _, inputs in layers] == [(4, 1, 8, 8), (4, 16, 4, 4), (4, 32, 2, 2), (4, 32)]


# The scripts


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each script wrote and printed at a tiny size, by name; everything runs in this process."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        patch.setattr(training, "open_engine", lambda *_: open_engine("sequential", None, 1))
        for script, options in SCRIPTS.items():
            app = typer.Typer()
            app.command()(script.main)
            path = tmp_path_factory.mktemp("results") / "results.json"
            done = CliRunner().invoke(app, [*options.split(), "--output", str(path)], catch_exceptions=False)
            found[script.__name__.rpartition(".")[2]] = json.loads(path.read_text()), done.stdout
    return found


@pytest.mark.parametrize("name", ["training", "evaluation", "growth"])
def test_script_writes_its_results_and_prints_them(name, results):
    content, printed = results[name]
    assert content["command"] in printed
    assert content["machine"]["cores"] >= 1
    assert {"python", "torch"} <= set(content["versions"])
    for row in content["rows"]:
        assert row["min"] <= row["median"] <= row["max"]
        assert row["what"] in printed
    assert str(ROOT) not in json.dumps(content)


def test_training_compares_us_with_the_plain_loop(results):
    content, printed = results["training"]
    rows = {(row["case"], row["what"]): row for row in content["rows"]}
    assert rows["time of a member and epoch", "plain loop, float32"]["ratio"] == 1
    assert "mean" in rows["test accuracy", "ours, float32"]["difference"]
    assert any("step in floors" in target["what"] for target in content["targets"])
    installed = "torch-uncertainty" in content["versions"]
    assert installed == (("test accuracy", "torch-uncertainty, float32") in rows)
    assert installed or "torch-uncertainty is not installed" in printed


def test_evaluation_compares_the_outputs(results):
    content, _ = results["evaluation"]
    apart = [row["max"] for row in content["rows"] if row["what"].startswith("largest difference")]
    assert len(apart) == 3
    assert max(apart) < 1e-3
    assert sum(row["what"] == "convolutions and products alone" for row in content["rows"]) == 3


def test_growth_says_what_bends_first(results):
    content, printed = results["growth"]
    assert "Bends upward first: " in printed
    assert sum(row["unit"] == "MB" for row in content["rows"]) > 6
