"""The book as one PDF, `python book/pdf.py --build-dir _build/quick`; it needs Chromium.

<build-dir>/html/**/*.html  →  each as the browser prints it, joined by pypdf  →  <build-dir>/book.pdf
"""

import io
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from playwright.sync_api import Error, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib.errors import OneLineError  # noqa: E402

#: Names under which Chromium and its relatives are installed.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: What waits for fonts and formulas, and returns the words and the identifiers of a page's headings.
READY = """async () => {
  await document.fonts.ready; await window.MathJax?.startup.promise;
  return [...document.querySelectorAll("article section[id] > :is(h1, h2)")].map(
    heading => [heading.textContent.replace(/#$/, ""), heading.parentElement.id]);
}"""

#: The number of each page, which goes on from the pages before, at its foot.
FOOTER = (
    "@page {{ @bottom-right {{ content: counter(page); font: 9pt sans-serif }} }} html {{ counter-reset: page {} }}"
)


def chapters(root: Path) -> list[tuple[str, list[str]]]:
    """Parts of the table of contents: caption and pages, as paths without suffix; the first has no caption."""
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def browser() -> str:
    """Path of a Chromium: `$CHROMIUM`, one on the path, or the one that Playwright has downloaded."""
    found = next(filter(None, map(shutil.which, [os.environ.get("CHROMIUM", ""), *BROWSERS])), None)
    if found is None:
        with sync_playwright() as playwright:
            found = playwright.chromium.executable_path
    if not Path(found).exists():
        raise OneLineError(
            "the PDF needs Chromium, and there is none: install it (Debian: apt install chromium; anywhere: "
            f"{sys.executable} -m playwright install --with-deps chromium), or set CHROMIUM to its path"
        )
    return found


def joined(page: Page, html: Path, parts: list[tuple[str, list[str]]]) -> PdfWriter:
    """All pages of the book as the browser prints them, with bookmarks, and with links from one to another."""
    writer, places, links = PdfWriter(), {}, []
    for caption, names in parts:
        above = writer.add_outline_item(caption, len(writer.pages)) if caption else None
        for name in names:
            start, address = len(writer.pages), (html / f"{name}.html").as_uri()
            page.goto(address)
            page.add_style_tag(content=FOOTER.format(start))
            headings = page.evaluate(READY)
            chapter = PdfReader(io.BytesIO(page.pdf(print_background=True, prefer_css_page_size=True)))
            places[address] = start
            for anchor, place in chapter.named_destinations.items():
                places[f"{address}#{anchor[1:]}"] = start + chapter.get_destination_page_number(place)
            links += [
                (start + number, *link) for number, leaf in enumerate(chapter.pages) for link in taken(leaf, address)
            ]
            writer.append(chapter, import_outline=False)
            own = writer.add_outline_item(headings[0][0], start, parent=above)
            for words, anchor in headings[1:]:
                writer.add_outline_item(words, places.get(f"{address}#{anchor}", start), parent=own)
    for number, rect, target in links:
        found = places.get(target, places.get(target.partition("#")[0]))
        if target.startswith("http"):
            writer.add_annotation(number, Link(rect=rect, url=target))
        elif found is not None:
            writer.add_annotation(number, Link(rect=rect, target_page_index=found, fit=Fit.fit_horizontally()))
    return writer


def taken(leaf, address: str) -> list[tuple]:
    """Where the links of a printed page are and where they lead, which it has no longer."""
    notes = [note.get_object() for note in leaf.pop("/Annots", [])]
    return [
        (note["/Rect"], f"{address}#{note['/Dest'][1:]}" if "/Dest" in note else note["/A"].get("/URI", ""))
        for note in notes
        if "/Dest" in note or "/A" in note
    ]


def main(
    build_dir: Annotated[Path, typer.Option(help="Holds html/, the built book; gets book.pdf.")],
    root: Annotated[Path, typer.Option(help="The repository.")] = ROOT,
) -> None:
    """Print the built book as one PDF."""
    html, parts, pdf = build_dir.resolve() / "html", chapters(root), build_dir / "book.pdf"
    try:
        for page in (page for _, pages in parts for page in pages if not (html / f"{page}.html").is_file()):
            raise OneLineError(f"{html / page}.html is missing: make book first")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser())
            joined(chromium.new_page(color_scheme="light"), html, parts).write(pdf)
            chromium.close()
    except Error as error:
        sys.exit(f"Chromium cannot print the book: {error.message.splitlines()[0]}")
    except OneLineError as error:
        sys.exit(str(error))
    print(f"The book as PDF is at {pdf}")


if __name__ == "__main__":
    typer.run(main)
