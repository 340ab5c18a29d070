"""Settings that are allowed and not, and keys that never change."""

import dataclasses
import hashlib
import re

import numpy as np
import pytest

from lib import config
from lib.config import CHOICES, Experiment, MemberConfig
from lib.data import datasets as data
from lib.errors import ConfigError
from lib.findings import FINDINGS
from lib.models import networks as models
from lib.presets import PRESETS, PROTOCOLS
from lib.subspaces.methods import NATURAL_SCALES, REJECTION_MARGIN
from lib.training import trainer as training

PINNED = MemberConfig(
    dataset="digits",
    dataset_hash="0" * 64,
    architecture="small_cnn",
    epochs=40,
    seed=0,
    initialization=3,
    order=3,
    batch_size=128,
    optimizer="adam",
    learning_rate=1.6e-3,
    schedule="halving",
    dropout=0.1,
    weight_decay=0.0,
    augmentation="none",
    pixel_scaling="raw",
    sampling="replacement",
    training_version=1,
)
OTHER_VALUES = {
    "dataset_hash": "1" * 64,
    "architecture": "medium_cnn",
    "epochs": 41,
    "seed": 1,
    "initialization": 4,
    "order": 4,
    "batch_size": 64,
    "optimizer": "momentum",
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "dropout": 0.2,
    "weight_decay": 1e-4,
    "augmentation": "shift-flip",
    "pixel_scaling": "standardize",
    "sampling": "permutation",
    "training_version": config.TRAINING_VERSION + 1,
    "precision": "bf16",
    "cycles": 4,
    "noise_epochs": 2,
    "temperature": 1.0,
}
CHAIN_FIELDS = ("cycles", "noise_epochs", "temperature")


def smoke(**overrides):
    return Experiment.from_preset("smoke", **overrides)


def members(count=5, **overrides):
    return smoke(num_members=count, **overrides).members("digits", "0" * 64)


# Presets


@pytest.mark.parametrize("architecture", PROTOCOLS)
@pytest.mark.parametrize("preset", PRESETS)
def test_preset_every_architecture_is_valid(preset, architecture):
    experiment = Experiment.from_preset(preset, architecture=architecture)
    assert (experiment.preset, experiment.architecture) == (preset, architecture)
    assert experiment.dataset in data.DATASETS
    assert experiment.optimizer == PROTOCOLS[architecture]["optimizer"]


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_names_known_architectures_and_its_purpose(preset):
    for kind in ("architectures", "sampled_architectures"):
        assert set(PRESETS[preset][kind]) <= set(PROTOCOLS)
    assert all(study["count"] >= 1 for study in PRESETS[preset]["samples"].values())
    assert Experiment.from_preset(preset).architecture == PRESETS[preset]["architectures"][0]
    assert PRESETS[preset]["purpose"]


def test_preset_paper_follows_the_protocol_to_the_letter():
    for architecture, protocol in PROTOCOLS.items():
        experiment = dataclasses.asdict(Experiment.from_preset("paper", architecture=architecture))
        assert {name: experiment[name] for name in protocol} == protocol
        assert experiment["validation_size"] == 500


def test_preset_paper_samples_as_the_authors_do():
    """The table of samplers on the protocol page: figures 4 and 6, figure 8, and the authors' notebook."""
    plane = {"random": 70.0, "dropout": 0.1, "diagonal-gaussian": 10.0, "low-rank-gaussian": 6.0}
    assert PRESETS["paper"]["samples"] == {
        "modes": {"count": 30, "rank": 4, "standardized": False},
        "plane": {"count": 50, "rank": 4, "standardized": False, "scales": plane},
        "ensemble": {"count": 10, "rank": 5, "standardized": False, "scales": {"random": 10.0}},
    }
    # Nothing else about samples is known to differ; for the rejection see the protocol page.
    assert (NATURAL_SCALES["low-rank-gaussian"], NATURAL_SCALES["random-pca"], REJECTION_MARGIN) == (1, 1, 0.06)
    for finding in ("radial", "tunnel", "ensemble", "shift"):
        assert FINDINGS[finding].architectures("paper") == ["medium_cnn"]
    assert FINDINGS["diversity"].architectures("paper") == ["small_cnn", "medium_cnn", "resnet20_v1"]


