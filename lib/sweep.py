"""One notebook over a grid of parameters: which cells are complete, who executes the others, and what failed.

NotebookSource, Grid → plan → Sweep → run (papermill in the workers of an engine) → lib.sweep_page
"""

import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Future, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

import lib
from lib import claims
from lib.config import TRAINING_VERSION, ConfigError, Experiment, OneLineError, canonical_json
from lib.data import DATASETS, load_dataset
from lib.ensemble import check_engine, open_engine
from lib.files import DamagedRun, read_file, sha256, write_atomically
from lib.grid import Grid, cells
from lib.parameters import NotebookSource, check_types
from lib.store import RunStore

#: Parameters that the sweep chooses for each cell.
CHOSEN = ("results_dir",)

#: Parameters that say where or how something is computed, and are left out of the cells' names.
UNNAMED = ("runs_dir", "data_dir", "engine", "jobs", "batch_workers")

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
        options: of `lib.ensemble.open_engine`.
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
            whole = executed and written == _checksums(content, folder)
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
        grid: of `lib.grid.read_grid`.
        folder: where all results go.
        engine, jobs, scheduler: of `lib.ensemble.open_engine`, for the cells; each trains its members in its own
            process, one after the other, unless the grid says otherwise.

    Raises:
        OneLineError: a name, a type or a value that is not allowed, in any cell, or data that do not exist.
    """
    check_engine(engine, jobs)
    source = NotebookSource.read(notebook)
    chosen: dict[str, Cell] = {}
    for parameters in cells(grid, source.annotations):
        cell = _cell(source, parameters)
        chosen.setdefault(cell.name, cell)
    stores = {str(cell.given.get("runs_dir")) for cell in chosen.values()}
    if len(stores) > 1:
        raise ConfigError(f"runs_dir must be the same in all cells, which share one run store, got {sorted(stores)}")
    options = {"engine": engine, "jobs": jobs} | ({"scheduler": scheduler} if scheduler is not None else {})
    return Sweep(source, list(chosen.values()), Path(folder).expanduser().absolute(), options)


def _cell(source: NotebookSource, parameters: Mapping[str, Any]) -> Cell:
    for name in CHOSEN:
        if name in parameters:
            raise ConfigError(f"{name} cannot be in a grid: a sweep gives each cell its own, below its output folder")
    check_types(parameters, source.annotations)
    given = source.defaults | dict(parameters)
    check_engine(given.get("engine"), given.get("jobs"))
    experiments = source.experiments(given)
    if any(experiment.num_members > MOST_MEMBERS for experiment in experiments):
        raise ConfigError(f"num_members must be at most {MOST_MEMBERS:,} in a grid, got {given['num_members']}")
    # 1 for 1.0 is the same cell, and so is one that says what the notebook says by itself.
    floats = [name for name, annotation in source.annotations.items() if annotation == "float"]
    content = given | {name: float(given[name]) for name in floats if given[name] is not None}
    recipe = {
        "code": source.cells,
        "parameters": content,
        "training_version": TRAINING_VERSION,
        "data": _content_hash(given, experiments),
    }
    key = hashlib.sha256(canonical_json(recipe).encode()).hexdigest()[:KEY_LENGTH]
    ordered = {name: parameters[name] for name in source.annotations if name in parameters}
    words = [f"{name}={value_text(value)}" for name, value in ordered.items() if name not in UNNAMED]
    # No path of the machine's, and nothing that a shell or an address would have to quote.
    readable = re.sub(r"[^A-Za-z0-9._,=+-]+", "_", ",".join(words) or source.path.stem)
    return Cell(f"{readable[:NAME_LENGTH]}-{key}", ordered, given, experiments)


def _content_hash(given: Mapping[str, Any], experiments: list[Experiment]) -> str | None:
    """Checksum of a cell's data, where these are files of the user's that may change; raises for data that are none."""
    if not experiments or experiments[0].dataset in DATASETS:
        return None
    return load_dataset(experiments[0].dataset, given.get("data_dir"), experiments[0].validation_size).content_hash


def value_text(value: Any) -> str:
    """A parameter's value as a few words."""
    if isinstance(value, list):
        return "+".join(map(value_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


@dataclass
class Outcome:
    """How the execution of a cell ended.

    Attributes:
        why: the one line why it failed; empty where it is complete.
        died: whether a process of it was killed, which may be chance.
        seconds: that it took.
    """

    why: str = ""
    died: bool = False
    seconds: float = 0.0


def _environment() -> None:
    """Set up this process so that kernels which it starts find this package, and use one core each."""
    above = Path(lib.__file__).resolve().parents[1]
    # An installed package is found anyway; and its folder, in front, would hide the standard library.
    if above.name not in ("site-packages", "dist-packages"):
        folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(above), *filter(None, folders)]))
    # Cells are executed side by side; and the same result needs the same number of threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def execute_cell(text: str, parameters: dict[str, Any], target: str, records: str, working: str) -> Outcome:
    """Execute a notebook with papermill; runs in a worker.

    Args:
        text: the notebook.
        parameters: that papermill passes.
        target: where the executed notebook goes, in one step, when no cell failed; one that failed is kept beside it
            under a name ending in `.failed.ipynb`.
        records: folder of its verdicts, which is emptied.
        working: the working directory of its kernel.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    start, end = time.monotonic(), Path(target)
    # A name of its own, as a process that outlived its sweep may still write to an older one.
    unfinished = end.with_name(f".{end.stem}.{os.getpid()}-{time.time_ns()}.running.ipynb")
    outcome = Outcome()
    try:
        unfinished.touch()
        _environment()
        for old in Path(records).glob("**/*.json"):
            old.unlink(missing_ok=True)
        Path(records).mkdir(parents=True, exist_ok=True)  # a page may judge nothing
        source = nbformat.reads(text, as_version=4)
        output = str(unfinished).replace("{", "{{").replace("}", "}}")  # papermill formats paths
        # Kernels warn of how they talk to papermill, which would break into the progress.
        quiet = {"progress_bar": False, "extra_arguments": ["--log-level=ERROR"]}
        papermill.execute_notebook(source, output, parameters, cwd=working, **quiet)
        _seal(unfinished, Path(records))
        unfinished.replace(end)
        end.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    except PapermillExecutionError as error:
        outcome.why = _one_line(f"{error.ename}: {error.evalue}")
    except DeadKernelError:
        outcome.why, outcome.died = "its kernel died, of too little memory perhaps", True
    except Exception as error:  # whatever papermill, the kernel or the disk say: the other cells go on
        outcome.why = _one_line(f"{type(error).__name__}: {error}")
    if outcome.why:
        with suppress(OSError):
            unfinished.replace(end.with_suffix(".failed.ipynb"))
    outcome.seconds = time.monotonic() - start
    return outcome


def _seal(notebook: Path, records: Path) -> None:
    """Write the checksums of an executed notebook and of its verdicts into it: one file, so they fit or are missing."""
    content = json.loads(notebook.read_bytes())
    content["metadata"]["checksums"] = _checksums(content, records)
    write_atomically(notebook, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _checksums(content: dict[str, Any], records: Path) -> dict[str, str]:
    verdicts = {str(path.relative_to(records)): sha256(read_file(path)) for path in sorted(records.rglob("*.json"))}
    return verdicts | {"notebook": sha256(json.dumps(content, sort_keys=True).encode())}


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 500 else f"{line[:500]} …"


class _Progress:
    """What is done and what is running: a bar in a terminal; elsewhere a line a cell."""

    def __init__(self, sweep: Sweep, todo: list[Cell]):
        self.sweep, self.todo, self.start = sweep, todo, time.monotonic()
        self.finished, self.lock, self.stop = 0, threading.Lock(), threading.Event()
        total = len(sweep.cells)
        self.bar = tqdm(total=total, initial=total - len(todo), unit="cell", disable=not sys.stderr.isatty())
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Progress":
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.watcher.join()
        self.bar.close()

    def _watch(self) -> None:
        while not self.bar.disable and not self.stop.wait(1.0):
            running = [cell.name for cell in self.todo if self.sweep.unfinished(cell)]
            self.bar.set_postfix_str(f"running: {', '.join(running)}" if running else "")

    def done(self, cell: Cell, outcome: Outcome) -> None:
        """Say that a cell is complete, or failed."""
        if outcome.why:
            self.sweep.failures[cell.name] = outcome.why
        with self.lock:
            self.finished += 1
            self.bar.update()
            if self.bar.disable:
                left = len(self.todo) - self.finished
                seconds = (time.monotonic() - self.start) / self.finished * left
                number = len(self.sweep.cells) - left
                state = f"failed: {outcome.why}" if outcome.why else f"complete in {outcome.seconds:.0f} s"
                rest = f"; about {duration(seconds)} left" if left else ""
                print(f"{number}/{len(self.sweep.cells)} {cell.name}: {state}{rest}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time in the unit that fits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of a sweep, which is made where it does not exist.

    Raises:
        SweepError: it cannot be written, belongs to something else, or another sweep holds it.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
            raise SweepError(f"{folder} is not empty, and of no sweep; choose another folder with --output")
        for part in ("notebooks", "claims"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / LOCK, blocking=False)
        held.acquire()
    except Timeout:
        raise SweepError(f"another sweep is writing to {folder}; wait for it, or choose another folder") from None
    except OSError as error:
        raise SweepError(f"cannot write {folder}: {error.strerror or error}; choose another with --output") from None
    try:
        yield
    finally:
        held.release()


def run(sweep: Sweep) -> None:
    """Execute the cells that are not complete, each in a worker, within `open_folder`; failures go to `sweep.failures`.

    A worker that dies takes others with it on some engines: cells that were running then are executed again, one at a
    time, and one that loses its process a second time fails. Being stopped (Ctrl-C, SIGTERM) stops the workers too.

    Raises:
        SweepError: workers die before they begin.
    """
    todo = [cell for cell in sweep.cells if sweep.results(cell) is None]
    for cell in todo:
        _drop(sweep, cell)
    waiting, suspects, idle = todo, [], 0
    with _Progress(sweep, todo) as progress, _stopped_by_sigterm():
        while waiting or suspects:
            alone = not waiting
            batch = waiting or [suspects.pop(0)]
            waiting = []
            for cell, outcome in _execute(sweep, batch, {"jobs": 1} if alone else {}, progress):
                if outcome is not None and not outcome.died:
                    continue
                started = outcome is not None or bool(sweep.unfinished(cell))
                if alone and started:
                    _keep(sweep, cell)
                    progress.done(cell, Outcome("its process died twice, of too little memory perhaps"))
                else:
                    (suspects if started else waiting).append(cell)
                    _drop(sweep, cell)
            idle = idle + 1 if len(waiting) == len(batch) else 0
            if idle == 3:
                raise SweepError("workers die before they begin to execute a cell; call again with fewer jobs")


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Have SIGTERM, which schedulers send, do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep(sweep: Sweep, cell: Cell) -> None:
    """Keep what there is of a cell whose process died."""
    for path in sweep.unfinished(cell):
        with suppress(OSError):
            path.replace(sweep.failed(cell))


def _drop(sweep: Sweep, cell: Cell) -> None:
    for path in sweep.unfinished(cell):
        path.unlink(missing_ok=True)


def _execute(
    sweep: Sweep, batch: list[Cell], changed: dict[str, Any], progress: _Progress
) -> list[tuple[Cell, Outcome | None]]:
    """How the cells of a batch ended; `None` for those whose worker is gone."""
    outcomes: dict[Cell, Outcome | None] = {}

    def finish(cell: Cell, future: Future) -> None:
        outcome = _outcome(future)
        complete = sweep.results(cell) is not None
        if outcome is None and complete:  # the worker died, of another cell, between its last step and its answer
            outcome = Outcome()
        if outcome is not None and not outcome.why and not complete:
            outcome = Outcome(f"its worker wrote it where this process does not see it: {sweep.folder} must be shared")
        outcomes[cell] = outcome
        if outcome is not None and not outcome.died:
            progress.done(cell, outcome)

    with open_engine(tasks=len(batch), **sweep.options | changed) as executor:
        futures: dict[Future, Cell] = {}
        # A pool that breaks in between takes no more.
        with suppress(BrokenExecutor):
            for cell in batch:
                future = executor.submit(execute_cell, *_task(sweep, cell))
                futures[future] = cell
                if future.done():  # at once where the engine is this process
                    finish(futures[future], future)
        for future in as_completed(futures):
            if futures[future] not in outcomes:
                finish(futures[future], future)
    return [(cell, outcomes.get(cell)) for cell in batch]


def _outcome(future: Future) -> Outcome | None:
    try:
        return future.result()
    except BrokenExecutor:
        return None
    except Exception as error:  # of the engine: a worker that died again and again, a result that was lost
        return Outcome(_one_line(f"{type(error).__name__}: {error}"))


def _task(sweep: Sweep, cell: Cell) -> Iterable[Any]:
    records = sweep.folder / "claims" / cell.name
    passed = dict(cell.parameters)
    if "results_dir" in sweep.source.annotations:
        passed["results_dir"] = str(records)
    # Cells are side by side already.
    if cell.given.get("engine", "") is None:
        passed["engine"] = "sequential"
    return sweep.source.text, passed, str(sweep.notebook(cell)), str(records), os.getcwd()
