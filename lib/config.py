"""What determines a result: experiments, the members of an ensemble and their content keys."""

import hashlib
import json
import math
import numbers
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

from lib.errors import ConfigError, unknown
from lib.presets import PRESETS, PROTOCOLS

#: Part of every key: increase it whenever the same `MemberConfig` would give different weights.
TRAINING_VERSION = 2

PIXEL_SCALINGS = ("standardize", "raw", "mean-image")

#: Allowed values of settings that are words.
CHOICES: dict[str, Collection[str]] = {
    "architecture": PROTOCOLS,
    "optimizer": ("adam", "momentum", "sgd"),
    "schedule": ("constant", "halving", "keras-resnet", "step", "cosine"),
    "augmentation": ("none", "shift-flip"),
    "pixel_scaling": PIXEL_SCALINGS,
    "sampling": ("permutation", "replacement"),
    "precision": ("float32", "bf16"),
    "varied": ("both", "initialization", "order", "none"),
}

#: Minimum and maximum of numeric settings. Some maxima are far above any sensible value: they catch a typo in a file of
#: parameters that would otherwise use up memory or run forever without a message.
RANGES: dict[str, tuple[float, float]] = {
    "num_members": (1, 10_000),
    "epochs": (1, 100_000),
    "batch_size": (1, 1_000_000),
    "seed": (0, 2**32 - 1),  # the range that scikit-learn accepts
    "learning_rate": (0, math.inf),
    "dropout": (0, 0.99),
    "weight_decay": (0, math.inf),
    "cycles": (0, math.inf),
    "temperature": (0, math.inf),
}


def _check_choice(kind: str, name: Any, allowed: Iterable[str]) -> None:
    if name not in list(allowed):
        raise ConfigError(unknown(kind, name, allowed))


def _check_number(name: str, value: Any, kind: type, low: float, high: float = math.inf) -> None:
    number = isinstance(value, numbers.Integral if kind is int else numbers.Real) and not isinstance(value, bool)
    if not number or not low <= value <= high or value == math.inf:
        bound = f"at most {high:,}" if number and value > high else f"at least {low}"
        raise ConfigError(f"{name} must be {'an integer' if kind is int else 'a number'} {bound}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What an experiment and each of its members share."""

    dataset: str
    architecture: str
    epochs: int
    seed: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    dropout: float
    weight_decay: float
    augmentation: str
    pixel_scaling: str
    sampling: str
    precision: str = "float32"
    cycles: int = 0
    noise_epochs: int = 0
    temperature: float = 0.0

    def not_default(self) -> dict[str, Any]:
        """The fields that are not at their default, by name."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in values if value != default}


@dataclass(frozen=True, kw_only=True)
class MemberConfig(_Settings):
    """Everything that determines the weights of one member, and nothing else.

    `initialization` is the member number that seeds the initial weights, `order` the one that seeds data order,
    dropout, augmentation and noise; they are equal in an ordinary ensemble. With `cycles` the member is a chain of
    `lib.training.sgmcmc`. A field added later needs a default that leaves existing members unchanged: fields at their
    default are left out of the key.
    """

    dataset_hash: str
    initialization: int
    order: int
    training_version: int

    @property
    def key(self) -> str:
        """SHA-256 (hex, 64 digits) of the canonical JSON of everything that determines this member."""
        content = {name: value for name, value in self.not_default().items() if name != "dataset"}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def random_seed(self, purpose: str, epoch: int = 0) -> int:
        """Seed of the generator for one purpose in one epoch: a 63-bit integer.

        Purposes are `initialization`, `order`, `dropout`, `augmentation` and `noise`.
        """
        member = self.initialization if purpose == "initialization" else self.order
        digest = hashlib.sha256(f"{self.seed}/{member}/{purpose}/{epoch}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1


def canonical_json(content: Any) -> str:
    """The unique JSON text of `content`, from which keys are made."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class Experiment(_Settings):
    """An ensemble to be trained: the data, the network, the protocol and the seeds.

    `varied` says which seeds differ between members: `both`, as in an ordinary ensemble; only `initialization` or
    `order`, the other being that of member 0; or `none`, for member 0 alone. If `cycles` is not 0, every member is a
    chain of `lib.training.sgmcmc`, with noise at the given `temperature` in the last `noise_epochs` of each cycle.

    Raises:
        ConfigError: a value is not allowed; one line.
    """

    num_members: int
    validation_size: int | None = None
    preset: str | None = None
    varied: str = "both"

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str) or not self.dataset:
            raise ConfigError(f"dataset must be a name or a path, got {self.dataset!r}")
        kinds = {field.name: field.type for field in fields(self)}
        for name, allowed in CHOICES.items():
            _check_choice(name, getattr(self, name), allowed)
        for name, (low, high) in RANGES.items():
            _check_number(name, getattr(self, name), kinds[name], low, high)
        if self.validation_size is not None:
            _check_number("validation_size", self.validation_size, int, 1)
        if self.preset is not None:
            _check_choice("preset", self.preset, PRESETS)
        if self.varied == "none" and self.num_members > 1:
            raise ConfigError(f"num_members must be 1 if varied is 'none', got {self.num_members}")
        if self.cycles and self.epochs % self.cycles:
            raise ConfigError(f"epochs must be a multiple of the {self.cycles} cycles, got {self.epochs}")
        if self.cycles and self.schedule != "cosine":
            raise ConfigError(f"schedule must be 'cosine' if there are cycles, got {self.schedule!r}")
        _check_number("noise_epochs", self.noise_epochs, int, 0, self.epochs // self.cycles if self.cycles else 0)
        # 1 for 1.0, or a NumPy number, is the same setting and must give the same key.
        for name, kind in kinds.items():
            if kind in (int, float):
                object.__setattr__(self, name, kind(getattr(self, name)))

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> "Experiment":
        """Create the experiment of a preset; an override of `None` keeps the preset's value.

        `architecture` defaults to the first one of the preset. Settings that are not in the preset come from the
        architecture's protocol.
        """
        _check_choice("preset", preset, PRESETS)
        allowed = [field.name for field in fields(cls) if field.name != "preset"]
        for name in overrides:
            _check_choice("setting", name, allowed)
        given = {name: value for name, value in overrides.items() if value is not None}
        architecture = given.get("architecture", PRESETS[preset]["architectures"][0])
        _check_choice("architecture", architecture, PROTOCOLS)
        protocol = PROTOCOLS[architecture]
        settings = {name: value for name, value in PRESETS[preset].items() if name in allowed}
        settings["epochs"] = settings["epochs"].get(architecture, protocol["epochs"])
        settings |= PRESETS[preset].get("by_network", {}).get(architecture, {})
        return cls(**{"seed": 0, "architecture": architecture, **protocol, **settings, **given}, preset=preset)

    def members(self, dataset_name: str, dataset_hash: str) -> list[MemberConfig]:
        """The configurations of all members, given the name and content hash of the loaded data."""
        settings = {field.name: getattr(self, field.name) for field in fields(_Settings)} | {
            "dataset": dataset_name,
            "dataset_hash": dataset_hash,
            "training_version": TRAINING_VERSION,
        }
        initialization, order = self.varied in ("both", "initialization"), self.varied in ("both", "order")
        return [
            MemberConfig(**settings, initialization=member if initialization else 0, order=member if order else 0)
            for member in range(self.num_members)
        ]


#: Settings of an experiment, with their types, that every page accepts as parameters, declared or not.
SETTINGS = {
    field.name: getattr(field.type, "__name__", "int")  # or None
    for field in fields(Experiment)
    if field.name not in ("architecture", "preset", "varied")
}