def test_preset_other_than_paper_scales_pixels_and_permutes():
    for preset in ("smoke", "quick", "full"):
        experiment = Experiment.from_preset(preset, architecture="small_cnn")
        assert (experiment.pixel_scaling, experiment.sampling) == ("standardize", "permutation")


def test_preset_override_none_means_preset():
    nothing = dict.fromkeys(field.name for field in dataclasses.fields(Experiment) if field.name != "preset")
    assert smoke(**nothing) == smoke()


def test_preset_override_wins():
    experiment = smoke(epochs=7, learning_rate=0.5, architecture="resnet8_v1")
    assert (experiment.epochs, experiment.learning_rate, experiment.architecture) == (7, 0.5, "resnet8_v1")
    assert experiment.augmentation == "shift-flip"


# Values that are not allowed


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        ({"architecture": "smal_cnn"}, "unknown architecture 'smal_cnn'; did you mean 'small_cnn'\\?.*medium_cnn"),
        ({"architecture": ["small_cnn"]}, "unknown architecture"),
        ({"num_member": 3}, "unknown setting 'num_member'; did you mean 'num_members'\\?"),
        ({"dataset": 3}, "dataset must be a name or a path, got 3"),
        ({"dataset": ""}, "dataset must be"),
        ({"optimizer": "adamw"}, "unknown optimizer 'adamw'; did you mean 'adam'"),
        ({"pixel_scaling": "standardise"}, "unknown pixel_scaling 'standardise'; did you mean 'standardize'"),
        ({"sampling": True}, "unknown sampling True"),
        ({"precision": "fp16"}, "unknown precision 'fp16'; did you mean 'bf16'"),
        ({"learning_rate": -0.1}, "learning_rate must be a number at least 0, got -0.1"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number"),
        ({"dropout": 1.0}, "dropout must be a number at most 0.99, got 1.0"),
        ({"dropout": True}, "dropout must be a number"),
        ({"epochs": 100_001}, "epochs must be an integer at most 100,000, got 100001"),
        ({"seed": -1}, "seed must be an integer at least 0, got -1"),
        ({"seed": 2**32}, "seed must be an integer at most 4,294,967,295, got 4294967296"),
        ({"seed": 0.0}, "seed must be an integer"),
        ({"varied": "initialisation"}, "unknown varied 'initialisation'; did you mean 'initialization'"),
        ({"varied": "none", "num_members": 2}, "num_members must be 1 if varied is 'none', got 2"),
        ({"cycles": -1}, "cycles must be an integer at least 0, got -1"),
        ({"cycles": 3, "epochs": 4}, "epochs must be a multiple of the 3 cycles, got 4"),
        ({"cycles": 2, "epochs": 4}, "schedule must be 'cosine' if there are cycles, got 'halving'"),
        ({"noise_epochs": 1}, "noise_epochs must be an integer at most 0, got 1"),
        ({"temperature": -1.0}, "temperature must be a number at least 0, got -1.0"),
    ],
)
def test_setting_not_allowed_is_one_line(overrides, pattern):
    with pytest.raises(ConfigError, match=pattern) as caught:
        smoke(**overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["num_members", "epochs", "batch_size", "validation_size"])
