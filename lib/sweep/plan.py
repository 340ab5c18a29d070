"""Notebooks over a grid of parameters: the cells, their names, which of them are complete, and their results.

NotebookSource, grid → plan → Sweep → lib.sweep.execute
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from lib.config import SETTINGS, TRAINING_VERSION, Experiment, canonical_json
from lib.data.datasets import DATASETS, load_dataset
from lib.data.sources import SOURCES, data_root, locate
from lib.errors import ConfigError
from lib.findings import FINDINGS
from lib.findings.judging import Result
from lib.findings.records import read_results
from lib.notebook.parameters import NotebookSource, accepted, check_names, check_types, experiments_of
from lib.run.engines import check_engine
from lib.run.files import DamagedRun, local_path, read_file, sha256, write_atomically
from lib.run.store import RunStore
from lib.sweep.grid import combinations

#: Parameters that say where or how something is computed; they are omitted from the names of cells.
UNNAMED = ("runs_dir", "data_dir", "engine", "scheduler", "jobs", "batch_workers")

#: Maximum length of a cell's name before its key, and length of the key.
NAME_LENGTH, KEY_LENGTH = 100, 12


@dataclass(frozen=True, eq=False)
class Cell:
    """One run of a notebook.

    Attributes:
        name: name of its files: the notebook, its parameters, and a key of everything that determines its results.
        source: the notebook.
        parameters: the values from the grid, by name.
        given: all parameters of the notebook, including defaults.
        experiments: what it trains; empty if unknown.
    """

    name: str
    source: NotebookSource
    parameters: dict[str, Any]
    given: dict[str, Any]
    experiments: list[Experiment]

    @property
    def store(self) -> RunStore:
        """The run store that its notebook uses."""
        return RunStore(self.given.get("runs_dir"))


@dataclass(frozen=True)
class Sweep:
    """The cells of a sweep and its folder, which contains `notebooks/<cell>.ipynb` and `claims/<cell>/`.

    Attributes:
        cells: the cells, without duplicates.
        folder: the folder of all results.
        engine, jobs, scheduler: see `lib.run.engines.open_engine`.
    """

    cells: list[Cell]
    folder: Path
    engine: str | None = None
    jobs: int | None = None
    scheduler: str | None = None

    def notebook(self, cell: Cell) -> Path:
        """Path of the executed notebook of a complete cell."""
        return self.folder / "notebooks" / f"{cell.name}.ipynb"

    def failed(self, cell: Cell) -> Path:
        """Path of the notebook of a failed cell."""
        return self.folder / "notebooks" / f"{cell.name}.failed.ipynb"

    def unfinished(self, cell: Cell) -> Path:
        """Path of a cell's notebook while this process has it executed.

        The name is this process's own: a worker that outlived another process's sweep may still write to its notebook.
        """
        return self.folder / "notebooks" / f".{cell.name}.{os.getpid()}.running.ipynb"

    def records(self, cell: Cell) -> Path:
        """The folder of a cell's verdicts."""
        return self.folder / "claims" / cell.name

    def complete(self, cell: Cell) -> None:
        """Move a cell's executed notebook to its final path, with checksums of itself and of the verdicts.

        Raises:
            OSError, ValueError, OneLineError: it cannot be read or written here.
        """
        content = json.loads(self.unfinished(cell).read_bytes())
        content["metadata"]["checksums"] = self._checksums(cell, content)
        write_atomically(self.notebook(cell), json.dumps(content, indent=1, ensure_ascii=False).encode())
        self.unfinished(cell).unlink()
        self.failed(cell).unlink(missing_ok=True)

    def results(self, cell: Cell) -> list[Result] | None:
        """The verdicts of a complete cell; `None` if it is not complete or its files are damaged."""
        try:
            content = json.loads(read_file(self.notebook(cell)))
            written = content["metadata"].pop("checksums")
            return read_results(self.records(cell)) if written == self._checksums(cell, content) else None
        except (OSError, DamagedRun, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def missing(self, cell: Cell) -> str:
        """How many members of a cell's experiments its store lacks, such as "1 of 5"; or "complete" or "not known"."""
        if self.results(cell) is not None:
            return "complete"
        lacking, root = 0, data_root(cell.given.get("data_dir"))
        for experiment in cell.experiments:
            if experiment.dataset in SOURCES and not locate(experiment.dataset, root):
                lacking += experiment.num_members  # nothing was trained here if the data are not here
                continue
            dataset = load_dataset(experiment.dataset, root, experiment.validation_size)
            members = experiment.members(dataset.name, dataset.content_hash)
            lacking += sum(not cell.store.run(member).is_complete() for member in members)
        total = sum(experiment.num_members for experiment in cell.experiments)
        return f"{lacking} of {total}" if total else "not known"

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of all complete cells, by name, with every parameter that varies, the notebook and the cell.

        `results`: one row per verdict, with its numbers and the run it belongs to. `scores`: one row per number of the
        cells' `estimates.csv`, such as accuracy and Brier score by network or ensemble.
        """
        verdicts, scores = [], [pd.DataFrame()]
        for cell in self.cells:
            results = self.results(cell)
            if results is None:
                continue
            varied = {name: cell.given.get(name) for name in self._varying}
            varied = {name: value_text(one) if isinstance(one, list) else one for name, one in varied.items()}
            place = {"notebook": cell.source.path.stem, "cell": cell.name}
            for result in results:
                context = result.context
                row = {"claim": result.claim.id}
                row |= {name: getattr(result.estimate, name) for name in ("value", "low", "high")}
                row |= {"verdict": result.verdict} | varied
                row |= {"dataset": cell.given.get("dataset") or context["dataset"]}
                row |= {name: context.get(name) for name in ("architecture", "seed", "epochs")}
                verdicts.append(row | {"members": context.get("num_members")} | place)
            paths = sorted(self.records(cell).glob("*/estimates.csv"))
            scores += [pd.read_csv(path).assign(**varied, **place) for path in paths]
        return {"results": pd.DataFrame(verdicts), "scores": pd.concat(scores, ignore_index=True)}

    @cached_property
    def _varying(self) -> list[str]:
        """The parameters that are not the same in all cells; a setting that a cell does not have is None there."""
        given = [cell.given for cell in self.cells]
        names = dict.fromkeys(name for one in given for name in one)
        texts = {name: {value_text(one.get(name)) for one in given if name in {**one, **SETTINGS}} for name in names}
        return [name for name, found in texts.items() if len(found) > 1]

    def _checksums(self, cell: Cell, content: dict[str, Any]) -> dict[str, str]:
        """Checksums, by name, of the cell's verdicts and of the executed notebook without its checksums."""
        paths = sorted(self.records(cell).rglob("*.json"))
        verdicts = {str(path.relative_to(self.records(cell))): sha256(read_file(path)) for path in paths}
        return verdicts | {"notebook": sha256(json.dumps(content, sort_keys=True).encode())}


def plan(
    notebooks: Sequence[str | Path],
    grid: Sequence[Mapping[str, Any]],
    folder: str | Path,
    engine: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Sweep:
    """Plan a sweep of notebooks over a grid, and check everything about it; nothing is written.

    Args:
        notebooks: their files; each takes those parameters of the grid that it accepts.
        grid: the mappings from `lib.sweep.grid.read_grid`.
        folder: the folder for all results.
        engine, jobs, scheduler: see `lib.run.engines.open_engine`, for the cells; each cell trains its members in its
            own process, one after the other, unless the grid says otherwise.

    Raises:
        OneLineError: a parameter that no notebook accepts, a type or value that is not allowed in some cell, or missing
            data.
    """
    check_engine(engine, jobs, scheduler)
    if find_spec("papermill") is None:
        raise ConfigError("sweeps need papermill: install ensemble-landscapes[book]")
    sources = [NotebookSource.read(path) for path in notebooks]
    declared = dict.fromkeys(name for source in sources for name in accepted(source.annotations))
    given = [name for mapping in grid for name in mapping]
    check_names(given, declared)
    if "results_dir" in given:
        raise ConfigError("results_dir cannot be in a grid: a sweep gives each cell its own, below its output folder")
    content_hash = lru_cache(_content_hash)  # for this call only, as the data may change before the next one
    cells: dict[str, Cell] = {}
    for source in sources:
        for mapping in grid:
            for parameters in combinations(mapping, accepted(source.annotations)):
                cell = _cell(source, parameters, content_hash)
                cells.setdefault(cell.name, cell)
    return Sweep(list(cells.values()), local_path(folder, "output"), engine, jobs, scheduler)


def _cell(source: NotebookSource, parameters: Mapping[str, Any], content_hash: Callable[..., str | None]) -> Cell:
    check_types(parameters, accepted(source.annotations), source.defaults)
    # None for a setting that is not declared means the preset's value.
    parameters = {name: value for name, value in parameters.items() if value is not None or name in source.defaults}
    given = source.defaults | parameters
    check_engine(given.get("engine"), given.get("jobs"), given.get("scheduler"))
    finding = FINDINGS.get(re.sub(r"^\d+_", "", source.path.stem))
    experiments = experiments_of(finding, given) if finding else []
    # 1 and 1.0 are the same cell, and so are a default and the same value given explicitly.
    floats = [name for name, annotation in accepted(source.annotations).items() if annotation == "float"]
    content = given | {name: float(given[name]) for name in floats if given.get(name) is not None}
    recipe = {
        "code": source.cells,
        "parameters": content,
        "training_version": TRAINING_VERSION,
        "data": content_hash(given.get("dataset"), given.get("data_dir")),
    }
    key = hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:KEY_LENGTH]
    usual = {name: source.defaults.get(name) for name in content}
    said = {name: value for name, value in content.items() if value != usual[name] and name not in UNNAMED}
    # Only the end of a path: the rest depends on the machine rather than the cell.
    words = [f"{name}_{value_text(value).rstrip('/').rpartition('/')[2]}" for name, value in said.items()]
    # No characters that a shell, a URL or LaTeX's \input would need to quote.
    readable = re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join([source.path.stem, *words]))
    return Cell(f"{readable[:NAME_LENGTH]}-{key}", source, parameters, given, experiments)


def _content_hash(dataset: str | None, data_dir: str | None) -> str | None:
    """Checksum of the user's own data, which may change (`None` for others); raises if they do not exist."""
    return None if dataset is None or dataset in DATASETS else load_dataset(dataset, data_dir).content_hash


def value_text(value: Any) -> str:
    """A parameter's value as short text."""
    if isinstance(value, list):
        return "+".join(map(value_text, value))
    return "none" if value is None else str(value)
