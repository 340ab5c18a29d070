"""The book as a PDF: what Chromium prints of some of its pages, joined."""

import re

import pytest
from conftest import ROOT
from pypdf import PdfReader

from book import pdf
from lib.errors import OneLineError

#: Pages with figures and folded code, and with formulas.
TOC = """
root: book/index
parts:
  - caption: Findings
    chapters:
      - file: notebooks/01_trajectories
  - caption: Method
    chapters:
      - file: book/protocol
      - file: book/spaces_and_metrics
"""


@pytest.fixture(scope="module")
def printed(html, chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdf")
    (folder / "html").symlink_to(html)
    (folder / "book").mkdir()
    (folder / "book" / "_toc.yml").write_text(TOC)
    pdf.main(folder, folder)
    return PdfReader(folder / "book.pdf")


@pytest.fixture(scope="module")
def texts(printed):
    return [page.extract_text() for page in printed.pages]


def test_chapters_are_those_of_the_book_in_its_order():
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert [page for _, part in pdf.chapters(ROOT) for page in part] == listed


def test_bookmarks_lead_to_their_headings(printed, texts):
    def walk(items, level=0):
        for item in items:
            if isinstance(item, list):
                yield from walk(item, level + 1)
            else:
                yield level, item.title, printed.get_destination_page_number(item)

    bookmarks = list(walk(printed.outline))
    titles = [(level, title) for level, title, _ in bookmarks]
    assert [title for level, title in titles if level == 0][-2:] == ["Findings", "Method"]
    assert (1, "Protocol") in titles
    assert (2, "Presets") in titles
    for _, title, number in bookmarks:
        assert title in ("Findings", "Method") or "".join(title.split()) in "".join(texts[number].split())


def test_sheets_are_numbered_and_formulas_typeset(texts):
    for number, text in enumerate(texts, 1):
        assert re.search(rf"^{number}$", text, re.MULTILINE)
    assert not re.search(r"\\frac|\\\[|\\\(", "".join(texts))


def test_links_lead_to_its_pages_or_to_the_web(printed):
    within, addresses = 0, []
    for page in printed.pages:
        for link in (annotation.get_object() for annotation in page.get("/Annots", [])):
            within += "/Dest" in link
            addresses += [link["/A"]["/URI"]] if "/URI" in link.get("/A", {}) else []
    assert within > 10
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
        pdf.main(tmp_path, ROOT)
    assert list(tmp_path.iterdir()) == []
