"""The book as one PDF, `python book/pdf.py --build-dir _build/quick`; it needs Chromium.

    <build-dir>/html/**/*.html  →  <build-dir>/print.html  →  <build-dir>/book.pdf

All pages become one document before it is printed, so that links between them, the outline and the page numbers are
the browser's own. Code that the book folds away is left out, and what else is folded is open.
"""

import datetime
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import yaml
from bs4 import BeautifulSoup, Tag
from jinja2 import Environment, FileSystemLoader
from playwright.sync_api import Error, sync_playwright
from pypdf import PdfReader, PdfWriter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from book.build import BookError  # noqa: E402

#: Names under which Chromium and its relatives are installed.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: What only a screen has a use for; the last of these show the source of the API reference, page by page.
SCREEN_ONLY = "script, source, .headerlink, .copybtn, .toctree-wrapper, .sd-tab-set > input, a:has(> .viewcode-link)"

#: How long typesetting of all formulas, or printing, may take: a guard against a browser that hangs.
PATIENCE = 300_000  # milliseconds


# One document


def chapters(root: Path) -> list[tuple[str, list[str]]]:
    """Parts of the table of contents: caption and pages, as paths without suffix; the first has no caption."""
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    parts = [("", [toc["root"]])]
    return parts + [(part["caption"], list(_files(part["chapters"]))) for part in toc["parts"]]


def _files(entries: list[dict]) -> Iterator[str]:
    for entry in entries:
        yield entry["file"]
        yield from _files(entry.get("sections", []))


def anchor(page: str, fragment: str = "") -> str:
    """The identifier in the one document of a page, or of a place on it."""
    return f"page-{page.replace('/', '-')}" + (f"--{fragment}" if fragment else "")


def chapter(html: Path, page: str, pages: set[str]) -> Tag:
    """The content of a page: identifiers and links as they are in the one document, nothing that needs a screen."""
    soup = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    for part in article.select(SCREEN_ONLY):
        part.decompose()
    for heading in article.select("section[id] > :is(h1, h2)"):
        # The words of a heading are on one page of paper; its section may be on several.
        words = soup.new_tag("span", id=heading.parent.attrs.pop("id"))
        words.extend(list(heading.children))
        # Chromium keeps the places that links lead to, and bookmarks need these.
        heading.extend([words, soup.new_tag("a", href=f"#{words['id']}")])
    _unfold(article)
    for part in article.select("[id]:not(svg *)"):  # drawings refer to their own
        part["id"] = anchor(page, part["id"])
    for image in article.select("img[src]"):
        image["src"] = _from_build(html, page, image["src"])
    for link in article.select("a[href]"):
        _relink(link, page, pages)
    section = soup.new_tag("section", id=anchor(page), attrs={"class": "chapter"})
    section.extend(list(article.children))
    return section


def _unfold(article: Tag) -> None:
    """Drop folded code, and open what else can be folded."""
    for details in article.select("details"):
        if "hide" in details.get("class", []):
            for code in details.select(".cell_input"):
                code.decompose()
            if not details.select(".cell_output"):
                details.decompose()
                continue
        details["open"] = ""


def _from_build(html: Path, page: str, address: str) -> str:
    """A relative address on a page, as one from the build folder."""
    if urlsplit(address).scheme:
        return address
    return os.path.normpath(f"{html.name}/{Path(page).parent}/{address}")


def _relink(link: Tag, page: str, pages: set[str]) -> None:
    """Point to the place in the one document; what lies in none of its pages keeps its text, and loses the link."""
    address = urlsplit(link["href"])
    if address.scheme:
        return
    target = os.path.normpath(f"{Path(page).parent}/{address.path}") if address.path else f"{page}.html"
    if target.removesuffix(".html") in pages:
        link["href"] = "#" + anchor(target.removesuffix(".html"), address.fragment)
    else:
        link.unwrap()


def head(html: Path, pages: list[str]) -> list[Tag]:
    """Style sheets of all pages, and MathJax with its settings, each once."""
    found = {}
    for page in pages:
        soup = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
        for part in soup.select('link[rel="stylesheet"], script'):
            address = part.get("href") or part.get("src")
            if address:
                part["href" if part.name == "link" else "src"] = _from_build(html, page, address)
            if part.name == "link" or "mathjax" in str(part).lower():
                found.setdefault(str(part), part)
    return list(found.values())


