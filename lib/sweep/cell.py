"""One cell of a sweep executed by papermill, in a worker, which needs little else of this package for it."""

import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lib
from lib.run.files import read_file, sha256, write_atomically

#: Options of papermill: without its bar, and with kernels that do not warn of how they talk to it.
QUIET = {"progress_bar": False, "extra_arguments": ["--log-level=ERROR"]}


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
    """Set up this process so that kernels which it starts find this package and use one core each, quietly."""
    above = Path(lib.__file__).resolve().parents[1]
    # An installed package is found anyway; and its folder, in front, would hide the standard library.
    if above.name not in ("site-packages", "dist-packages"):
        folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(above), *filter(None, folders)]))
    # What it logs is said by the outcome, and would break into the progress.
    logger = logging.getLogger("papermill")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
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
        papermill.execute_notebook(source, output, parameters, cwd=working, **QUIET)
        seal(unfinished, Path(records))
        unfinished.replace(end)
        end.with_suffix(".failed.ipynb").unlink(missing_ok=True)
    except PapermillExecutionError as error:
        outcome.why = one_line(f"{error.ename}: {error.evalue}")
    except DeadKernelError:
        outcome.why, outcome.died = "its kernel died, of too little memory perhaps", True
    except Exception as error:  # whatever papermill, the kernel or the disk say: the other cells go on
        outcome.why = one_line(f"{type(error).__name__}: {error}")
    if outcome.why:
        with suppress(OSError):
            unfinished.replace(end.with_suffix(".failed.ipynb"))
    outcome.seconds = time.monotonic() - start
    return outcome


def seal(notebook: Path, records: Path) -> None:
    """Write the checksums of an executed notebook and of its verdicts into it, by which `Sweep.results` knows damage.

    Raises:
        StoreError: it cannot be written.
    """
    content = json.loads(notebook.read_bytes())
    content["metadata"]["checksums"] = checksums(content, records)
    write_atomically(notebook, json.dumps(content, indent=1, ensure_ascii=False).encode())


def checksums(content: dict[str, Any], records: Path) -> dict[str, str]:
    """Of an executed notebook, whose own are left out, and of the verdicts in a folder, by their names."""
    verdicts = {str(path.relative_to(records)): sha256(read_file(path)) for path in sorted(records.rglob("*.json"))}
    return verdicts | {"notebook": sha256(json.dumps(content, sort_keys=True).encode())}


def one_line(message: str) -> str:
    """A message without its line breaks, cut where it is very long."""
    line = " ".join(message.split())
    return line if len(line) <= 500 else f"{line[:500]} …"
