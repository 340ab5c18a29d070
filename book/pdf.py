"""The book as one PDF, `python book/pdf.py --build-dir _build/quick`; needs Chromium.

<build-dir>/html/**/*.html → each page as printed by the browser, joined by pypdf → <build-dir>/book.pdf
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

from lib.errors import OneLineError

ROOT = Path(__file__).resolve().parents[1]

#: Script that waits for fonts and formulas, and returns the texts and ids of a page's headings.
HEADINGS = """async () => {
  await document.fonts.ready; await window.MathJax?.startup.promise;
  return [...document.querySelectorAll("article section[id] > :is(h1, h2)")].map(
    heading => [heading.textContent.replace(/#$/, ""), heading.parentElement.id]);
}"""


def chapters(root: Path) -> list[tuple[str, list[str]]]:
    """Parts of the table of contents: caption and pages, as paths without suffix; the first part has no caption."""
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def browser() -> str:
    """Path of a Chromium: `$CHROMIUM`, one on the path, or the one downloaded by Playwright."""
    named = map(shutil.which, (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"))
    with sync_playwright() as playwright:
        for found in (*named, playwright.chromium.executable_path):
            if found and Path(found).exists():
                return found
    raise OneLineError(
        "the PDF needs Chromium: install it (Debian: apt install chromium; anywhere: "
        f"{sys.executable} -m playwright install --with-deps chromium), or set CHROMIUM to its path"
    )


def joined(page: Page, html: Path, parts: list[tuple[str, list[str]]]) -> PdfWriter:
    """All pages of the book as printed by the browser, with bookmarks and with links between pages."""
    writer, places, links = PdfWriter(), {}, []
    for caption, names in parts:
        above = None
        for name in names:
            start = len(writer.pages)
            page.goto(address := (html / f"{name}.html").as_uri())
            page.add_style_tag(content=f"html {{ counter-reset: page {start} }}")
            headings = page.evaluate(HEADINGS)
            chapter = PdfReader(io.BytesIO(page.pdf(print_background=True, prefer_css_page_size=True)))
            places[address] = start
            for anchor, place in chapter.named_destinations.items():
                places[f"{address}#{anchor[1:]}"] = start + chapter.get_destination_page_number(place)
            for number, sheet in enumerate(chapter.pages, start):
                links += [(number, note.get_object(), address) for note in sheet.pop("/Annots", [])]
            writer.append(chapter, import_outline=False)
            above = writer.add_outline_item(title=caption, page_number=start) if caption and name == names[0] else above
            own = writer.add_outline_item(title=headings[0][0], page_number=start, parent=above)
            for words, anchor in headings[1:]:
                place = places.get(f"{address}#{anchor}", start)
                writer.add_outline_item(title=words, page_number=place, parent=own)
    for number, note, address in links:
        target = f"{address}#{note['/Dest'][1:]}" if "/Dest" in note else str(note.get("/A", {}).get("/URI", ""))
        found = {"target_page_index": places.get(target, places.get(target.partition("#")[0]))}
        found = {"url": target} if target.startswith("http") else found
        if None not in found.values():
            writer.add_annotation(number, Link(rect=note["/Rect"], **found))
    return writer


def main(build_dir: Annotated[Path, typer.Option(help="Holds html/, the built book; gets book.pdf.")]) -> None:
    """Print the built book as one PDF."""
    html, pdf = build_dir.resolve() / "html", build_dir / "book.pdf"
    if not html.is_dir():
        sys.exit(f"{html} is missing: make book first")
    try:
        path = browser()
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=path)
            joined(chromium.new_page(color_scheme="light"), html, chapters(ROOT)).write(pdf)
    except (OneLineError, Error) as error:
        sys.exit(str(error).splitlines()[0])
    print(f"The book as PDF is at {pdf}")


if __name__ == "__main__":
    typer.run(main)
