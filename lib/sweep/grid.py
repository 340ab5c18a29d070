"""A grid file as cells: lists are axes, and `include` and `exclude` mean what they mean in a CI matrix.

read_grid → Grid → cells, one set of a notebook's parameters each
"""

import itertools
import math
import reprlib
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lib.config import canonical_json
from lib.errors import ConfigError, unknown

#: Cells that a grid may have at most, and bytes of its file: more is a slip, and would take longer than anybody waits.
MOST_CELLS = 10_000
MOST_BYTES = 100_000

#: Of digits of a number: longer ones cannot even be printed.
MOST_DIGITS = 4000

#: Keys of a grid that are no parameters.
RULES = ("include", "exclude")

#: What PyYAML raises for text that is not what its tag says, besides errors of its own; `RecursionError` for too many
#: brackets.
_NOT_YAML = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)


@dataclass(frozen=True)
class Grid:
    """What a grid file says, before a notebook has been asked which of its lists are axes.

    Attributes:
        values: by parameter: a value for all cells, or a list.
        include, exclude: parts of cells.
    """

    values: dict[str, Any]
    include: list[dict[str, Any]] = field(default_factory=list)
    exclude: list[dict[str, Any]] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Plain values alone: a key that comes twice loses one of its values, and an alias can stand for very many."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise ConfigError(f"an alias (*{self.peek_event().anchor}) is not allowed; write the value out")
        return super().compose_node(parent, index)

    def construct_yaml_int(self, node):
        value = super().construct_yaml_int(node)
        if abs(value) >= 10**MOST_DIGITS:
            raise ConfigError(f"a number has more than {MOST_DIGITS:,} digits")
        return value

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise ConfigError(f"{twice[0]!r} is there twice")
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_grid(path: str | Path) -> Grid:
    """The grid of a YAML file: `name: value` for all cells, `name: [first, second]` for an axis.

    Raises:
        ConfigError: a file that cannot be read or holds anything else; one line.
    """
    content = read_yaml(path)
    try:
        return _checked(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds, without aliases; raises a `ConfigError` of one line where it cannot be read."""
    path = Path(path)
    try:
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # a pipe would be waited for
            raise ConfigError("it is not a file")
        if found.st_size > MOST_BYTES:
            raise ConfigError(f"it is larger than {MOST_BYTES:,} bytes")
        # A subclass of SafeLoader, so it makes plain values only.
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except _NOT_YAML as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"{path} is not YAML: {why}") from None


def _checked(content: Any) -> Grid:
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"a grid has lines `name: value` or `name: [first, second]`, got {short(content)}")
    for name, value in content.items():
        if not isinstance(name, str):
            raise ConfigError(f"a parameter's name must be text, got {short(name)}")
        if name not in RULES:
            check_value(name, value)
    rules = {rule: content.get(rule) or [] for rule in RULES}
    for rule, entries in rules.items():
        if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry for entry in entries):
            raise ConfigError(f"{rule} must be a list of `- name: value`, got {short(entries)}")
        for name, value in itertools.chain.from_iterable(entry.items() for entry in entries):
            check_value(f"{rule} of {short(name)}", value)
    return Grid({name: value for name, value in content.items() if name not in RULES}, **rules)


def check_value(name: str, value: Any, depth: int = 2) -> None:
    """Raise a `ConfigError` for what is no parameter: text that would not fit on a line, lists deeper than `depth`."""
    if isinstance(value, list) and depth:
        for item in value:
            check_value(name, item, depth - 1)
    elif isinstance(value, str):
        if not value.isprintable():
            raise ConfigError(f"{name} must be printable text, got {short(value)}")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(f"{name} must have at most 64 bits, got {short(value)}")
    elif not isinstance(value, bool | int | type(None)) and not (isinstance(value, float) and math.isfinite(value)):
        kinds = "text, a number, true, false, null or a list of these"
        raise ConfigError(f"{name} must be {kinds}, got {short(value)} ({type(value).__name__})")


def short(value: Any) -> str:
    """A value in a message, cut where it is long."""
    return " ".join(reprlib.repr(value).split())


def axes_of(grid: Grid, annotations: Mapping[str, str]) -> dict[str, list]:
    """The parameters that vary, with their values.

    A parameter that is a list itself (`annotations` says `list`) has an axis of lists: `[[a, b], [c]]`; a flat list is
    one value of it, as in a parameter file.

    Raises:
        ConfigError: an axis without values, or a list of both kinds.
    """
    axes = {}
    for name, value in grid.values.items():
        if not isinstance(value, list):
            continue
        takes_list = annotations.get(name) == "list"
        lists = [isinstance(item, list) for item in value]
        if takes_list and not any(lists):
            continue
        if takes_list and not all(one or item is None for one, item in zip(lists, value, strict=True)):
            raise ConfigError(
                f"{name} takes a list, so that its axis is a list of lists, as in {name}: [[first, second], [third]]; "
                f"got {short(value)}"
            )
        if not takes_list and any(lists):
            raise ConfigError(f"{name} takes one value, so that its axis is [first, second]; got {short(value)}")
        if not value:
            raise ConfigError(f"the axis of {name} has no values")
        axes[name] = value
    return axes


def cells(grid: Grid, annotations: Mapping[str, str]) -> list[dict[str, Any]]:
    """The cells of a grid, in its order, each once: what it says of the parameters of one run of the notebook.

    As in the matrices of GitHub Actions:

    - All combinations of the axes' values are made, and those that have all values of an entry of `exclude` go.
    - Then each entry of `include` is added to every combination whose values of the axes it leaves as they are; values
      that an earlier entry added it may replace. One that fits nowhere becomes a cell of its own.

    What is no list is the same in all cells, those of `include` too, unless an entry says otherwise.

    Args:
        grid: of `read_grid`.
        annotations: the parameters of the notebook with their types, `list` for one that is a list itself.

    Raises:
        ConfigError: a name that is no parameter, an entry of `exclude` about what the grid does not say, more than
            `MOST_CELLS` cells, or none.
    """
    names = itertools.chain(grid.values, *grid.include, *grid.exclude)
    for name in names:
        if name not in annotations:
            raise ConfigError(unknown("parameter", name, annotations))
    axes = axes_of(grid, annotations)
    count = math.prod(map(len, axes.values())) + len(grid.include)
    if count > MOST_CELLS:
        raise ConfigError(f"the grid has up to {count:,} cells, more than {MOST_CELLS:,}")
    fixed = {name: value for name, value in grid.values.items() if name not in axes}
    for name in itertools.chain.from_iterable(grid.exclude):
        if name not in grid.values:
            raise ConfigError(f"exclude names {name!r}, of which the grid says nothing")

    only_included = grid.include and not axes
    combinations = [] if only_included else _combinations(axes)
    combinations = [one for one in combinations if not any(_has(fixed | one, entry) for entry in grid.exclude)]
    chosen = [{**fixed, **one} for one in _included(combinations, grid.include, set(axes))]
    if not chosen:
        raise ConfigError("the grid has no cells: exclude leaves nothing")
    return list({canonical_json(sorted(one.items())): one for one in chosen}.values())


def _combinations(axes: Mapping[str, list]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _included(combinations: list[dict], include: Iterable[dict], axes: set[str]) -> list[dict]:
    """The combinations with what `include` adds to them, and after them its entries that fit none."""
    whole, alone = [dict(one) for one in combinations], []
    for entry in include:
        of_axes = {name: value for name, value in entry.items() if name in axes}
        fitting = [number for number, one in enumerate(combinations) if _has(one, of_axes)]
        for number in fitting:
            whole[number].update(entry)
        if not fitting:
            alone.append(dict(entry))
    return whole + alone


def _has(cell: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether a cell says all that a part says; true is not 1."""
    missing = object()
    return all(
        cell.get(name, missing) == value and isinstance(cell[name], bool) == isinstance(value, bool)
        for name, value in part.items()
    )
