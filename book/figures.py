"""Extract the figures of an executed notebook: each as PNG and SVG, and the data behind it as CSV.

    python book/figures.py out.ipynb figures  →  figures/NAME.png, .svg and .csv of each named figure

The build does the same, and adds links to the files below the captions.
"""

import base64
import re
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

import nbformat
import typer
from nbformat import NotebookNode

from lib.plots.downloads import CSV, SVG

PNG = "image/png"

#: The formats of a figure: MIME type in the notebook, suffix of the file, text of the link.
FORMS = ((PNG, "png", "PNG"), (SVG, "svg", "SVG"), (CSV, "csv", "data (CSV)"))


def figures(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode, NotebookNode]]:
    """Name, cell and output of every named figure; names are in the metadata of cells."""
    for cell in notebook.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.get("outputs", []):
            if name and PNG in output.get("data", {}):
                yield name, cell, output


def problems(notebook: NotebookNode) -> Iterator[str]:
    """One line for every figure that cannot be extracted."""
    names = set()
    for name, _, output in figures(notebook):
        if name in names:
            yield f"two figures have the name {name}"
        elif not re.fullmatch(r"[\w-]+", name):
            yield f"the figure's name {name!r} makes no file name: letters, digits and hyphens are allowed"
        elif missing := [text for kind, _, text in FORMS if kind not in output.data]:
            yield f"figure {name} has no {' and no '.join(missing)}: execute it again, with figures of lib.plots"
        names.add(name)


def save(notebook: NotebookNode, folder: Path) -> list[Path]:
    """Write all formats of all figures, which must have no `problems`, to a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, cell, output in figures(notebook):
        for kind, suffix, _ in _forms(output):
            content = output.data[kind]
            files.append(folder / f"{name}.{suffix}")
            files[-1].write_bytes(base64.b64decode(content) if kind == PNG else _described(content, cell).encode())
    return files


def _forms(output: NotebookNode) -> list[tuple[str, str, str]]:
    """The formats that a figure has; the reference run keeps no SVG, and no large data."""
    return [form for form in FORMS if form[0] in output.data]


def _described(content: str, cell: NotebookNode) -> str:
    """An SVG with the caption as its title and the alternative text as its description; other text unchanged."""
    described = cell.metadata.mystnb
    texts = {"title": described.figure.get("caption"), "desc": described.get("image", {}).get("alt")}
    added = "".join(f"\n <{tag}>{escape(text, quote=False)}</{tag}>" for tag, text in texts.items() if text)
    return re.sub(r"<svg\b[^>]*>", lambda start: start[0] + added, content, count=1)


def with_links(notebook: NotebookNode, folder: str) -> NotebookNode:
    """Add links to the files in `folder`, a relative path, below captions; drop their contents from the notebook."""
    for name, cell, output in figures(notebook):
        forms = _forms(output)
        for kind in (SVG, CSV):
            output.data.pop(kind, None)
        # For screen readers a link names its figure; others see where the link is.
        links = [
            f'[{text}<span class="visually-hidden"> of figure {name}</span>]({folder}/{name}.{suffix})'
            for _, suffix, text in forms
        ]
        # Everything after the first paragraph of a caption is shown below it.
        described = cell.metadata.mystnb.figure
        described.caption = f"{described.get('caption', '')}\n\n{{.downloads}}\n{' · '.join(links)}"
    return notebook


def main(notebook: Path, folder: Path) -> None:
    """Save the figures of NOTEBOOK, executed by papermill or in Jupyter, to FOLDER."""
    try:
        content = nbformat.read(notebook, as_version=4)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read {notebook}: {str(error).splitlines()[0]}")
    if not any(figures(content)):
        sys.exit(f"{notebook} has no figures: execute it first")
    for problem in problems(content):
        sys.exit(f"{notebook}: {problem}")
    try:
        files = save(content, folder)
    except OSError as error:
        sys.exit(f"cannot write to {folder}: {error.strerror}")
    print(f"{len(files)} files in {folder}")


if __name__ == "__main__":
    typer.run(main)
