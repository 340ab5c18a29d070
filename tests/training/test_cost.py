"""Hours and disk by hand, the plans of the parameter files, and rates that are those of the right work."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT
from helpers import experiment
from PIL import Image

from lib.config import PRESETS, Experiment
from lib.data.datasets import load_dataset
from lib.data.streaming import StreamedImages
from lib.training import cost
from lib.training.cost import PLANS, Plan, preset_plans, reading_rate, table, training_rate

SMALL = Plan(experiment(num_members=3, epochs=4, batch_size=8), (8, 8, 1), 10, train_images=7200)


def test_hours_are_those_of_all_members_and_epochs():
    assert SMALL.hours(2.0) == 3 * 4 * 7200 / 2 / 3600 == 12


def test_flops_are_those_of_a_forward_and_a_backward_pass():
    # Two operations a product; 3 x 3 convolutions on 8 x 8, 4 x 4 and 2 x 2 pixels, and a dense layer. Backward takes
    # twice as many, but for the first layer, whose inputs need no gradient.
    products = (64 * 9 * 16, 16 * 9 * 16 * 32, 4 * 9 * 32 * 32, 32 * 10)
    assert SMALL.flops == 2 * (3 * sum(products) - products[0])


def test_images_are_seen_by_every_member_in_every_epoch():
    assert SMALL.images == 3 * 4 * 7200


@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_plans_of_a_preset_are_about_its_data(preset):
    dataset = load_dataset(PRESETS[preset]["dataset"])
    plans = preset_plans(preset, {})
    assert [*plans][:2] == [f"findings, {name}" for name in PRESETS[preset]["architectures"]]
    for plan in plans.values():
        found = (plan.image_shape, plan.num_classes, plan.train_images)
        assert found == (dataset.image_shape, dataset.num_classes, len(dataset.train.labels))


def test_plans_of_the_paper_preset_are_its_networks_and_others():
    chain = Experiment.from_preset("paper", architecture="resnet18", num_members=4, epochs=150)
    plans = preset_plans("paper", {"appendix C": chain})
    assert {title: (plan.experiment.num_members, plan.experiment.epochs) for title, plan in plans.items()} == {
        "findings, small_cnn": (10, 40),
        "findings, resnet20_v1": (10, 200),
        "findings, medium_cnn": (10, 40),
        "appendix C, resnet18": (4, 150),
    }


def test_disk_is_four_bytes_a_number_of_every_checkpoint():
    # Three convolutions of 3 x 3 with 1, 16, 32 and 32 channels, and a dense layer from one pixel.
    weights = (9 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 32 + 32) + (32 * 10 + 10)
    assert SMALL.checkpoint_size == weights
    assert SMALL.disk == 4 * weights * (4 + 1) * 3


def test_disk_counts_batch_norm_statistics():
    plan = replace(SMALL, experiment=experiment(architecture="resnet8_v1"))
    assert plan.checkpoint_size == 77_898 + 480


def test_plan_of_imagenet_is_the_papers():
    pytest.importorskip("timm")
    plan = PLANS["ImageNet"]
    chosen = plan.experiment
    assert (chosen.optimizer, chosen.batch_size, chosen.epochs, chosen.schedule) == ("momentum", 256, 160, "step")
    assert (chosen.learning_rate, chosen.num_members, chosen.precision) == (0.15, 4, "bf16")
    assert plan.checkpoint_size == 25_549_352 + 2 * 22_720
    assert plan.disk == 4 * plan.checkpoint_size * 161 * 4


@pytest.mark.parametrize(
    ("title", "file"), [("CIFAR-100", "paper_figure_7_cifar100"), ("ImageNet", "paper_figure_10_imagenet")]
)
def test_plans_are_those_of_the_parameter_files(title, file):
    given = yaml.safe_load((ROOT / "notebooks" / "params" / f"{file}.yaml").read_text())
    names = set(Experiment.__dataclass_fields__) - {"preset"}
    settings = {name: value for name, value in given.items() if name in names}
    assert Experiment.from_preset(given["preset"], **settings) == PLANS[title].experiment


@pytest.fixture
def clock(monkeypatch):
    """Half a second passes between two looks at the clock."""
    ticks = itertools.count()
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 2))


@pytest.mark.parametrize("architecture", ["small_cnn", "resnet8_v1"])
def test_training_rate_counts_the_images_of_the_steps(monkeypatch, clock, architecture):
    seen, original = [], cost.train_epoch

    def noting(configs, model, optimizer, pixels, labels, epoch):
        seen.append((configs[0].batch_size, tuple(pixels.shape)))
        return original(configs, model, optimizer, pixels, labels, epoch)

    monkeypatch.setattr(cost, "train_epoch", noting)
    plan = replace(SMALL, experiment=experiment(architecture=architecture, batch_size=8))
    assert training_rate(plan, steps=3) == 24 / 0.5
    assert training_rate(plan, batch_size=2, steps=1) == 2 / 0.5
    shape = (1, 8, 8)
    assert seen == [(8, (8, *shape)), (8, (24, *shape)), (2, (2, *shape)), (2, (2, *shape))]


def test_reading_rate_counts_the_images_that_are_read(tmp_path, clock):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "a.png")
    images = StreamedImages(tmp_path, np.full(10, b"a.png"), size=8, shorter=9, workers=2)
    assert reading_rate(images) == 10 / 0.5
    assert reading_rate(images, count=4) == 4 / 0.5


def test_table_says_hours_and_gigabytes_of_each_plan():
    large = replace(SMALL, train_images=7_200_000)
    shown = table({"small": SMALL, "large": large}, {"small": 2.0, "large": 4000.0}).set_index("")
    assert shown.loc["training images"].tolist() == ["7,200", "7,200,000"]
    assert shown.loc["images a second"].tolist() == ["2", "4,000"]
    assert shown.loc["hours, one run after the other"].tolist() == ["12", "6"]
    assert shown.loc["checkpoints on disk, GB"].tolist() == [f"{SMALL.disk / 1e9:.2g}"] * 2