@pytest.mark.parametrize("value", [0, True, 1.0, "3"])
def test_count_not_a_positive_integer_is_one_line(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be an integer at least 1, got {re.escape(repr(value))}$"):
        smoke(**{name: value})


def test_preset_unknown_is_one_line():
    with pytest.raises(ConfigError, match=r"^unknown preset 'quik'; did you mean 'quick'\? allowed: smoke, quick"):
        Experiment.from_preset("quik")
    with pytest.raises(ConfigError, match="unknown preset"):
        dataclasses.replace(smoke(), preset="quik")


# Keys


def test_key_is_pinned():
    assert PINNED.key == "2d021de570bf119f332d9a4b184fbfaf7cfe293e18efd35ad93fcc3ae5ab6671"


def test_key_other_values_cover_every_field():
    assert set(OTHER_VALUES) | {"dataset"} == {field.name for field in dataclasses.fields(MemberConfig)}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_key_changes_with_every_field(name):
    assert dataclasses.replace(PINNED, **{name: OTHER_VALUES[name]}).key != PINNED.key


def test_key_of_an_ordinary_member_does_not_know_chains():
    """So members that were trained before chains were added are still found."""
    (member,) = members(1, varied="none", pixel_scaling="raw")
    assert (member.cycles, member.noise_epochs, member.temperature) == (0, 0, 0.0)
    fields = {name: value for name, value in dataclasses.asdict(member).items() if name not in CHAIN_FIELDS}
    content = {name: value for name, value in fields.items() if name not in ("dataset", "precision")}
    assert member.key == hashlib.sha256(config.canonical_json(content).encode()).hexdigest()


def test_key_does_not_change_with_the_name_of_the_data():
    assert dataclasses.replace(PINNED, dataset="the same data elsewhere").key == PINNED.key


def test_key_does_not_change_with_kind_of_number():
    plain = members(count=1, learning_rate=1.0, dropout=0.0, weight_decay=0.0, seed=3, epochs=2)
    numpy = members(
        count=np.int64(1), learning_rate=1, dropout=0, weight_decay=np.float64(0), seed=np.int64(3), epochs=np.int32(2)
    )
    assert [one.key for one in plain] == [one.key for one in numpy]


def test_members_of_ten_start_with_members_of_five():
    assert members(10)[:5] == members(5)
    assert len({one.key for one in members(10)}) == 10


def test_members_of_another_preset_with_same_settings_are_the_same():
    same = {name: value for name, value in dataclasses.asdict(smoke()).items() if name != "preset"}
    assert Experiment.from_preset("quick", **same).members("digits", "0" * 64) == members(3)


def test_members_varied_in_one_seed_share_the_first_members_other_seed():
    found = {
        varied: [(one.initialization, one.order) for one in members(1 if varied == "none" else 3, varied=varied)]
        for varied in CHOICES["varied"]
    }
    assert found["both"] == [(0, 0), (1, 1), (2, 2)]
    assert found["initialization"] == [(0, 0), (1, 0), (2, 0)]
    assert found["order"] == [(0, 0), (0, 1), (0, 2)]
    assert found["none"] == [(0, 0)]


def test_members_that_coincide_are_shared():
    ordinary, starts, orders = (members(3, varied=varied) for varied in ("both", "initialization", "order"))
    assert ordinary[0] == starts[0] == orders[0] == members(1, varied="none")[0]
    assert len({one.key for one in [*ordinary, *starts, *orders]}) == 7


def test_members_of_other_data_differ():
    (other,) = smoke(num_members=1).members("digits", "1" * 64)
    assert other.key != members(1)[0].key


# Seeds


def test_random_seed_differs_by_purpose_epoch_seed_and_member():
    variants = [PINNED, dataclasses.replace(PINNED, seed=1), dataclasses.replace(PINNED, initialization=4, order=4)]
    purposes = ("initialization", "order", "dropout", "augmentation", "noise")
    seeds = {one.random_seed(purpose, epoch) for one in variants for purpose in purposes for epoch in range(3)}
    assert len(seeds) == 3 * 5 * 3


def test_random_seed_does_not_change_with_other_settings():
    other = dataclasses.replace(PINNED, learning_rate=0.1, architecture="medium_cnn", epochs=3)
    assert other.random_seed("initialization") == PINNED.random_seed("initialization")


def test_random_seed_initialization_and_order_are_set_apart():
    start = dataclasses.replace(PINNED, initialization=4)
    assert start.random_seed("initialization") != PINNED.random_seed("initialization")
    order = dataclasses.replace(PINNED, order=4)
    assert order.random_seed("initialization") == PINNED.random_seed("initialization")
    for purpose in ("order", "dropout", "augmentation", "noise"):
        assert start.random_seed(purpose) == PINNED.random_seed(purpose)
        assert order.random_seed(purpose) != PINNED.random_seed(purpose)


# The modules that cannot import one another agree


def test_choices_are_those_of_the_code():
    assert set(PROTOCOLS) == set(models.ARCHITECTURES)
    assert set(CHOICES["schedule"]) == set(training.SCHEDULES)
    assert set(config.PIXEL_SCALINGS) == set(data.PIXEL_SCALINGS)