def document(root: Path, build_dir: Path, numbers: dict[str, int]) -> str:
    """The whole book as HTML; `numbers` are the pages of paper, from 0, of its places, by identifier, where known."""
    html, parts = build_dir / "html", chapters(root)
    pages = [page for _, part in parts for page in part]
    missing = [page for page in pages if not (html / f"{page}.html").is_file()]
    if missing:
        raise BookError(f"{html / missing[0]}.html is missing: make book first")
    bodies = {page: chapter(html, page, set(pages)) for page in pages}
    titles = {page: bodies[page].find("h1").get_text() for page in pages}
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    template = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    template.filters["css_string"] = lambda text: json.dumps(text, ensure_ascii=False)
    return template.get_template("print.html").render(
        title=config["title"],
        logo=f"{html.name}/_static/{Path(config['logo']).name}",
        head=list(map(str, head(html, pages))),
        parts=parts,
        chapters={page: str(body) for page, body in bodies.items()},
        titles=titles,
        numbers=numbers,
        anchor=anchor,
        name=build_dir.name,
        date=datetime.datetime.now(datetime.UTC).date(),
    )


# Print


def browser() -> str:
    """Path of a Chromium: `$CHROMIUM`, one on the path, or the one that Playwright has downloaded."""
    if named := os.environ.get("CHROMIUM"):
        if not shutil.which(named):
            raise BookError(f"CHROMIUM is {named}, which is no program; set it to the path of Chromium or leave it out")
        return named
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    if installed is None:
        with sync_playwright() as playwright:
            installed = playwright.chromium.executable_path
    if not Path(installed).exists():
        raise BookError(
            "the PDF needs Chromium, and there is none: install it (Debian: apt install chromium; anywhere: "
            f"{sys.executable} -m playwright install --with-deps chromium), or set CHROMIUM to its path"
        )
    return installed


def print_document(source: Path, target: Path, executable: str) -> None:
    """Print an HTML file, once all images are there and all formulas typeset."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable)
        page = chromium.new_page(color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(source.as_uri())
        page.evaluate("async () => { await document.fonts.ready; await window.MathJax?.startup.promise }")
        # Not `outline=True`: Chromium's bookmarks repeat, or run together, the words of a heading that it breaks.
        page.pdf(path=target, prefer_css_page_size=True, print_background=True, tagged=True)
        chromium.close()


def page_numbers(pdf: Path) -> dict[str, int]:
    """Number, from 0, of the page of paper on which each place of the document is, by identifier."""
    reader = PdfReader(pdf)
    places = reader.named_destinations
    return {name.removeprefix("/"): reader.get_destination_page_number(place) for name, place in places.items()}


def add_bookmarks(source: Path, pdf: Path, numbers: dict[str, int], parts: list[tuple[str, list[str]]]) -> None:
    """Give the printed document a bookmark for each part, page and section."""
    writer = PdfWriter(pdf, incremental=True)
    soup = BeautifulSoup(source.read_text(encoding="utf-8"), "html.parser")

    def add(title: str, place: str, above=None):
        return writer.add_outline_item(title=title, page_number=numbers[place], parent=above)

    for caption, pages in parts:
        part = add(caption, anchor(pages[0])) if caption else None
        for page in pages:
            title, *sections = soup.find(id=anchor(page)).select(":is(h1, h2) > span[id]")
            own = add(title.get_text(), anchor(page), part)
            for section in sections:
                add(section.get_text(), section["id"], own)
    writer.write(pdf)


def make(root: Path, build_dir: Path) -> Path:
    """Write `<build_dir>/book.pdf`, and return it: printed once to learn the page numbers, once with them."""
    executable, build_dir, numbers = browser(), build_dir.resolve(), {}
    source, unfinished, pdf = (build_dir / name for name in ("print.html", "book.unfinished.pdf", "book.pdf"))
    try:
        for _ in range(2):
            source.write_text(document(root, build_dir, numbers), encoding="utf-8")
            print_document(source, unfinished, executable)
            numbers = page_numbers(unfinished)
    except Error as error:
        raise BookError(f"{executable} cannot print the book: {error.message.splitlines()[0]}") from None
    add_bookmarks(source, unfinished, numbers, chapters(root))
    unfinished.replace(pdf)
    return pdf


def main(
    build_dir: Annotated[Path, typer.Option(help="Holds html/, the built book; gets book.pdf.")],
    root: Annotated[Path, typer.Option(help="The repository.")] = ROOT,
) -> None:
    """Print the built book as one PDF."""
    try:
        print(f"The book as PDF is at {make(root.resolve(), build_dir)}")
    except BookError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    typer.run(main)
