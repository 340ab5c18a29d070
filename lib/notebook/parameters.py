"""A notebook's parameters: which it declares, which values fit, and what experiments they mean; nothing is run.

NotebookSource.read → annotations and defaults → check_names, check_types → experiments_of
"""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.config import PRESETS, STUDIES, Experiment
from lib.errors import ConfigError, unknown
from lib.subspaces.samples import given_scales
from lib.sweep.grid import check_value, short

#: Python's types of the annotations that a parameters cell may have.
KINDS = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list}

#: Parameters that are settings of an experiment, where a page has them.
SETTINGS = ("dataset", "num_members", "epochs", "seed", "batch_size", "precision", "learning_rate")
CHAIN_SETTINGS = ("cycles", "noise_epochs", "temperature")

#: Arguments of `lib.notebook.page.open_page`, in their order.
_OPEN_PAGE = ("min_members", "networks", "study")


def annotations_of(source: str) -> dict[str, str]:
    """Names and annotations that a parameters cell declares."""
    return {
        statement.target.id: ast.unparse(statement.annotation)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def check_names(names: Iterable[str], annotations: Mapping[str, str]) -> None:
    """Raise a `ConfigError` for the first name that is not declared."""
    for name in names:
        if name not in annotations:
            raise ConfigError(unknown("parameter", name, annotations))


def check_types(values: Mapping[str, Any], annotations: Mapping[str, str]) -> None:
    """Raise a `ConfigError` for the first value of another type than its annotation; `None` is always allowed."""
    for name, value in values.items():
        check_value(name, value)
        annotation = annotations[name]
        if annotation not in KINDS:
            raise ConfigError(f"the type of parameter {name!r} must be one of {', '.join(KINDS)}, got {annotation}")
        wrong_bool = isinstance(value, bool) and annotation != "bool"
        if value is not None and (wrong_bool or not isinstance(value, KINDS[annotation])):
            hint = f"; with papermill: -y '{name}: [first, second]'" if annotation == "list" else ""
            got = f"{short(value)} ({type(value).__name__})"
            raise ConfigError(f"parameter {name!r} must be {annotation}, got {got}{hint}")


def experiments_of(
    given: Mapping[str, Any], min_members: int = 1, networks: str = "architectures", study: str | None = None
) -> list[Experiment]:
    """The experiments of a page, one an architecture, from all of its parameters; see `lib.notebook.page.open_page`.

    Raises:
        ConfigError: a value that is not allowed; one line.
    """
    if given["preset"] not in PRESETS:
        raise ConfigError(unknown("preset", given["preset"], PRESETS))
    if "architectures" in given:
        preset = PRESETS[given["preset"]] | (STUDIES[study][given["preset"]] if study else {})
        architectures = given["architectures"] or preset[networks]
    else:
        architectures = [given["architecture"]]
    overrides = {name: given[name] for name in (*SETTINGS, *CHAIN_SETTINGS) if name in given}
    experiments = [
        Experiment.from_preset(given["preset"], study, architecture=name, **overrides) for name in architectures
    ]
    first = experiments[0]
    if first.num_members < min_members:
        raise ConfigError(
            f"num_members must be at least {min_members} on this page, which compares runs, got {first.num_members}"
        )
    # So that one that is not allowed stops the notebook here, and not after an hour of training.
    given_scales(given.get("scales"))
    rank, most = given.get("rank"), first.epochs - 1
    if rank is not None and not 1 <= rank <= most:
        raise ConfigError(f"rank must be from 1 to {most}, one less than the epochs, got {rank}")
    return experiments


@dataclass(frozen=True)
class NotebookSource:
    """A notebook that was not executed, as far as it can be known without that.

    Attributes:
        path: of its file.
        text: of its file.
        cells: sources of its code cells.
        annotations: of its parameters, by name, in their order.
        defaults: their values.
    """

    path: Path
    text: str
    cells: tuple[str, ...]
    annotations: dict[str, str]
    defaults: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> "NotebookSource":
        """The notebook in a file.

        Raises:
            ConfigError: a file that cannot be read, that is no notebook, or one without a cell of typed literals that
                is tagged `parameters`; one line.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            sources = ["".join(cell["source"]) for cell in cells]
            tagged = ["parameters" in cell["metadata"].get("tags", ()) for cell in cells]
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ConfigError(f"{path} is not a Jupyter notebook") from None
        if True not in tagged:
            raise ConfigError(f"{path} has no cell with the tag `parameters`")
        try:
            statements = ast.parse(sources[tagged.index(True)]).body
            defaults = {one.target.id: ast.literal_eval(one.value) for one in statements}
            annotations = annotations_of(sources[tagged.index(True)])
        except (SyntaxError, ValueError, TypeError, AttributeError):
            raise ConfigError(f"the parameters cell of {path} must have lines `name: type = literal`") from None
        return cls(path, text, tuple(sources), annotations, defaults)

    @cached_property
    def _statements(self) -> list[ast.AST]:
        """Everything in the code cells, without those that are not plain Python."""
        found = []
        for cell in self.cells:
            try:
                found += ast.walk(ast.parse(cell))
            except SyntaxError:  # a cell with IPython magic
                continue
        return found

    def _calls(self, name: str) -> list[ast.Call]:
        calls = [node for node in self._statements if isinstance(node, ast.Call)]
        return [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", None)) == name]

    def experiments(self, given: Mapping[str, Any]) -> list[Experiment]:
        """The experiments that its call of `open_page` makes of all its parameters; none where it has no such call.

        Raises:
            ConfigError: a value that is not allowed, or a call whose arguments are no literals.
        """
        for call in self._calls("open_page"):
            try:
                arguments = dict(zip(_OPEN_PAGE, map(ast.literal_eval, call.args), strict=False))
                arguments |= {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            except ValueError:
                raise ConfigError(f"the arguments of open_page in {self.path} must be literals") from None
            return experiments_of(given, **arguments)
        return []

    def trains_its_experiments(self) -> bool:
        """Whether what it trains are the members of its experiments.

        Otherwise it derives other experiments from them, or puts others in their place.
        """
        loops = [node for node in self._statements if isinstance(node, ast.For | ast.comprehension)]
        own = {ast.unparse(one.target) for one in loops if ast.unparse(one.iter) == "page.experiments"}
        trained = {ast.unparse(call.args[0]) for call in self._calls("train") if call.args}
        assigned = [node for node in self._statements if isinstance(node, ast.Assign)]
        pages = sum(ast.unparse(target) == "page" for node in assigned for target in node.targets)
        return pages == 1 and bool(trained) and trained <= own | {"page.experiment"}

    def trains_paths(self) -> bool:
        """Whether it also trains paths between members, as page 6 does."""
        return bool(self._calls("middle"))
