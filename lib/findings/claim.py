"""A sentence of the paper as a test, and what the page of a finding needs: the words that every finding is made of::

    @claim("trajectories/functions-stay", "along a run predictions change less than between runs", figure="2 middle",
           criterion=Criterion("<", 1))
    def functions_stay(labels): ...

A criterion is fixed before there is a result and is not moved to make one pass.
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
    """What a statistic must fulfil: `Criterion(">=", 0.8)`, in print "≥ 0.8"."""

    operator: str
    threshold: float

    def __str__(self):
        return f"{_OPERATORS[self.operator][1]} {self.threshold:g}"

    def met(self, value: float) -> bool:
        """Whether `value` fulfils it; nan never does."""
        return bool(_OPERATORS[self.operator][0](value, self.threshold))


#: What a claim can be. Only an inference is about more runs and images like these, and has an interval and a verdict.
KINDS = INFERENCE, DESCRIPTION, IDENTITY = "inference", "description", "identity"


@dataclass(frozen=True)
class PaperValue:
    """A number of the paper: from `low` to `high`, where it has several, and where it stands.

    `error` is that of reading it off a figure; `network` and `dataset` are those that it is of.
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
    """What the paper says, and how it is put to the test.

    Attributes:
        id: finding, method where there are several, and what is claimed: `subspaces/random/stays`.
        sentence: the paper's, in our words.
        figure: of the paper.
        criterion: that the statistic must fulfil.
        statistic: makes the `Estimate` from arrays, which it names and describes; the first paragraph of its docstring
            says what it is.
        kind: one of `KINDS`: inference; description, of the runs at hand, such as their largest; or identity, which is
            true by construction.
        family: the identifier with `{method}` for the method, where several methods share a sentence.
        paper_values: the numbers that the paper has for it.
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
    def measure(self) -> str:
        """What the statistic is, in words."""
        return " ".join((self.statistic.__doc__ or "").split("\n\n")[0].split()).rstrip(".")

    @property
    def finding(self) -> str:
        """The finding that it belongs to: the module that has its statistic."""
        return self.statistic.__module__.rpartition(".")[2]


#: Every claim by its identifier, in the order of the pages; the modules of the findings fill it.
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
    """Make the function below it the statistic of a claim, or of one claim for each of the `methods`.

    `{method}` in the identifier and in the sentence stands for the method's name.
    """

    def register(statistic: Callable[..., Estimate]) -> Callable[..., Estimate]:
        for method in methods:
            name, words = id.format(method=method), sentence.format(method=method)
            CLAIMS[name] = Claim(name, words, figure, criterion, statistic, kind, id, tuple(paper_values))
        return statistic

    return register


@dataclass(frozen=True)
class Finding:
    """What the page of a finding needs.

    Attributes:
        notebook: its name without ending, as `01_trajectories`; the finding is called `trajectories`.
        min_members: how many members its statistics need at least.
        networks: the setting of a preset that says which networks it compares: `architectures`, or
            `sampled_architectures` for those it also samples around; None for a page of one network.
        settings: by preset, what it trains in another way than the other pages: its networks, its numbers, and
            settings of the protocol.
        ranges: the smallest and the largest value of those of its parameters that are numbers.
    """

    notebook: str
    min_members: int = 2
    networks: str | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its one name, which its claims, its module and its pictures have too."""
        return self.notebook.partition("_")[2]

    def architectures(self, preset: str) -> list[str]:
        """The networks that it compares where none is named, the first of them for a page of one."""
        own = self.settings.get(preset, {})
        return own.get("architectures") or PRESETS[preset][self.networks or "architectures"]

    def experiment(self, preset: str, **given: Any) -> Experiment:
        """Its experiment in a preset; a setting of None means "as the finding and the preset say".

        Raises:
            ConfigError: a value that is not allowed, in one line.
        """
        own = {name: value for name, value in self.settings.get(preset, {}).items() if name != "architectures"}
        given = {name: value for name, value in given.items() if value is not None}
        chosen = {"architecture": self.architectures(preset)[0]} | own | given
        return Experiment.from_preset(preset, **chosen)
