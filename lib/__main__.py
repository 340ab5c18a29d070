"""Command line, `python -m lib`: sweep over parameters, inspect the run store, and free space."""

import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lib.config import MemberConfig
from lib.data.datasets import DATASETS
from lib.data.sources import SOURCES, data_root, locate
from lib.errors import OneLineError, unknown
from lib.run.files import DamagedRun, read_json
from lib.run.store import CLAIMS, Run, RunStore, StoreError, folder_size, last_written

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)
runs_app = typer.Typer(rich_markup_mode=None, help="The trained members.")
claims_app = typer.Typer(rich_markup_mode=None, help="The records of verdicts in the run store.")
app.add_typer(runs_app, name="runs")
app.add_typer(claims_app, name="claims")

RunsDir = Annotated[Path | None, typer.Option(help="The run store; default: `runs` in the checkout.")]
FOLDER_COLUMNS = ("dataset", "architecture", "member", "key", "state", "size", "written")


def size_and_date(folders: Iterable[Path]) -> tuple[str, str]:
    """The total size of folders, and the time of the last write to them."""
    folders = list(folders)
    written = time.localtime(max(map(last_written, folders)))
    return f"{sum(map(folder_size, folders)) / 1e6:.1f} MB", time.strftime("%Y-%m-%d %H:%M", written)


