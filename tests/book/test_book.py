"""A whole book built at preset smoke: its table of contents, links, figures and verdicts."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from conftest import ROOT

from book import build, reference
from book.verdicts import FINDINGS
from lib.findings.claim import KINDS
from lib.findings.judging import sentences

# The table of contents


def test_toc_lists_the_notebooks_that_are_there():
    assert sorted(build.toc_notebooks(ROOT)) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_toc_lists_every_page_of_the_book():
    toc = (ROOT / "book" / "_toc.yml").read_text()
    assert {f"book/{path.stem}" for path in (ROOT / "book").glob("*.md")} == set(re.findall(r"book/\w+", toc))


def test_references_are_all_cited():
    pages = "".join(path.read_text() for path in (ROOT / "book").glob("*.md"))
    cited = set(re.findall(r"\{cite(?::t)?\}`(\w+)`", pages))
    assert cited == set(re.findall(r"@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text()))


def test_hypothesis_is_named_and_described_for_those_who_do_not_see_it():
    drawing = ElementTree.parse(ROOT / "book" / "assets" / "hypothesis.html")
    panels = list(drawing.iter("svg"))
    assert [panel.get("role") for panel in panels] == ["img", "img"]
    for panel in panels:
        texts = {part.get("id"): part.text for part in panel if part.tag in ("title", "desc")}
        assert all(texts[name] for name in panel.get("aria-labelledby").split())


# A whole book


class Page(HTMLParser):
    """The links, embedded resources and anchors of one page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.parts = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        have = dict(attributes)
        self.ids |= {have[name] for name in ("id", "name") if have.get(name)}
        if tag == "a" and have.get("href"):
            self.links.append(have["href"])
        self.parts += [have[name] for name in ("src", "srcset", "data-src", "poster") if have.get(name)]
        # Links with these relations name other pages, and load nothing.
        if tag == "link" and have.get("rel") not in ("canonical", "next", "prev", "index", "search", "author"):
            self.parts.append(have["href"])


@pytest.fixture(scope="session")
def pages(html):
    return {
        path: Page(path.read_text(encoding="utf-8")) for path in html.rglob("*.html") if "_static" not in path.parts
    }


def test_book_has_every_page(html, pages):
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert {html / f"{file}.html" for file in listed} <= set(pages)
    assert "book/index.html" in (html / "index.html").read_text()


def test_book_links_lead_somewhere(html, pages):
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.parts]:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchor = unquote(address.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids):
                broken.append(f"{path.relative_to(html)}: {link}")
    assert broken == []


def test_book_needs_no_other_host(html, pages):
    elsewhere = [part for page in pages.values() for part in page.parts if urlsplit(part).netloc]
    styles = "".join(path.read_text(encoding="utf-8") for path in html.rglob("*.css"))
    elsewhere += re.findall(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", styles)
    assert elsewhere == []


def test_book_figures_have_captions(html):
    for path in (html / "notebooks").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        figures = text.count('class="cell_output') and re.findall(r"<img [^>]*src=\"\.\./_images", text)
        assert len(re.findall(r"<figcaption>", text)) == len(figures) > 0


def test_book_figures_are_there_to_take_away(html):
    kept = reference.read_run(ROOT / reference.KEPT)  # the committed reference run has no SVG and no large data
    for path in (html / "notebooks").glob("*.html"):
        lines = re.findall(r'<p class="downloads">(.*?)</p>', path.read_text(encoding="utf-8"))
        names = [
            cell.metadata.mystnb.figure.name
            for cell in nbformat.read(ROOT / "notebooks" / f"{path.stem}.ipynb", 4).cells
            if "mystnb" in cell.metadata
        ]
        built = [f"{name}-build" for name in names] if path.stem in kept else []
        for line, name in zip(lines, [*names, *built], strict=True):
            links = re.findall(r'<a [^>]*download="" href="([^"]+)">(.*?)</a>', line)
            files = [link.rpartition("/")[2] for link, _ in links]
            assert files[0] == f"{name}.png"
            if not built or name in built:
                assert files[1:] == [f"{name}.svg", f"{name}.csv"]
            assert all((path.parent / link).is_file() for link, _ in links)
            # The text that a screen reader announces.
            forms = {"png": "PNG", "svg": "SVG", "csv": "data (CSV)"}
            said = [re.sub(r"<[^>]*>", "", text) for _, text in links]
            assert said == [f"{forms[file.rpartition('.')[2]]} of figure {name}" for file in files]


def test_book_shows_the_verdicts_of_its_notebooks(html, executed_notebooks):
    pages = build.check_claims(ROOT, executed_notebooks / "claims").values()
    found = [one for own in pages for one in sentences(own, KINDS)]
    others = sum(result.verdict != one.verdict for one in found for result in one.results)
    text = (html / "book" / "scoreboard.html").read_text(encoding="utf-8")
    tables = text[text.index("<tbody>") : text.rindex("</tbody>")]
    assert tables.count('class="verdict ') == len(found) + others > 0


def test_first_page_shows_the_hypothesis_and_a_card_for_every_finding(html):
    text = (html / "book" / "index.html").read_text(encoding="utf-8")
    assert text.count('<svg role="img"') == 2
    for finding in FINDINGS.values():
        assert f"{finding.notebook}.png" in text
        assert f'href="../notebooks/{finding.notebook}.html"' in text
