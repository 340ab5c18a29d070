"""Parameters of a notebook: its declarations, checks of values, and the resulting experiments; runs nothing."""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import SETTINGS, Experiment
from lib.errors import ConfigError, unknown
from lib.findings.claim import Finding
from lib.presets import PRESETS
from lib.subspaces.samples import given_scales

#: Python types of the annotations allowed in a parameters cell.
KINDS = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list}

#: Counts for which None means all, although None is not the default.
ALL = ("num_corrupted", "num_foreign")

#: The smallest and largest values of parameters that several pages share.
RANGES = {"num_images": (1, math.inf), "num_samples": (1, math.inf), "margin": (0, 1), "floor": (0, 1)}


def declared_by(source: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Annotations and values of a parameters cell, by name; raises if a line is not `name: type = literal`."""
    lines = ast.parse(source).body
    annotations = {one.target.id: ast.unparse(one.annotation) for one in lines}
    return annotations, {one.target.id: ast.literal_eval(one.value) for one in lines}


def accepted(annotations: Mapping[str, str]) -> dict[str, str]:
    """The parameters that a notebook with these declarations accepts, with their types."""
    return dict(annotations) | (SETTINGS if "preset" in annotations else {})


def check_names(names: Iterable[str], annotations: Mapping[str, str]) -> None:
    """Raise a `ConfigError` for the first name that is not one of these parameters."""
    for name in names:
        if name not in annotations:
            raise ConfigError(unknown("parameter", name, annotations))


def check_types(values: Mapping[str, Any], annotations: Mapping[str, str], defaults: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` for the first value that does not have the type of its annotation.

    None is allowed if it is the default, as for settings that are not declared, and if the parameter's comment says
    that it means all.
    """
    for name, value in values.items():
        annotation = annotations[name]
        if value is None and defaults.get(name) is not None and name not in ALL:
            raise ConfigError(f"parameter {name!r} must be {annotation}, got None")
        if annotation not in KINDS:
            raise ConfigError(f"the type of parameter {name!r} must be one of {', '.join(KINDS)}, got {annotation}")
        wrong_bool = isinstance(value, bool) and annotation != "bool"
        if value is not None and (wrong_bool or not isinstance(value, KINDS[annotation])):
            got = f"{value!r:.80} ({type(value).__name__})"
            raise ConfigError(f"parameter {name!r} must be {annotation}, got {got}{_hint(name, value, annotation)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"parameter {name!r} must be finite, got {value}")


def _hint(name: str, value: Any, annotation: str) -> str:
    """How to pass what was probably meant to papermill, which reads YAML."""
    if annotation == "list":
        return f"; with papermill: -y '{name}: [first, second]'"
    if annotation == "str" and not isinstance(value, list | dict):
        return f"; with papermill: -r {name} {value}"
    if annotation == "bool" and str(value).lower() in ("true", "false"):
        return f"; with papermill: -p {name} {value.title()}"
    if annotation == "float" and re.fullmatch(r"[-+.\d]+e[-+\d]+", str(value), re.IGNORECASE):
        return "; in YAML a number has a point, and its exponent a sign: 1.0e-2"
    return ""


def check_parameters(cells: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook's parameters, after checking all names and types; raises a one-line `ConfigError` if one is wrong.

    `cells` are the sources of the cells run so far: the last one that declares `runs_dir` is the parameters cell, and a
    later one that begins with `# Parameters` is papermill's. `values` are the current values by name.
    """
    declared, passed = "", []
    for cell in cells:
        if re.search(r"^runs_dir: ", cell, re.MULTILINE):
            declared, passed = cell, []
        elif cell.startswith("# Parameters\n"):
            passed = ast.parse(cell).body
    if not declared:
        raise ConfigError("this notebook has no parameters cell before its set-up: run the cells from the top")
    annotations, defaults = declared_by(declared)
    names = [ast.unparse(name) for one in passed for name in getattr(one, "targets", [one])]
    check_names(names, accepted(annotations))
    given = {name: values[name] for name in [*annotations, *names]}
    check_types(given, accepted(annotations), defaults)
    return given


def experiments_of(finding: Finding, given: Mapping[str, Any]) -> list[Experiment]:
    """The experiments of a page, one per network, from all of its parameters; raises `ConfigError` for bad values."""
    preset = given["preset"]
    if preset not in PRESETS:
        raise ConfigError(unknown("preset", preset, PRESETS))
    overrides = {name: given[name] for name in SETTINGS if name in given}
    networks = [given["architecture"]] if finding.networks is None else given["architectures"]
    networks = dict.fromkeys(networks or finding.architectures(preset))
    experiments = [finding.experiment(preset, architecture=name, **overrides) for name in networks]
    first = experiments[0]
    if first.num_members < finding.min_members:
        raise ConfigError(
            f"num_members must be at least {finding.min_members} on this page, which compares runs, "
            f"got {first.num_members}"
        )
    # Fail here, not after an hour of training.
    given_scales(given.get("scales"))
    epochs = min(one.epochs for one in experiments)
    if "rank" in given and epochs < 2:
        raise ConfigError(f"epochs must be at least 2 on this page, which looks at the end of each run, got {epochs}")
    ranges = RANGES | {"rank": (1, epochs - 1)} | dict(finding.ranges)
    for name, (low, high) in ranges.items():
        value = given.get(name)
        if value is not None and not low <= value <= high:
            bounds = f"at least {low}" if high == math.inf else f"from {low} to {high}"
            raise ConfigError(f"{name} must be {bounds}, got {value}")
    return experiments


@dataclass(frozen=True)
class NotebookSource:
    """A notebook that is not executed: its file, its code cells, and its parameters' annotations and defaults."""

    path: Path
    text: str
    cells: tuple[str, ...]
    annotations: dict[str, str]
    defaults: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> "NotebookSource":
        """Read a notebook file.

        Raises:
            ConfigError: the file cannot be read, or has no cell of typed literals that is tagged `parameters`; the
                message is one line.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            sources = tuple("".join(cell["source"]) for cell in cells)
            tagged = ["parameters" in cell["metadata"].get("tags", ()) for cell in cells]
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ConfigError(f"{path} is not a Jupyter notebook") from None
        if True not in tagged:
            raise ConfigError(f"{path} has no cell with the tag `parameters`")
        try:
            return cls(path, text, sources, *declared_by(sources[tagged.index(True)]))
        except (SyntaxError, ValueError, TypeError, AttributeError):
            raise ConfigError(f"the parameters cell of {path} must have lines `name: type = literal`") from None
