"""The pages of a whole book as readers see them: each opened in Chromium, wide and on a phone, light and dark."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import axe_playwright_python
import pytest
from conftest import CHROMIUM_OPTIONS, served
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from lib.plots.style import SMALLEST_TYPE

#: Window widths in CSS pixels, and the width that each theme starts with; then the window gets the other width.
WIDE, PHONE = 1280, 390
THEMES = {"light": PHONE, "dark": WIDE}

#: Options for axe: a dark page has the same elements as a light one in other colours, so only colours are checked.
RULES = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}

#: The minimum size of the smallest type in a figure, in CSS pixels.
LEGIBLE = 7

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
AXE_OPTIONS = {"resultTypes": ["violations"], "preload": False, "elementRef": False}

#: What axe skips: sections of the API reference after the first, as all have the same structure.
ALIKE = {"exclude": [[".bd-article:has(dl.py) > section > section ~ section"]]}

#: Every image with its alt text, and its width in pixels if it is a notebook figure.
IMAGES = """() => [...document.images].map(image => {
  const style = getComputedStyle(image), figure = image.closest(".cell_output");
  const shown = image.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return {source: image.src, alt: image.getAttribute("alt"), shown: figure && image.clientWidth ? shown : null};
})"""

#: The elements that stick out of the window if the page can be scrolled sideways.
SIDEWAYS = """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter(part => part.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 3).map(part => `${part.tagName}.${part.className}`).concat(`${document.scrollingElement.scrollWidth} px`)"""

#: The first lines of code cells, folded ones too, that have a line wider than the column.
WRAPPED = """() => [...document.querySelectorAll(".cell_input pre")].filter(pre => {
  const fold = pre.closest("details"), closed = fold && !fold.open;
  if (closed) fold.open = true;
  pre.style.whiteSpace = "pre";
  const wide = pre.scrollWidth > pre.clientWidth;
  pre.style.whiteSpace = "";
  if (closed) fold.open = false;
  return wide;
}).map(pre => pre.textContent.trim().split("\\n")[0])"""

#: Waits for formulas, fonts, and a frame, before which the page is told that the window has changed.
SETTLED = """async () => {
  await window.MathJax?.startup?.promise; await document.fonts.ready; await new Promise(requestAnimationFrame);
}"""


class Fault(NamedTuple):
    """A fault of a page, with the theme and the window width."""

    kind: str
    page: str
    theme: str
    width: int
    what: str


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    with served(html) as address:
        yield address


@pytest.fixture(scope="module")
def pages(html: Path) -> list[str]:
    """Every page of the book except the first, which redirects to book/index.html.

    Only one of the source listings is included, as all have the same structure.
    """
    found = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html") if "_static" not in path.parts)
    listings = [name for name in found if name.startswith("_modules/lib/")]
    return [name for name in found if name not in ("index.html", *listings[1:])]


@pytest.fixture(scope="module")
def faults(chromium: str, address: str, pages: list[str], html: Path) -> list[Fault]:
    """All faults of all pages; each test below looks at one kind. There is one browser per theme."""

    def look_in(theme: str) -> list[Fault]:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
            found = [*look(browser, address, pages, html, theme)]
            browser.close()
        return found

    with ThreadPoolExecutor() as pool:
        return [fault for found in pool.map(look_in, THEMES) for fault in found]


def look(browser: Browser, address: str, pages: list[str], html: Path, theme: str) -> Iterator[Fault]:
    """The faults of all pages in one theme, as seen on a first visit."""
    first = THEMES[theme]
    context = browser.new_context(viewport={"width": first, "height": 900}, color_scheme=theme)
    page, noted = context.new_page(), []
    context.route(lambda url: not url.startswith(address), lambda route: route.abort())
    page.on("console", lambda message: message.type in ("error", "warning") and noted.append(("console", message.text)))
    page.on("pageerror", lambda error: noted.append(("console", str(error))))
    page.on(
        "request", lambda request: request.url.startswith((address, "data:")) or noted.append(("host", request.url))
    )
    for name in pages:
        page.goto(address + name)
        shown = page.evaluate("document.documentElement.dataset.theme")
        found = [("theme", shown)] if shown != theme else []
        for width in (first, WIDE + PHONE - first):
            page.set_viewport_size({"width": width, "height": 900})
            page.evaluate(SETTLED)
            found += [("sideways", what) for what in page.evaluate(SIDEWAYS)] + image_faults(page, html)
            if width == WIDE:
                found += [("wrapped", what) for what in page.evaluate(WRAPPED)]
            if width == first:
                found += [("accessibility", what) for what in accessibility(page, RULES[theme])]
            yield from (Fault(kind, name, theme, width, what) for kind, what in found)
            found = []
        yield from (Fault(kind, name, theme, first, what) for kind, what in noted)
        noted.clear()
    context.close()


def accessibility(page: Page, rules: dict) -> list[str]:
    """The serious and critical violations that axe finds, under all rules or those given."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    where, options = (json.dumps(given) for given in (ALIKE, AXE_OPTIONS | rules))
    found = page.evaluate(f"async () => (await axe.run({where}, {options})).violations")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def image_faults(page: Page, html: Path) -> list[tuple[str, str]]:
    """Images without alt text, and figures whose type is too small to read."""
    found = []
    for image in page.evaluate(IMAGES):
        name = image["source"].rsplit("/", 1)[-1]
        if len((image["alt"] or "").strip()) < 5 or re.search(r"\.(png|svg|jpe?g)$", image["alt"]):
            found.append(("alt", name))
        if image["shown"]:
            with Image.open(html / "_images" / name) as figure:
                points = 72 * figure.width / figure.info["dpi"][0]
            size = SMALLEST_TYPE * image["shown"] / points
            if size < LEGIBLE:
                found.append(("type", f"{name}: {size:.1f} px"))
    return found


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("console", id="no error in the console"),
        pytest.param("host", id="no request to another host"),
        pytest.param("theme", id="the theme of the system"),
        pytest.param("sideways", id="no sideways scrolling"),
        pytest.param("wrapped", id="no wrapped line of code at desktop width"),
        pytest.param("alt", id="images with a text alternative"),
        pytest.param("type", id="figures with legible type"),
        pytest.param("accessibility", id="no serious fault of accessibility"),
    ],
)
def test_pages(kind, faults):
    found = [fault for fault in faults if fault.kind == kind]
    assert not found, "\n".join(f"{page}, {theme}, {width}: {what}" for _, page, theme, width, what in found[:20])
