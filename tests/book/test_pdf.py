"""The book as a PDF: what becomes of its pages, and what Chromium prints of some of them."""

import re
import sys

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from pypdf import PdfReader

from book import pdf
from book.build import BookError

#: Pages with figures and folded code, with tabs, and with formulas.
TOC = """
root: book/index
parts:
  - caption: Findings
    chapters:
      - file: notebooks/01_trajectories
  - caption: Method
    chapters:
      - file: book/protocol
        sections:
          - file: book/spaces_and_metrics
"""
PAGES = re.findall(r"\w+/\w+", TOC)


@pytest.fixture(scope="module")
def build_dir(html, tmp_path_factory):
    """A build folder with the pages of the book, and in it a repository whose table of contents lists a few of them."""
    folder = tmp_path_factory.mktemp("pdf")
    (folder / "html").symlink_to(html)
    (folder / "book").mkdir()
    (folder / "book" / "_toc.yml").write_text(TOC)
    (folder / "_config.yml").symlink_to(ROOT / "_config.yml")
    return folder


@pytest.fixture(scope="module")
def document(build_dir):
    return BeautifulSoup(pdf.document(build_dir, build_dir, {}), "html.parser")


@pytest.fixture(scope="module")
def printed(build_dir, chromium):
    return PdfReader(pdf.make(build_dir, build_dir))


@pytest.fixture(scope="module")
def texts(printed):
    return [page.extract_text() for page in printed.pages]


def test_chapters_are_those_of_the_book_in_its_order():
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert [page for _, part in pdf.chapters(ROOT) for page in part] == listed


def test_document_has_the_pages_in_order_once(document):
    assert [chapter["id"] for chapter in document.select(".chapter")] == [pdf.anchor(page) for page in PAGES]
    identifiers = [part["id"] for part in document.select("[id]:not(svg *)")]
    assert len(identifiers) == len(set(identifiers))


def test_document_links_within_itself_or_to_the_web(document):
    links = [link["href"] for link in document.select("a[href]")]
    identifiers = {f"#{part['id']}" for part in document.select("[id]")}
    assert [link for link in links if link not in identifiers and not link.startswith("http")] == []
    # Page 1 leads to the method; what is not in this table of contents is text.
    assert f"#{pdf.anchor('book/spaces_and_metrics')}" in " ".join(links)
    assert "API reference" not in " ".join(link.get_text() for link in document.select("a"))


def test_document_leaves_out_folded_code_and_shows_every_figure(document, build_dir):
    page = "notebooks/01_trajectories"
    whole = BeautifulSoup((build_dir / "html" / f"{page}.html").read_text(), "html.parser")
    mine = document.find(id=pdf.anchor(page))
    assert len(mine.select(".cell_input")) == len(whole.select(".cell_input")) - len(whole.select("details.hide"))
    sources = [image["src"] for image in mine.select("img")]
    assert len(sources) == len(whole.select("article img")) > 2
    assert all((build_dir / source).is_file() for source in sources)


def test_document_runs_no_script_but_mathjax(document):
    assert all("mathjax" in str(script).lower() for script in document.select("script"))
    assert not document.select("details:not([open])")


@pytest.fixture(scope="module")
def bookmarks(printed):
    """Level, title and number of the page of paper, from 0, of every bookmark."""

    def walk(items, level):
        for item in items:
            if isinstance(item, list):
                yield from walk(item, level + 1)
            else:
                yield level, item.title, printed.get_destination_page_number(item)

    return list(walk(printed.outline, 0))


def test_pdf_has_bookmarks_that_lead_to_their_headings(bookmarks, texts):
    titles = [(level, title) for level, title, _ in bookmarks]
    assert [title for level, title in titles if level == 0][-2:] == ["Findings", "Method"]
    assert (1, "Protocol") in titles
    assert (2, "Presets") in titles
    for level, title, number in bookmarks:
        assert title in ("Findings", "Method") or "".join(title.split()) in "".join(texts[number].split()), level


def test_pdf_numbers_its_pages_and_the_contents_know_them(bookmarks, texts):
    assert not re.search(r"^1$", texts[0], re.MULTILINE)
    for number, text in enumerate(texts[1:], 2):
        assert re.search(rf"^{number}$", text, re.MULTILINE)
    (beginning,) = [number + 1 for _, title, number in bookmarks if title == "Protocol"]
    assert f"Protocol {beginning} " in " ".join(texts[1].split())


def test_pdf_links_lead_to_its_pages_or_to_the_web(printed):
    within, addresses = 0, []
    for page in printed.pages:
        for annotation in page.get("/Annots", []):
            link = annotation.get_object()
            within += "/Dest" in link
            addresses += [link["/A"]["/URI"]] if "/URI" in link.get("/A", {}) else []
    assert within > 10
    assert [address for address in addresses if not address.startswith("http")] == []
    assert addresses


def test_pdf_formulas_are_typeset(texts, document):
    sources = [formula.get_text() for formula in document.select("div.math")]
    assert any(r"\frac" in source for source in sources)
    assert not re.search(r"\\frac|\\\[|\\\(", "".join(texts))


def test_browser_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with pytest.raises(BookError, match=r"^the PDF needs Chromium.*apt install chromium.*$"):
        pdf.browser()
    monkeypatch.setenv("CHROMIUM", "no-such-program")
    with pytest.raises(BookError, match=r"^CHROMIUM is no-such-program, which is no program"):
        pdf.browser()


def test_main_says_in_one_line_that_there_is_no_book(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CHROMIUM", sys.executable)
    with pytest.raises(SystemExit) as ended:
        pdf.main(tmp_path, ROOT)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"{tmp_path / 'html' / 'book' / 'index.html'} is missing: make book first\n"
    assert list(tmp_path.iterdir()) == []
