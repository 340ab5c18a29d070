"""The book as a PDF: some of its pages, printed by Chromium and joined."""

import re
import unicodedata
from bisect import bisect
from posixpath import join, normpath

import pytest
from conftest import ROOT
from pypdf import PdfReader

from book import pdf
from lib.errors import OneLineError

#: Pages with figures and folded code, and with formulas.
PAGES = ["book/index", "notebooks/01_trajectories", "book/protocol", "book/spaces_and_metrics"]
TOC = """
root: {}
parts:
  - caption: Findings
    chapters:
      - file: {}
  - caption: Method
    chapters:
      - file: {}
      - file: {}
""".format(*PAGES)


@pytest.fixture(scope="module")
def printed(html, chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdf")
    (folder / "html").symlink_to(html)
    (folder / "book").mkdir()
    (folder / "book" / "_toc.yml").write_text(TOC)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pdf, "ROOT", folder)
        pdf.main(folder)
    return PdfReader(folder / "book.pdf")


@pytest.fixture(scope="module")
def texts(printed):
    return [page.extract_text() for page in printed.pages]


def test_chapters_are_those_of_the_book_in_its_order():
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert [page for _, part in pdf.chapters(ROOT) for page in part] == listed


def bookmarks(printed):
    """Level, title and page index (from 0) of every bookmark."""

    def walk(items, level=0):
        for item in items:
            if isinstance(item, list):
                yield from walk(item, level + 1)
            else:
                yield level, item.title, printed.get_destination_page_number(item)

    return list(walk(printed.outline))


def letters(text):
    """Text without whitespace, and with ligatures of the font replaced by letters."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def test_bookmarks_lead_to_their_headings(printed, texts):
    titles = [(level, title) for level, title, _ in bookmarks(printed)]
    assert [title for level, title in titles if level == 0][-2:] == ["Findings", "Method"]
    assert (1, "Protocol") in titles
    assert (2, "Presets") in titles
    for _, title, number in bookmarks(printed):
        assert title in ("Findings", "Method") or letters(title) in letters(texts[number])


def test_sheets_are_numbered_and_formulas_typeset(texts):
    for number, text in enumerate(texts, 1):
        assert re.search(rf"^{number}$", text, re.MULTILINE)
    assert not re.search(r"\\frac|\\\[|\\\(", "".join(texts))


def test_links_from_page_to_page_are_links_within_the_pdf_and_others_lead_to_the_web(printed, html):
    titles = [mark[:2] for mark in bookmarks(printed)]
    after_first = bookmarks(printed)[titles.index((0, "Findings")) :]
    starts = [0, *(number for level, _, number in after_first if level == 1)]
    within, addresses = set(), []
    for number, sheet in enumerate(printed.pages):
        for link in (annotation.get_object() for annotation in sheet.get("/Annots", [])):
            if "/Dest" in link:
                target = printed.get_page_number(link["/Dest"][0].get_object())
                within.add((PAGES[bisect(starts, number) - 1], PAGES[bisect(starts, target) - 1]))
            else:
                addresses.append(link["/A"]["/URI"])
    expected = set()
    for page in PAGES:
        article = re.search(r"<article.*</article>", (html / f"{page}.html").read_text("utf-8"), re.DOTALL)[0]
        for target in re.findall(r'<a [^>]*href="([^":#]+)\.html[#"]', article):
            expected.add((page, normpath(join(page, "..", target))))
    assert {pair for pair in within if pair[0] != pair[1]} == {pair for pair in expected if pair[1] in PAGES}
    assert len(expected) > 3
    assert addresses
    assert [address for address in addresses if not address.startswith("http")] == []


def test_browser_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(OneLineError, match=r"^the PDF needs Chromium.*apt install chromium.*$"):
        pdf.browser()


def test_main_says_in_one_line_that_there_is_no_book(tmp_path):
    with pytest.raises(SystemExit, match=rf"^{tmp_path}/html is missing: make book first$"):
        pdf.main(tmp_path)
    assert list(tmp_path.iterdir()) == []
