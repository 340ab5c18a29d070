"""The building blocks of a finding: claims, which test a sentence of the paper, and the settings of its page::

    @claim("trajectories/functions-stay", "along a run predictions change less than between runs", figure="2 middle",
           criterion=Criterion("<", 1))
    def functions_stay(labels): ...

A criterion is fixed before there are results and is not changed to make a claim pass.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lib.config import Experiment
from lib.metrics.intervals import Estimate
from lib.presets import PRESETS

_OPERATORS = {
    ">=": (operator.ge, "≥"),
    "<=": (operator.le, "≤"),
    "<": (operator.lt, "<"),
    ">": (operator.gt, ">"),
    "==": (operator.eq, "="),
}


@dataclass(frozen=True)
class Criterion:
    """The condition a statistic must meet: `Criterion(">=", 0.8)`, printed as "≥ 0.8"."""

    operator: str
    threshold: float

    def __str__(self):
        return f"{_OPERATORS[self.operator][1]} {self.threshold:g}"

    def met(self, value: float) -> bool:
        """Whether `value` meets the criterion; nan never does."""
        return bool(_OPERATORS[self.operator][0](value, self.threshold))


#: Kinds of claims. Only an inference generalises to other runs and images, with an interval and a verdict.
KINDS = INFERENCE, DESCRIPTION, IDENTITY = "inference", "description", "identity"


@dataclass(frozen=True)
class PaperValue:
    """A number in the paper, or a range from `low` to `high` if it gives several, and its `source` in the paper.

    `error` is the error of reading it off a figure; `network` and `dataset` say what it was measured on.
    """

    low: float
    high: float
    source: str
    network: str
    dataset: str = "cifar10"
    error: float = 0.0

    def __str__(self):
        span = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f"{span} for {self.network} on {self.dataset}, {self.source}"


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and how it is tested.

    Attributes:
        id: finding, method if there are several, and what is claimed: `subspaces/random/stays`.
        sentence: the paper's statement, in our words.
        figure: the figure of the paper.
        criterion: the condition that the statistic must meet.
        statistic: computes the `Estimate` from arrays, which its docstring describes; the first paragraph of that
            docstring describes the statistic.
        kind: one of `KINDS`: an inference; a description of these runs only, such as their maximum; or an identity,
            which is true by construction.
        family: the identifier with `{method}` in place of the method, shared by all methods of a sentence.
        paper_values: the paper's numbers for this claim.
    """

    id: str
    sentence: str
    figure: str
    criterion: Criterion
    statistic: Callable[..., Estimate]
    kind: str = INFERENCE
    family: str = ""
    paper_values: tuple[PaperValue, ...] = ()

    @property
    def method(self) -> str:
        """The method that it is about; empty if the sentence is not judged for several."""
        before, several, _ = self.family.partition("{")
        return self.id.removeprefix(before).partition("/")[0] if several else ""

    @property
    def words(self) -> str:
        """The sentence without the method's name."""
        return self.sentence.replace(f" ({self.method})", "").replace(f"; {self.method})", ")")

    @property
    def measure(self) -> str:
        """The description of the statistic."""
        return " ".join((self.statistic.__doc__ or "").split("\n\n")[0].split()).rstrip(".")

    @property
    def finding(self) -> str:
        """The finding that the claim belongs to: the name of the module that defines its statistic."""
        return self.statistic.__module__.rpartition(".")[2]


#: Every claim by its identifier, in page order; filled when the modules of the findings are imported.
CLAIMS: dict[str, Claim] = {}


def claim(
    id: str,
    sentence: str,
    *,
    figure: str,
    criterion: Criterion,
    kind: str = INFERENCE,
    paper_values: Iterable[PaperValue] = (),
    methods: Iterable[str] = ("",),
) -> Callable[[Callable], Callable]:
    """Register the decorated function as the statistic of a claim, or of one claim per method in `methods`.

    `{method}` in the identifier and in the sentence is replaced by the method's name.
    """

    def register(statistic: Callable[..., Estimate]) -> Callable[..., Estimate]:
        for method in methods:
            name, words = id.format(method=method), sentence.format(method=method)
            CLAIMS[name] = Claim(name, words, figure, criterion, statistic, kind, id, tuple(paper_values))
        return statistic

    return register


@dataclass(frozen=True)
class Finding:
    """The settings of a finding's page.

    Attributes:
        notebook: its name without extension, such as `01_trajectories`; the finding's name is then `trajectories`.
        min_members: the minimum number of ensemble members that its statistics need.
        networks: the preset's setting that lists the networks to compare: `architectures`, or
            `sampled_architectures` if it also samples around them; None for a page with one network.
        settings: overrides of the preset for this page, by preset: its networks, its numbers, and training
            settings.
        ranges: the smallest and largest allowed value of each numeric parameter of the page.
    """

    notebook: str
    min_members: int = 2
    networks: str | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The finding's name, shared by its claims, its module and its figures."""
        return self.notebook.partition("_")[2]

    def architectures(self, preset: str) -> list[str]:
        """The networks to compare by default; a page with one network uses the first."""
        own = self.settings.get(preset, {})
        return own.get("architectures") or PRESETS[preset][self.networks or "architectures"]

    def experiment(self, preset: str, **given: Any) -> Experiment:
        """The experiment of this finding in a preset; a setting of None keeps the default of the finding or preset.

        Raises:
            ConfigError: if a value is not allowed; the message is one line.
        """
        own = {name: value for name, value in self.settings.get(preset, {}).items() if name != "architectures"}
        given = {name: value for name, value in given.items() if value is not None}
        chosen = {"architecture": self.architectures(preset)[0]} | own | given
        return Experiment.from_preset(preset, **chosen)
