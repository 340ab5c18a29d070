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
    """The parameters to pass to papermill: those in `defaults`, and in a file for all notebooks, that this one has.

    Raises:
        ConfigError: the file cannot be read or has no mapping, no notebook has a name, or the preset is unknown.
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
    """The parameters that a notebook accepts: its own, and, if it has a preset, all settings of an experiment."""
    own = set(papermill.inspect_notebook(str(notebook)))
    return own | set(SETTINGS if "preset" in own else ())


def execute(
    source: Path,
    target: Path,
    preset: Annotated[str, typer.Option(help="Size of everything.")] = "quick",
    params: Annotated[Path | None, typer.Option(help="YAML file of parameters, as for papermill -f.")] = None,
) -> None:
    """Execute the notebook SOURCE into TARGET, and write its verdicts to claims/ beside TARGET's folder.

    A notebook that fails is kept beside the target under a name ending in .failed.ipynb; the target does not change.
    """
    claims = target.parent.parent / "claims" / source.stem
    unfinished = target.with_suffix(".failed.ipynb")
    # Waiting threads do not spin: that would take a core from a notebook executed in parallel.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        # Where verdicts are written; the scoreboard reads those of all notebooks from `records_dir`.
        folders = {"results_dir": str(claims), "records_dir": str(claims.parent)}
        parameters = parameters_for(source, params, folders | {"preset": preset})
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(claims, ignore_errors=True)
        claims.mkdir(parents=True)  # a page may judge nothing
        print(f"executing {source}", file=sys.stderr)
        # The stderr of cells, mainly the progress of training, goes to the terminal immediately.
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