def print_table(header: tuple[str, ...], rows: list[tuple]) -> None:
    """Print a table whose columns are as wide as their widest cell."""
    lines = [header, *[tuple(map(str, row)) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def folder_row(folder: Path, run: Run | None = None) -> tuple:
    """The row of a folder, in `FOLDER_COLUMNS`; a folder without a run is damaged."""
    member, state = "", "damaged"
    if run is not None:
        member, epochs = run.config.order, run.config.epochs
        state = "complete" if run.is_complete() else f"epoch {run.finished_epochs()} of {epochs}"
    return (*folder.parts[-3:-1], member, folder.name[:12], state, *size_and_date([folder]))


def open_store(runs_dir: Path | None) -> tuple[RunStore, list[Run], list[Path]]:
    """The store, its runs, and damaged or unreadable folders; prints a message and exits if there are none."""
    store = RunStore(runs_dir)
    runs, leftovers = list(store.runs()), [*store.damaged(), *store.unreadable()]
    if not runs and not leftovers:
        typer.echo(f"no runs in {store.root}")
        raise typer.Exit
    return store, runs, leftovers


@runs_app.command("list")
def list_runs(
    runs_dir: RunsDir = None, keys: Annotated[bool, typer.Option("--keys", help="One row per member.")] = False
) -> None:
    """List the trained members, one row for all that have the same settings."""
    store, runs, leftovers = open_store(runs_dir)
    if keys:
        rows = [folder_row(run.folder, run) for run in runs] + [folder_row(folder) for folder in leftovers]
        print_table(FOLDER_COLUMNS, rows)
    else:
        groups: dict[MemberConfig, list[Run]] = {}
        for run in runs:
            groups.setdefault(replace(run.config, initialization=0, order=0), []).append(run)
        rows = []
        for config, members in groups.items():
            complete = sum(run.is_complete() for run in members)
            count = f"{complete} complete, {len(members) - complete} incomplete"
            space = size_and_date(run.folder for run in members)
            rows.append((config.dataset, config.architecture, count, config.epochs, config.seed, *space))
        print_table(("dataset", "architecture", "members", "epochs", "seed", "size", "written"), rows)
    if leftovers:
        typer.echo(f"damaged folders: {len(leftovers)}; `python -m lib runs prune` removes them")
    typer.echo(f"{size_and_date([store.root])[0]} in {store.root}")


@runs_app.command()
def verify(runs_dir: RunsDir = None) -> None:
    """Verify every file by its checksum; changes nothing, and exits with 1 if something is damaged."""
    store, runs, _ = open_store(runs_dir)
    problems = store.verify()
    for folder, reason in problems.items():
        typer.echo(f"{folder}: {reason}")
    if problems:
        raise StoreError(f"{len(problems)} of {len(runs)} runs are damaged or cannot be read")
    typer.echo(f"{len(runs)} runs are intact")


@runs_app.command()
def prune(
    runs_dir: RunsDir = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove complete runs too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Free space: remove incomplete runs and damaged folders, and with --all also complete runs.

    A run that is being trained is always kept.
    """
    store, runs, leftovers = open_store(runs_dir)
    chosen: dict[Path, Run | None] = {run.folder: run for run in runs if everything or not run.is_complete()}
    chosen |= dict.fromkeys(leftovers)
    if not chosen:
        typer.echo("nothing to remove")
        return
    print_table(FOLDER_COLUMNS, [folder_row(folder, run) for folder, run in chosen.items()])
    amount = f"{len(chosen)} folders, {size_and_date(chosen)[0]}"
    if dry_run:
        typer.echo(f"would remove {amount}")
        return
    if not yes:
        typer.confirm(f"remove {amount}?", abort=True)
    stay = sum(not store.remove(folder) for folder in chosen)
    typer.echo(f"removed {len(chosen) - stay} folders" + (f"; {stay} kept: in training" if stay else ""))


def read_records(runs_dir: Path | None) -> dict[str, list[Path]]:
    """The records of verdicts, by the run of a notebook that they share: their file name without its ending."""
    folder, found = RunStore(runs_dir).root / CLAIMS, {}
    for path in sorted(folder.rglob("*.json")):
        found.setdefault(path.stem, []).append(path)
    if not found:
        typer.echo(f"no records in {folder}")
        raise typer.Exit
    return found


@claims_app.command("list")
def list_claims(runs_dir: RunsDir = None) -> None:
    """List the runs of notebooks that left verdicts, one row for all that have the same settings."""
    rows = []
    for name, paths in read_records(runs_dir).items():
        try:
            context = read_json(paths[0])["context"]
        except (DamagedRun, LookupError, TypeError):
            context = {}
        settings = [context.get(setting, "") for setting in ("num_members", "epochs", "seed")]
        rows.append((name, *settings, len(paths), size_and_date(paths)[1]))
    print_table(("run", "members", "epochs", "seed", "verdicts", "written"), rows)


@claims_app.command("prune")
def prune_claims(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="As `claims list` shows them.")],
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove the verdicts of these runs, as of a trial that the scoreboard should not show."""
    found = read_records(runs_dir)
    for name in names:
        if name not in found:
            raise StoreError(unknown("run", name, found))
    paths = [path for name in dict.fromkeys(names) for path in found[name]]
    if not yes:
        typer.confirm(f"remove {len(paths)} verdicts?", abort=True)
    for path in paths:
        path.unlink()
    typer.echo(f"removed {len(paths)} verdicts")


@app.command()
def sweep(
    notebooks: Annotated[list[Path], typer.Argument(help="The notebooks to execute.")],
    grid: Annotated[Path, typer.Argument(help="YAML: `name: [a, b]` varies a parameter, `name: value` fixes it.")],
    output: Annotated[Path, typer.Option(help="Folder for the executed notebooks, results.csv and the scoreboard.")],
    engine: Annotated[str | None, typer.Option(help="Engine for the cells: loky, dask or sequential.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler, `local` or `slurm`.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Cells executed in parallel; default: one per core.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be executed, and write nothing.")] = False,
) -> None:
    """Execute notebooks for all cells of a grid that are not complete, and collect the results."""
    # Imported here because it loads PyTorch, papermill and Jupyter, which the other commands do not need.
    from lib.sweep import execute
    from lib.sweep.grid import read_grid
    from lib.sweep.plan import plan

    planned = plan(notebooks, read_grid(grid), output, engine, jobs, scheduler)
    if dry_run:
        print_table(("cell", "members missing"), [(cell.name, planned.missing(cell)) for cell in planned.cells])
        return
    try:
        failures = execute.run(planned)
    except KeyboardInterrupt:
        typer.echo("error: stopped; the same command resumes", err=True)
        raise typer.Exit(130) from None
    complete = len(planned.cells) - len(failures)
    typer.echo(f"{complete} of {len(planned.cells)} cells are complete: {planned.folder / 'results.csv'}")
    if failures:
        print_table(("failed cell", "why"), list(failures.items()))
        raise execute.SweepError(f"{len(failures)} of {len(planned.cells)} cells failed")


@app.command()
def datasets() -> None:
    """List the datasets, and show which of them are on this machine."""
    here = {name: name not in SOURCES or locate(name, data_root()) for name in DATASETS}
    rows = [(name, "here" if here[name] else "not here", description) for name, description in DATASETS.items()]
    print_table(("name", "data", "what it is"), rows)


def main() -> int:
    """Run the command line; every error is one line on stderr."""
    try:
        return app(standalone_mode=False, prog_name="python -m lib") or 0
    except (typer.Abort, KeyboardInterrupt):
        message = "stopped"
    except (OneLineError, OSError) as error:
        message = str(error)
    except typer.BadParameter.__mro__[2] as error:  # ClickException, wherever this version of typer keeps it
        message = error.format_message()
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
