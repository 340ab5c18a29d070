"""Execute one notebook for the book: `python book/execute.py SOURCE TARGET --preset quick [--params FILE]`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import papermill
import typer
from papermill.exceptions import PapermillExecutionError

from lib.config import SETTINGS
from lib.errors import ConfigError, unknown
from lib.presets import PRESETS
from lib.sweep.execute import QUIET
from lib.sweep.grid import read_yaml


def parameters_for(notebook: Path, params: Path | None, defaults: dict[str, str]) -> dict:
    """What papermill is to pass: of defaults, and of a parameter file for all notebooks, the names that this one has.

    Raises:
        ConfigError: a file that cannot be read, or a name that no notebook has.
    """
    given = {} if params is None else read_yaml(params) or {}
    if not isinstance(given, dict):
        raise ConfigError(f"{params} must hold lines `name: value`, got a {type(given).__name__}")
    own = _accepted(notebook)
    every = own.union(*map(_accepted, notebook.parent.glob("*.ipynb")))
    for name in given:
        if name not in every:
            raise ConfigError(unknown("parameter", name, sorted(every)))
    given = defaults | given
    if isinstance(given["preset"], list) or given["preset"] not in PRESETS:
        raise ConfigError(unknown("preset", given["preset"], PRESETS))
    return {name: value for name, value in given.items() if name in own}


def _accepted(notebook: Path) -> set[str]:
    """The parameters that a notebook takes: its own, and where it has a preset every setting of an experiment."""
    own = set(papermill.inspect_notebook(str(notebook)))
    return own | set(SETTINGS if "preset" in own else ())


def execute(
    source: Path,
    target: Path,
    preset: Annotated[str, typer.Option(help="size of everything")] = "quick",
    params: Annotated[Path | None, typer.Option(help="YAML file of parameters, as of papermill -f")] = None,
) -> None:
    """Execute SOURCE into TARGET, and its verdicts into claims/ beside TARGET's folder.

    A notebook that fails is kept beside the target under a name ending in .failed.ipynb; the target stays as it was.
    """
    claims = target.parent.parent / "claims" / source.stem
    unfinished = target.with_suffix(".failed.ipynb")
    # Threads that wait for others do not spin: beside another notebook that would take a core from it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        # Where verdicts are written, or, by the scoreboard, those of all are read.
        folders = {"results_dir": str(claims), "records_dir": str(claims.parent)}
        parameters = parameters_for(source, params, folders | {"preset": preset})
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(claims, ignore_errors=True)
        claims.mkdir(parents=True)  # a page may judge nothing
        print(f"executing {source}", file=sys.stderr)
        # What cells say on stderr, the progress of training above all, goes to the terminal as it comes.
        papermill.execute_notebook(str(source), str(unfinished), parameters, stderr_file=sys.stderr, **QUIET)
    except ConfigError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except PapermillExecutionError as error:
        sys.exit(f"{source}: {error.ename}: {error.evalue} (cell {error.exec_count}; see {unfinished})")
    unfinished.replace(target)


if __name__ == "__main__":
    typer.run(execute)
