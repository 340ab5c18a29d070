"""One notebook over a grid of parameters: its cells, their names, and which of them are complete.

NotebookSource, Grid → plan → Sweep → lib.sweep.execution → lib.sweep.sweep_page
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lib.config import TRAINING_VERSION, Experiment, canonical_json
from lib.data.datasets import DATASETS, load_dataset
from lib.errors import ConfigError, OneLineError
from lib.findings import claims
from lib.notebook.parameters import NotebookSource, check_types
from lib.run.engines import check_engine
from lib.run.files import DamagedRun, read_file
from lib.run.store import RunStore
from lib.sweep.cell import checksums
from lib.sweep.grid import Grid, cells

#: Parameters that the sweep chooses for each cell.
CHOSEN = ("results_dir",)

#: Parameters that say where or how something is computed, and are left out of the cells' names.
UNNAMED = ("runs_dir", "data_dir", "engine", "scheduler", "jobs", "batch_workers")

#: Members that an experiment of a cell may have: each of them has a key to compute.
MOST_MEMBERS = 10_000

#: Characters of a cell's name before its key, which has as many digits as follow.
NAME_LENGTH, KEY_LENGTH = 100, 12

#: Of one sweep at a time, and the sign that a folder is one of a sweep.
LOCK = ".sweep.lock"


class SweepError(OneLineError):
    """A sweep cannot begin or go on; the message is one line."""


@dataclass(frozen=True)
class Cell:
    """One run of the notebook.

    Attributes:
        name: of its files: its parameters, and a key of all that decides whether it is complete.
        parameters: what the grid says, by name, in the order of the notebook.
        given: all parameters of the notebook.
        experiments: what it trains, where that is known.
    """

    name: str
    parameters: dict[str, Any] = field(hash=False)
    given: dict[str, Any] = field(hash=False)
    experiments: list[Experiment] = field(hash=False)


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep and its folder, which has `notebooks/<cell>.ipynb` and `claims/<cell>/`.

    Attributes:
        source: the notebook.
        cells: each once.
        folder: of all results.
        options: of `lib.run.engines.open_engine`.
        failures: why cells failed in `run`, by their names.
    """

    source: NotebookSource
    cells: list[Cell]
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> RunStore:
        """The run store that all cells share."""
        return RunStore(self.cells[0].given.get("runs_dir"))

    @property
    def varied(self) -> list[str]:
        """The parameters that are not the same in all cells, in the notebook's order."""
        return varied(self.cells)

    def label(self, cell: Cell) -> str:
        """What sets a cell apart from the others."""
        return ", ".join(f"{name} = {value_text(cell.given[name])}" for name in self.varied) or cell.name

    def notebook(self, cell: Cell) -> Path:
        """Where the executed notebook of a cell is when it is complete."""
        return self.folder / "notebooks" / f"{cell.name}.ipynb"

    def failed(self, cell: Cell) -> Path:
        """Where the notebook of a cell is that failed."""
        return self.folder / "notebooks" / f"{cell.name}.failed.ipynb"

    def unfinished(self, cell: Cell) -> list[Path]:
        """Notebooks of a cell that is running, or whose process died."""
        return sorted((self.folder / "notebooks").glob(f".{cell.name}.*.running.ipynb"))

    def results(self, cell: Cell) -> list[claims.Result] | None:
        """The verdicts of a cell that is complete; `None` for one that is not, or whose files are damaged."""
        folder = self.folder / "claims" / cell.name
        try:
            content = json.loads(read_file(self.notebook(cell)))
            written = content["metadata"].pop("checksums")
            executed = content["metadata"]["papermill"]["exception"] is None and folder.is_dir()
            whole = executed and written == checksums(content, folder)
            return claims.read_results(folder) if whole else None
        except (OSError, DamagedRun, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None


def plan(
    notebook: str | Path,
    grid: Grid,
    folder: str | Path,
    engine: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Sweep:
    """The sweep of a notebook over a grid, once everything about it is right; nothing is written.

    Args:
        notebook: its file.
        grid: of `lib.sweep.grid.read_grid`.
        folder: where all results go.
        engine, jobs, scheduler: of `lib.run.engines.open_engine`, for the cells; each trains its members in its own
            process, one after the other, unless the grid says otherwise.

    Raises:
        OneLineError: a name, a type or a value that is not allowed, in any cell, or data that do not exist.
    """
    check_engine(engine, jobs, scheduler)
    if find_spec("papermill") is None:
        raise SweepError("sweeps need papermill: install ensemble-landscapes[book]")
    source = NotebookSource.read(notebook)
    chosen: dict[str, Cell] = {}
    content_hash = lru_cache(_content_hash)  # for this call alone, as the data may have changed before the next one
    for parameters in cells(grid, source.annotations):
        cell = _cell(source, parameters, content_hash)
        chosen.setdefault(cell.name, cell)
    stores = {str(cell.given.get("runs_dir")) for cell in chosen.values()}
    if len(stores) > 1:
        raise ConfigError(f"runs_dir must be the same in all cells, which share one run store, got {sorted(stores)}")
    options = {"engine": engine, "jobs": jobs, "scheduler": scheduler}
    return Sweep(source, list(chosen.values()), Path(folder).expanduser().absolute(), options)


def _cell(source: NotebookSource, parameters: Mapping[str, Any], content_hash: Callable[..., str | None]) -> Cell:
    for name in CHOSEN:
        if name in parameters:
            raise ConfigError(f"{name} cannot be in a grid: a sweep gives each cell its own, below its output folder")
    check_types(parameters, source.annotations)
    given = source.defaults | dict(parameters)
    check_engine(given.get("engine"), given.get("jobs"), given.get("scheduler"))
    experiments = source.experiments(given)
    if any(experiment.num_members > MOST_MEMBERS for experiment in experiments):
        raise ConfigError(f"num_members must be at most {MOST_MEMBERS:,} in a grid, got {given['num_members']}")
    first = experiments[0] if experiments else None
    # 1 for 1.0 is the same cell, and so is one that says what the notebook says by itself.
    floats = [name for name, annotation in source.annotations.items() if annotation == "float"]
    content = given | {name: float(given[name]) for name in floats if given[name] is not None}
    recipe = {
        "code": source.cells,
        "parameters": content,
        "training_version": TRAINING_VERSION,
        "data": content_hash(first.dataset, given.get("data_dir"), first.validation_size) if first else None,
    }
    key = hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:KEY_LENGTH]
    ordered = {name: parameters[name] for name in source.annotations if name in parameters}
    said = {name: value for name, value in content.items() if value != source.defaults[name] and name not in UNNAMED}
    # Of a path its end: the rest says more of the machine than of the cell.
    words = [f"{name}={value_text(value).rstrip('/').rpartition('/')[2]}" for name, value in said.items()]
    # Nothing that a shell or an address would have to quote.
    readable = re.sub(r"[^A-Za-z0-9._,=+-]+", "_", ",".join(words) or source.path.stem)
    return Cell(f"{readable[:NAME_LENGTH]}-{key}", ordered, given, experiments)


def _content_hash(dataset: str, data_dir: str | None, validation_size: int | None) -> str | None:
    """Checksum of data that are the user's files and may change; raises for data that are none."""
    return None if dataset in DATASETS else load_dataset(dataset, data_dir, validation_size).content_hash


def varied(cells: Sequence[Cell]) -> list[str]:
    """The parameters that are not the same in all of some cells."""
    return [name for name in cells[0].given if len({value_text(cell.given[name]) for cell in cells}) > 1]


def value_text(value: Any) -> str:
    """A parameter's value as a few words."""
    if isinstance(value, list):
        return "+".join(map(value_text, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return "none" if value is None else str(value)


def duration(seconds: float) -> str:
    """A time in the unit that fits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
