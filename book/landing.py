"""The computed parts of the first page: the hypothesis drawn, the count of verdicts, and a card for each finding."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml
from PIL import Image, ImageOps

from book.cartoon import hypothesis
from book.fragments import badge, code, page_title
from lib.findings.claims import VERDICTS, Result
from lib.notebook.page import VERDICT_SIGNS

#: The tag of the cell whose figure stands for its page; without one it is the last figure.
TAG = "thumbnail"

#: Pixels of a thumbnail: about twice what a card has on most screens.
SIZE = (640, 480)


def write(site: Path, verdicts: dict[Path, list[Result]]) -> None:
    """Write the parts of the first page to `site/generated`; the executed notebooks are in `site/notebooks`."""
    folder = site / "generated"
    (folder / "thumbnails").mkdir()
    cards = []
    for place, source in enumerate([source for source in verdicts if source.stem in findings(site)], 1):
        image, alt = thumbnail(site / "notebooks" / source.name)
        image.save(folder / "thumbnails" / f"{source.stem}.png", optimize=True)
        cards.append(card(place, source, verdicts[source], alt))
    (folder / "hypothesis.html").write_text(hypothesis(), encoding="utf-8")
    (folder / "counts.md").write_text(
        counts([result for mine in verdicts.values() for result in mine]), encoding="utf-8"
    )
    grid = ":::::{grid} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(cards) + "\n:::::\n"
    (folder / "cards.md").write_text(grid, encoding="utf-8")


def findings(site: Path) -> list[str]:
    """The notebooks of the numbered part of the table of contents, by name without suffix."""
    toc = yaml.safe_load((site / "book" / "_toc.yml").read_text(encoding="utf-8"))
    return [Path(chapter["file"]).name for part in toc["parts"] if part.get("numbered") for chapter in part["chapters"]]


def thumbnail(notebook: Path) -> tuple[Image.Image, str]:
    """The figure that stands for an executed notebook, small, and its text alternative.

    Raises:
        ValueError: a notebook without a figure.
    """
    figures = [
        (TAG in cell.metadata.get("tags", []), output.data["image/png"], cell.metadata.mystnb.image.alt)
        for cell in nbformat.read(notebook, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    if not figures:
        raise ValueError(f"{notebook} has no figure to show on the first page")
    _, data, alt = next((figure for figure in figures if figure[0]), figures[-1])
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    width, height = image.size
    # Of a tall figure, its upper part; a wide one gets white above and below.
    image = image.crop((0, 0, width, min(height, width * SIZE[1] // SIZE[0])))
    image = ImageOps.pad(image, SIZE, Image.Resampling.LANCZOS, color="white")
    # As many colours as a plot needs: a third of the bytes.
    return image.quantize(128, dither=Image.Dither.NONE), " ".join(alt.split())


def counts(results: Sequence[Result]) -> str:
    """How many verdicts of each kind there are, and what they were computed on."""
    every = ", ".join(f"{_count(results, verdict)} {badge(verdict)}" for verdict in VERDICTS)
    on = sorted({(code(result.context["dataset"]), code(result.context["preset"])) for result in results})
    where = "; ".join(f"{dataset}, preset {preset}" for dataset, preset in on)
    return f"In this copy of the book: {every}. Computed on {where}.\n"


def _count(results: Sequence[Result], verdict: str) -> int:
    return sum(result.verdict == verdict for result in results)


def card(place: int, notebook: Path, results: Sequence[Result], alt: str) -> str:
    """One finding: its figure, its title, which is the link, and its verdicts."""
    found = " ".join(
        f"[{VERDICT_SIGNS[verdict]} {_count(results, verdict)} {verdict}]"
        f"{{.verdict .verdict-{verdict.replace(' ', '-')}}}"
        for verdict in VERDICTS
        if _count(results, verdict)
    )
    lines = [
        f"::::{{grid-item-card}} {place}. {page_title(notebook)}",
        f":link: ../notebooks/{notebook.stem}",
        ":link-type: doc",
        f":img-top: ../generated/thumbnails/{notebook.stem}.png",
        f":img-alt: {alt}",
        ":class-card: finding",
    ]
    return "\n".join(lines) + f"\n\n{found or 'no verdict in this copy of the book'}\n::::\n"
