"""Build the book: check the executed notebooks, stage the site, write the computed parts, run Jupyter Book.

    <build-dir>/notebooks/*.ipynb, claims/<notebook>/**/*.json  →  <build-dir>/site  →  <build-dir>/html/index.html
    notebooks/*.ipynb                                                                →  <build-dir>/html/colab/*.ipynb

Jupyter Book executes nothing here, and would silently show a failed or unexecuted notebook, so this script checks them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import nbformat
import typer
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from book import beside, colab, explore, figures, fragments, landing, paper_numbers, reference, verdicts  # noqa: E402
from lib.errors import OneLineError  # noqa: E402

#: Cells that papermill adds to its copy: the given parameters, and banners above a failed cell.
PAPERMILL_TAGS = {"injected-parameters", "papermill-error-cell-tag"}

#: Cells with more parameters than this are folded.
SHOWN_PARAMETERS = 10


class BookError(Exception):
    """The book cannot be built; the message has one line per problem."""


# Check


def check_notebooks(root: Path, executed: Path) -> None:
    """Raise `BookError` unless the executed notebooks match the table of contents, and are complete and up to date."""
    problems = [*_missing_notebooks(root, executed)]
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        copy = executed / source.name
        if copy.exists():
            # Report only the first problem of a notebook: it causes most others.
            problems += [f"{copy}: {problem}" for problem in [next(_notebook_problems(source, copy), None)] if problem]
    if problems:
        raise BookError("\n".join(problems))


def toc_notebooks(root: Path) -> list[str]:
    """The notebooks of `book/_toc.yml`, in order, as names without suffix."""
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    files = [Path(chapter["file"]) for part in toc["parts"] for chapter in part["chapters"]]
    return [file.name for file in files if file.parent.name == "notebooks"]


def _missing_notebooks(root: Path, executed: Path) -> Iterator[str]:
    listed = set(toc_notebooks(root))
    sources = {path.stem for path in (root / "notebooks").glob("*.ipynb")}
    # A failed notebook is kept as NAME.failed.ipynb for debugging.
    copies = {path.stem for path in executed.glob("*.ipynb") if not path.stem.endswith(".failed")}
    yield from (f"notebooks/{stem}.ipynb is not in book/_toc.yml" for stem in sorted(sources - listed))
    yield from (f"notebooks/{stem}.ipynb is in book/_toc.yml and does not exist" for stem in sorted(listed - sources))
    yield from (f"{executed / stem}.ipynb is missing: execute it first" for stem in sorted(sources - copies))
    yield from (f"{executed / stem}.ipynb has no source in notebooks/: delete it" for stem in sorted(copies - sources))


def _notebook_problems(source: Path, copy: Path) -> Iterator[str]:
    try:
        committed, executed = (nbformat.read(path, as_version=4) for path in (source, copy))
    except (ValueError, OSError) as error:
        yield f"cannot be read ({str(error).splitlines()[0]})"
        return
    cells = [cell for cell in executed.cells if not PAPERMILL_TAGS & set(cell.metadata.get("tags", []))]
    code = [(number, cell) for number, cell in enumerate(cells, 1) if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in code:
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number} failed with {output.ename}: {(output.evalue.splitlines() or [''])[0]}"
    if executed.metadata.get("papermill", {}).get("exception"):
        yield "papermill ended with an exception"
    yield from (f"cell {number} was not executed" for number, cell in code if cell.execution_count is None)
    for number, (mine, theirs) in enumerate(zip(cells, committed.cells, strict=False), 1):
        if (mine.cell_type, mine.source) != (theirs.cell_type, theirs.source):
            yield f"cell {number} is not that of {source.name} as it is now: execute it again"
    if len(cells) != len(committed.cells):
        yield f"has {len(cells)} cells, {source.name} has {len(committed.cells)} now: execute it again"
    yield from figures.problems(executed)


def check_claims(root: Path, folder: Path) -> dict[Path, list[verdicts.Result]]:
    """The verdicts of each source notebook: those of the reference run, or else those in `folder/<name>`.

    Raises:
        BookError: a folder of this build is missing, or a record is broken.
    """
    run, judged = reference.read_run(root / reference.KEPT), {}
    for stem in toc_notebooks(root):
        own = root / reference.KEPT / "claims" / stem if stem in run else folder / stem
        if stem not in run and not own.is_dir():  # git does not keep the empty folder of a page without verdicts
            raise BookError(f"{own} is missing: execute notebooks/{stem}.ipynb again")
        try:
            judged[root / "notebooks" / f"{stem}.ipynb"] = verdicts.read_results(own)
        except ValueError as error:
            raise BookError(str(error)) from None
    return judged


# Stage


def stage(root: Path, build_dir: Path, judged: dict[Path, list[verdicts.Result]]) -> Path:
    """Recreate `<build_dir>/site`: the paths of the repository, with executed notebooks and computed fragments."""
    site = build_dir / "site"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(root / "book", site / "book", ignore=shutil.ignore_patterns("*.py", "__pycache__", "reference"))
    shutil.copy(root / "_config.yml", site)
    for folder in ("notebooks", "generated"):
        (site / folder).mkdir()
    seconds = {}
    for source in judged:
        executed = nbformat.read(build_dir / "notebooks" / source.name, as_version=4)
        seconds[source.stem] = executed.metadata.get("papermill", {}).get("duration", 0.0)
        page = beside.page(root, source, executed)
        fold_parameters(page)
        figures.save(page, site / "figures")
        linked = figures.with_links(page, "../figures")
        nbformat.write(linked, site / "notebooks" / source.name)
    parts = fragments.fragments(root, list(judged), seconds) | verdicts.fragments(root, judged)
    parts |= paper_numbers.fragments(root) | {"reference_run.md": beside.table(root, judged)}
    for name, text in parts.items():
        (site / "generated" / name).write_text(text, encoding="utf-8")
    landing.write(site, judged)
    explore.write(root, build_dir, site)
    return site


def fold_parameters(page: nbformat.NotebookNode) -> None:
    """Fold the parameters cell of a page if it has more than `SHOWN_PARAMETERS` lines."""
    for cell in page.cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags and len(cell.source.splitlines()) > SHOWN_PARAMETERS:
            cell.metadata |= {"tags": [*tags, "hide-input"], "mystnb": {"code_prompt_show": "Show the parameters"}}


# Build


def run_jupyter_book(root: Path, site: Path, build_dir: Path, repository: str = "") -> Path:
    """Make `<build_dir>/html` from the site, treating warnings as errors; returns its `index.html`.

    Pages of notebooks have a Colab button if `repository`, an address, is on GitHub.
    """
    output, log = build_dir / "jupyter-book", build_dir / "jupyter-book.log"
    shutil.rmtree(output, ignore_errors=True)
    # The toc must be absolute (jupyter-book#1461), and the output fresh: incremental builds keep removed pages.
    command = [Path(sys.executable).with_name("jupyter-book"), "build", site, "--path-output", output]
    command += ["--config", root / "_config.yml", "--toc", site / "book" / "_toc.yml", "-W", "--keep-going", "-n", "-q"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "NO_COLOR": "1", colab.VARIABLE: repository}
    done = subprocess.run(list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log.write_bytes(done.stdout)
    if done.returncode != 0:
        raise BookError(f"{done.stdout.decode(errors='replace')}\njupyter-book failed; its log is {log}")
    html = build_dir / "html"
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(output / "_build" / "html", html)
    shutil.rmtree(output)
    return html / "index.html"


def build(root: Path, build_dir: Path, repository: str = "") -> Path:
    """Check, stage and build, with copies of the notebooks for Colab; returns the book's first page."""
    build_dir = build_dir.resolve()
    origin = colab.find_origin(root, repository)
    check_notebooks(root, build_dir / "notebooks")
    judged = check_claims(root, build_dir / "claims")
    index = run_jupyter_book(root, stage(root, build_dir, judged), build_dir, origin.repository)
    colab.write_copies(judged, index.parent / "colab", origin)
    print(*origin.remarks, sep="\n", end="\n" if origin.remarks else "", file=sys.stderr)
    return index


def main(
    build_dir: Annotated[Path, typer.Option(help="Holds notebooks/ (executed) and claims/; gets html/.")],
    root: Annotated[Path, typer.Option(help="The repository.")] = ROOT,
    repository: Annotated[str, typer.Option(help="Its address, for Colab; default: git's remote origin.")] = "",
) -> None:
    """Build the book from executed notebooks and their verdicts."""
    try:
        print(f"The book is ready: {build(root.resolve(), build_dir, repository)}")
    except (BookError, OneLineError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    typer.run(main)
