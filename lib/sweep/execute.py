"""Execute the cells of a sweep with papermill in the workers of an engine; cells that fail do not stop the others.

Sweep → run → executed notebooks, verdicts, results.csv, scores.csv and scoreboard in the sweep's folder
"""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lib
from lib.errors import OneLineError
from lib.run.files import write_atomically
from lib.run.progress import progress

if TYPE_CHECKING:  # workers import this module but do not need a plan's imports, above all PyTorch
    from lib.sweep.plan import Cell, Sweep

#: Options of papermill: no progress bar, and kernels that log nothing about connections or being stopped.
QUIET = {"progress_bar": False, "extra_arguments": ["--log-level=CRITICAL"]}

#: The reason given if a cell's kernel was killed, which may be by chance.
KILLED = "its kernel was killed, for want of memory perhaps"

#: Lock file: admits one sweep at a time, and marks a folder as that of a sweep.
LOCK = ".sweep.lock"

#: The notebook that shows all verdicts.
SCOREBOARD = "12_scoreboard.ipynb"


class SweepError(OneLineError):
    """A sweep cannot start or continue; the message is one line."""


def execute_cell(text: str, parameters: dict[str, Any], output: str, records: str, working: str) -> str:
    """Execute a notebook with papermill; runs in a worker.

    Args:
        text: the notebook.
        parameters: the parameters that papermill passes.
        output: path of the executed notebook; it exists, empty, as soon as execution starts.
        records: folder for its verdicts, which is emptied first.
        working: the working directory of its kernel.

    Returns:
        Why it failed, in one line; empty if it succeeded.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    # Cells run side by side, and identical results need the same number of threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # why a cell failed is returned
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        Path(output).touch()
        shutil.rmtree(records, ignore_errors=True)
        Path(records).mkdir(parents=True)
        source = nbformat.reads(text, as_version=4)
        execute = partial(papermill.execute_notebook, source, _plain(output), parameters, cwd=working, **QUIET)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A worker leaves Ctrl-C to the process that stops it; in the main thread nbclient would handle it.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(execute).result()
        else:
            execute()
    except PapermillExecutionError as error:
        return _one_line(f"{error.ename}: {error.evalue}")
    except DeadKernelError:
        return KILLED
    except Exception as error:  # from papermill, the kernel or the disk: the other cells continue
        return _one_line(f"{type(error).__name__}: {error}")
    finally:
        with suppress(ValueError):  # not in the main thread, where papermill leaves Python's own handler
            signal.signal(signal.SIGINT, interrupt)
    return ""


def _one_line(message: str) -> str:
    return " ".join(message.split())[:500]


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Lock the folder of a sweep, which is created if it does not exist.

    Raises:
        SweepError: it cannot be written to, belongs to something else, or is locked by another sweep.
    """
    from filelock import FileLock, Timeout

    try:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / LOCK).exists():
            raise SweepError(f"{folder} is not empty and holds no sweep; choose another folder with --output")
        for part in ("notebooks", "claims"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / LOCK, blocking=False)
        held.acquire()
    except Timeout:
        raise SweepError(f"another sweep is writing to {folder}; wait for it, or choose another folder") from None
    except OSError as error:
        raise SweepError(f"cannot write {folder}: {error.strerror or error}; choose another with --output") from None
    with held:
        yield


def run(sweep: "Sweep") -> dict[str, str]:
    """Execute the cells that are not complete, each in a worker, and collect the results of all cells.

    A cell whose kernel was killed is executed once more, by itself. Interrupting (Ctrl-C, SIGTERM) also stops the
    workers.

    Returns:
        Why cells failed, by the names of those that did.

    Raises:
        SweepError, TrainingError: the folder cannot be used, or a worker died; complete cells are kept.
    """
    with open_folder(sweep.folder), _sigterm_stops():
        _remove_unfinished(sweep)
        todo = [cell for cell in sweep.cells if sweep.results(cell) is None]
        try:
            outcomes = _execute(sweep, todo, sweep.jobs)
            outcomes |= _execute(sweep, [cell for cell, why in outcomes.items() if why == KILLED], 1)
        finally:
            _remove_unfinished(sweep)
            for name, table in sweep.tables().items():
                write_atomically(sweep.folder / f"{name}.csv", table.to_csv(index=False).encode())
        if todo or not (sweep.folder / SCOREBOARD).exists():
            scoreboard(sweep)
    return {cell.name: why for cell, why in outcomes.items() if why}


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Make SIGTERM, which schedulers send, act like Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove_unfinished(sweep: "Sweep") -> None:
    """Remove notebooks whose execution did not finish, including those of a sweep that was killed."""
    for path in (sweep.folder / "notebooks").glob(".*.running.ipynb"):
        path.unlink(missing_ok=True)


def _execute(sweep: "Sweep", cells: list["Cell"], jobs: int | None) -> dict["Cell", str]:
    """Execute cells; returns why each one failed, empty if it succeeded."""
    from lib.run.engines import open_engine

    if not cells:
        return {}
    outcomes: dict[Cell, str] = {}
    futures: dict[Future, Cell] = {}
    before = len(sweep.cells) - len(cells)

    def finish(future: Future) -> None:
        cell = futures.pop(future)
        try:
            why = future.result()
            if not why:
                sweep.complete(cell)
        except BrokenExecutor:
            raise
        except Exception as error:  # from the engine or the disk: the other cells continue
            why = _one_line(f"{type(error).__name__}: {error}")
        if why:
            with suppress(OSError):
                sweep.unfinished(cell).replace(sweep.failed(cell))
        outcomes[cell] = why
        tell(before + len(outcomes))

    with (
        progress("sweep", len(sweep.cells), "cell", before) as tell,
        open_engine(sweep.engine, jobs, len(cells), sweep.scheduler, sweep.folder) as executor,
    ):
        for cell in cells:
            futures[future := executor.submit(execute_cell, *_task(sweep, cell))] = cell
            if future.done():  # immediately, if the engine is this process
                finish(future)
        for future in as_completed(list(futures)):
            finish(future)
    return outcomes


def _task(sweep: "Sweep", cell: "Cell") -> tuple[str, dict[str, Any], str, str, str]:
    """The arguments of `execute_cell`."""
    # Workers may run elsewhere, where default folders would be different ones.
    folders = {"results_dir": str(sweep.records(cell)), "runs_dir": str(cell.store.root)}
    passed = cell.parameters | {name: path for name, path in folders.items() if name in cell.given}
    # Cells already run side by side.
    if cell.given.get("engine", "") is None and cell.given.get("scheduler") is None:
        passed["engine"] = "sequential"
    return cell.source.text, passed, str(sweep.unfinished(cell)), str(sweep.records(cell)), os.getcwd()


def scoreboard(sweep: "Sweep") -> None:
    """Execute notebook 12 for all verdicts of a sweep and save it in the sweep's folder; prints why if it fails."""
    import papermill

    source = Path(lib.__file__).parents[1] / "notebooks" / SCOREBOARD
    if not source.is_file() or not any((sweep.folder / "claims").rglob("*.json")):
        return
    target = sweep.folder / SCOREBOARD
    try:
        papermill.execute_notebook(str(source), _plain(target), {"records_dir": str(sweep.folder / "claims")}, **QUIET)
    except papermill.PapermillExecutionError as error:
        print(_one_line(f"{target}: {error.ename}: {error.evalue}"), file=sys.stderr)


def _plain(path: str | Path) -> str:
    """Escape a path for papermill, which applies `str.format` to paths."""
    return str(path).replace("{", "{{").replace("}", "}}")
