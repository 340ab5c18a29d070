"""The cells of a sweep executed: papermill in the workers of an engine, past those that fail or die.

Sweep → open_folder → run → executed notebooks and verdicts in the sweep's folder
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from lib.run.engines import open_engine
from lib.run.progress import every_second
from lib.sweep.cell import Outcome, execute_cell, one_line
from lib.sweep.plan import LOCK, Cell, Sweep, SweepError, duration


class _Progress:
    """What is done and what is running: a bar in a terminal; elsewhere a line a cell."""

    def __init__(self, sweep: Sweep, todo: list[Cell]):
        self.sweep, self.todo, self.start = sweep, todo, time.monotonic()
        self.finished, self.lock = 0, threading.Lock()
        total, hidden = len(sweep.cells), not sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=total - len(todo), unit="cell", disable=hidden, dynamic_ncols=True)

    def show_running(self) -> None:
        """Say in the bar which cells are running."""
        if not self.bar.disable:
            running = [self.sweep.label(cell) for cell in self.todo if self.sweep.unfinished(cell)]
            self.bar.set_postfix_str(f"running: {'; '.join(running)}" if running else "")

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
    progress = _Progress(sweep, todo)
    with progress.bar, every_second(progress.show_running), _stopped_by_sigterm():
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
    for cell in todo:  # a worker may have begun one while its pool broke
        _drop(sweep, cell)


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

    with open_engine(tasks=len(batch), shared=sweep.folder, **sweep.options | changed) as executor:
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
        return Outcome(one_line(f"{type(error).__name__}: {error}"))


def _task(sweep: Sweep, cell: Cell) -> Iterable[Any]:
    records = sweep.folder / "claims" / cell.name
    passed = dict(cell.parameters)
    # Workers may run elsewhere, where a folder that is left out would be another one.
    folders = {"results_dir": str(records), "runs_dir": str(sweep.store.root)}
    passed |= {name: folder for name, folder in folders.items() if name in sweep.source.annotations}
    # Cells are side by side already.
    if cell.given.get("engine", "") is None and cell.given.get("scheduler") is None:
        passed["engine"] = "sequential"
    return sweep.source.text, passed, str(sweep.notebook(cell)), str(records), os.getcwd()
