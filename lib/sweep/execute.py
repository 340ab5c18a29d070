"""The cells of a sweep executed: papermill in the workers of an engine, past those that fail or die.

Sweep → run → executed notebooks, verdicts, results.csv and scoreboard in the sweep's folder
"""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lib
from lib.errors import OneLineError
from lib.run.files import write_atomically
from lib.run.progress import progress

if TYPE_CHECKING:  # workers import this module, and have no need of what a plan imports, PyTorch above all
    from lib.sweep.plan import Cell, Sweep

#: Options of papermill: without its bar, and with kernels that say nothing of how they talk to it, or are stopped.
QUIET = {"progress_bar": False, "extra_arguments": ["--log-level=CRITICAL"]}

#: Of one sweep at a time, and the sign that a folder is one of a sweep.
LOCK = ".sweep.lock"

#: The notebook that shows all verdicts.
SCOREBOARD = "12_scoreboard.ipynb"


class SweepError(OneLineError):
    """A sweep cannot begin or go on; the message is one line."""


def execute_cell(text: str, parameters: dict[str, Any], output: str, records: str, working: str) -> str | None:
    """Execute a notebook with papermill; runs in a worker.

    Args:
        text: the notebook.
        parameters: that papermill passes.
        output: where the executed notebook goes; it is there, empty, as soon as the execution begins.
        records: folder of its verdicts, which is emptied.
        working: the working directory of its kernel.

    Returns:
        The one line why it failed, empty where it did not; `None` where its kernel was killed, which may be chance.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    # Cells are executed side by side; and the same result needs the same number of threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # why a cell failed is returned
    try:
        Path(output).touch()
        shutil.rmtree(records, ignore_errors=True)
        Path(records).mkdir(parents=True)
        source = nbformat.reads(text, as_version=4)
        papermill.execute_notebook(source, _plain(output), parameters, cwd=working, **QUIET)
    except PapermillExecutionError as error:
        return _one_line(f"{error.ename}: {error.evalue}")
    except DeadKernelError:
        return None
    except Exception as error:  # whatever papermill, the kernel or the disk say: the other cells go on
        return _one_line(f"{type(error).__name__}: {error}")
    return ""


def _one_line(message: str) -> str:
    return " ".join(message.split())[:500]


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Hold the folder of a sweep, which is made where it does not exist.

    Raises:
        SweepError: it cannot be written, belongs to something else, or another sweep holds it.
    """
    from filelock import FileLock, Timeout

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
    with held:
        yield


def run(sweep: "Sweep") -> dict[str, str]:
    """Execute the cells that are not complete, each in a worker, and gather the results of all.

    A worker that dies takes others with it on some engines: cells that were running then are executed again, one at a
    time, and one that loses its process a second time fails. Being stopped (Ctrl-C, SIGTERM) stops the workers too.

    Returns:
        By the names of cells that failed, why.

    Raises:
        SweepError: the folder cannot be used, or workers die before they begin.
    """
    with open_folder(sweep.folder), _sigterm_stops():
        _remove_unfinished(sweep)
        todo = [cell for cell in sweep.cells if sweep.results(cell) is None]
        try:
            failures = _execute_all(sweep, todo)
        finally:
            _remove_unfinished(sweep)
            write_atomically(sweep.folder / "results.csv", sweep.table().to_csv(index=False).encode())
        if todo or not (sweep.folder / SCOREBOARD).exists():
            scoreboard(sweep)
    return failures


def _execute_all(sweep: "Sweep", todo: list["Cell"]) -> dict[str, str]:
    finished, failures = len(sweep.cells) - len(todo), {}

    def done(cell: "Cell", why: str) -> None:
        nonlocal finished
        finished += 1
        if why:
            failures[cell.name] = why
            with suppress(OSError):
                sweep.unfinished(cell).replace(sweep.failed(cell))
        tell(finished)

    with progress("sweep", len(sweep.cells), "cell", finished) as tell:
        while todo:
            lost = _execute(sweep, todo, sweep.jobs, done)
            begun = [cell for cell in lost if sweep.unfinished(cell).exists()]
            for cell in begun:
                sweep.unfinished(cell).unlink()
                if _execute(sweep, [cell], 1, done):
                    done(cell, "its process died twice, of too little memory perhaps")
            todo = [cell for cell in lost if cell not in begun]
            if todo and not begun:
                raise SweepError("workers die before they begin to execute a cell; call again with fewer jobs")
    return failures


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """Have SIGTERM, which schedulers send, do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove_unfinished(sweep: "Sweep") -> None:
    """Remove the notebooks that were being executed, those of a sweep that was killed too."""
    for path in (sweep.folder / "notebooks").glob(".*.running.ipynb"):
        path.unlink(missing_ok=True)


def _execute(
    sweep: "Sweep", cells: list["Cell"], jobs: int | None, done: Callable[["Cell", str], None]
) -> list["Cell"]:
    """Execute cells, call `done` for each that is complete or failed, and return the others: their worker died."""
    from lib.run.engines import open_engine

    futures: dict[Future, Cell] = {}
    lost = list(cells)

    def finish(future: Future) -> None:
        cell = futures[future]
        try:
            why = future.result()
        except BrokenExecutor:
            why = None
        except Exception as error:  # of the engine, such as a result that was lost
            why = _one_line(f"{type(error).__name__}: {error}")
        if why == "":
            try:
                sweep.complete(cell)
            except (OSError, ValueError, OneLineError) as error:
                why = _one_line(f"its executed notebook cannot be kept in {sweep.folder}: {error}")
        if why is not None:
            lost.remove(cell)
            done(cell, why)

    with open_engine(sweep.engine, jobs, len(cells), sweep.scheduler, sweep.folder) as executor:
        with suppress(BrokenExecutor):  # which takes no more
            for cell in cells:
                futures[future := executor.submit(execute_cell, *_task(sweep, cell))] = cell
                if future.done():  # at once where the engine is this process
                    finish(future)
        for future in as_completed([future for future, cell in futures.items() if cell in lost]):
            finish(future)
    return lost


def _task(sweep: "Sweep", cell: "Cell") -> tuple[str, dict[str, Any], str, str, str]:
    """The arguments of `execute_cell`."""
    # Workers may run elsewhere, where a folder that is left out would be another one.
    folders = {"results_dir": str(sweep.records(cell)), "runs_dir": str(cell.store.root)}
    passed = cell.parameters | {name: path for name, path in folders.items() if name in cell.given}
    # Cells are side by side already.
    if cell.given.get("engine", "") is None and cell.given.get("scheduler") is None:
        passed["engine"] = "sequential"
    return cell.source.text, passed, str(sweep.unfinished(cell)), str(sweep.records(cell)), os.getcwd()


def scoreboard(sweep: "Sweep") -> None:
    """Execute notebook 12 of the checkout over all verdicts in a sweep's folder, into it; says why where it fails."""
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
    """A path for papermill, which formats paths."""
    return str(path).replace("{", "{{").replace("}", "}}")
