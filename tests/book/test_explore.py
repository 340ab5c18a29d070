"""The page Explore: results read from notebooks, its figures, and the page itself in a browser."""

import base64
import io
import shutil
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import CHROMIUM_OPTIONS, ROOT, served
from matplotlib.colors import to_hex
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright

from book import explore, explored
from book.reference import KEPT
from lib.findings.records import read_results
from lib.plots.diversity import ACROSS, UP
from lib.plots.downloads import CSV, SVG
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS

TABLES = {
    "plane": pd.DataFrame(
        [
            ("small_cnn", "limit: independent errors", 0.5, 0.9, np.nan),
            ("small_cnn", "limit: independent errors", 0.8, 1.0, np.nan),
            ("small_cnn", "independent solutions", 0.79, 0.7, np.nan),
            ("small_cnn", "independent solutions", 0.81, 0.8, np.nan),
            ("small_cnn", "random directions", 0.79, 0.2, 0.51234567),
            ("small_cnn", "random directions", 0.6, 0.75, 2.0),
            ("small_cnn", "base solution", 0.8, 0.0, np.nan),
        ],
        columns=["panel", "series", ACROSS, UP, "scale"],
    ),
    "radial": pd.concat(
        [
            pd.DataFrame(
                [("map", r, a, r * a / 4, r / 2) for r in (0, 1, 2) for a in (0, np.pi / 2)],
                columns=["series", "radius", "angle (radians)", "accuracy", "same label as run 3"],
            ),
            pd.DataFrame(
                [("run 1", 0.1, 0.02), ("run 1", 1, 0), ("run 3", 0.03, 0.2), ("run 3", 0, 1)],
                columns=["series", "share of run 1's solution", "share of run 3's solution"],
            ),
        ]
    ),
}


@pytest.fixture
def build_dir(tmp_path, monkeypatch):
    """A build folder with the two notebooks of the page, whose verdicts name one network."""
    picture = io.BytesIO()
    plt.figure(figsize=(1, 1)).savefig(picture, format="png")
    plt.close("all")
    (tmp_path / "notebooks").mkdir()
    for kind, (name, figure) in explored.FIGURES.items():
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(), SVG: "<svg/>"}
        data[CSV] = TABLES[kind].to_csv(index=False)
        described = {"mystnb": {"figure": {"name": figure}, "image": {"alt": f"Alt of {figure}."}}}
        cell = new_code_cell("figure", metadata=described, outputs=[new_output("display_data", data=data)])
        nbformat.write(new_notebook(cells=[cell]), tmp_path / "notebooks" / f"{name}.ipynb")
    context = {"dataset": "svhn", "architecture": "small_cnn"}

    def read(folder):
        return read_results(folder) if folder.is_relative_to(ROOT) else [SimpleNamespace(context=context)]

    monkeypatch.setattr(explored, "read_results", read)
    return tmp_path


# Results


def test_results_of_the_reference_run_come_before_those_of_this_build(build_dir, tmp_path):
    kept = tmp_path / "root" / KEPT / "notebooks"
    kept.mkdir(parents=True)
    shutil.copy(build_dir / "notebooks" / "04_diversity.ipynb", kept)
    found = explored.gathered(tmp_path / "root", build_dir)
    assert [result.source for result in found["plane"]] == ["reference run", "this build"]
    (radial,) = found["radial"]  # its page has not been made by the reference run
    assert (radial.source, radial.dataset, radial.architecture) == ("this build", "svhn", "small_cnn")
    pd.testing.assert_frame_equal(radial.table, TABLES["radial"].reset_index(drop=True), check_dtype=False)


def test_the_book_has_results_of_the_reference_run(tmp_path):
    found = explored.gathered(ROOT, tmp_path)
    assert {result.dataset for results in found.values() for result in results} == {"cifar10_holdout"}
    assert all(explore.part(result) for results in found.values() for result in results)


# Figures


def test_plane_has_every_series_with_its_mark_and_a_nearer_look():
    figure = explore.plane(TABLES["plane"])
    curve, stars, samples, base = figure.data
    assert (curve.mode, stars.marker.symbol, base.marker.symbol) == ("lines", "star", "x")
    assert samples.marker.color == to_hex(METHOD_COLORS["random"])
    assert [explore.color_of(grey) for grey in ("black", "0.45")] == [explore.TEXT, explore.MUTED]
    assert list(stars.x) == [0.79, 0.81]
    assert list(stars.text) == ["run 2", "run 3"]
    assert list(samples.text) == ["scale 0.512", "scale 2"]
    _, near = figure.layout.updatemenus[0].buttons
    assert near.args[0]["xaxis.range"] == pytest.approx((0.74, 0.815))  # the base is at 0.8, the best star at 0.81
    assert near.args[0]["yaxis.range"] == pytest.approx((-0.06, 0.9))
    assert set(METHOD_MARKERS.values()) <= set(explore.MARKERS)


def test_radial_has_a_surface_for_each_quantity_with_the_paths_on_it():
    figure = explore.radial(TABLES["radial"])
    first, second = (trace for trace in figure.data if trace.type == "surface")
    assert (first.visible, second.visible) == (True, False)
    np.testing.assert_allclose(first.z[1], [0, np.pi / 8])
    np.testing.assert_allclose(second.x[2], [2, 0], atol=1e-4)
    line, _, end = figure.data[8:11]  # run 1 on the second surface
    np.testing.assert_allclose(line.z, np.array([np.hypot(0.1, 0.02), 1, 1]) / 2 + explore.ABOVE)
    assert "run 1: final solution<br>same label as run 3 0.500" in end.hovertemplate
    heights, views = figure.layout.updatemenus
    assert [button.label for button in heights.buttons] == ["accuracy", "same label as run 3"]
    assert heights.buttons[1].args[0]["visible"] == [False] * 7 + [True] * 7
    assert len(views.buttons) == len(explore.VIEWS)


# In a browser


@pytest.fixture
def page(build_dir, chromium, tmp_path):
    """A page with the planes of the reference run and of one build, at the size of a phone and in the dark theme."""
    (tmp_path / "explore.js").write_text((ROOT / "book" / "assets" / "explore" / "explore.js").read_text())
    site = tmp_path / "site"
    for folder in ("generated", "book/assets/explore"):
        (site / folder).mkdir(parents=True)
    explore.write(ROOT, build_dir, site)
    (site / "book" / "assets" / "explore" / "plotly.min.js").rename(tmp_path / "plotly.min.js")
    parts = (site / "generated" / "explore_plane.md").read_text().split("```{raw} html\n")[1].removesuffix("\n```\n")
    (tmp_path / "index.html").write_text(
        "<html data-theme=dark><style>html[data-theme=dark] { --pst-color-text-base: #fefefe }"
        "html { --pst-color-text-base: #111111; --pst-color-text-muted: #777; --pst-color-border: #777;"
        " --pst-color-background: #000; --pst-color-surface: #222 }</style>"
        f'<div class=explore><div class=explore-figure style="height:400px"><img></div>{parts}</div>'
        "<script defer src=plotly.min.js></script><script defer src=explore.js></script>"
    )
    with served(tmp_path) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page, problems = browser.new_page(viewport={"width": 390, "height": 844}), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.locator(".explore-controls button").first.wait_for()
        yield page
        browser.close()
    assert problems == []


STARS = "document.querySelector('.js-plotly-plot').data.find(trace => trace.name === 'independent solutions')"

COLOR = "document.querySelector('.js-plotly-plot')._fullLayout.font.color"


def test_networks_ranges_and_methods_are_switched_by_keyboard_in_both_themes(page):
    page.get_by_label("Network", exact=True).select_option("small_cnn on svhn, this build")
    page.wait_for_function(f"{STARS}.x.length === 2")
    assert page.evaluate(STARS)["x"] == [0.79, 0.81]
    assert page.evaluate(COLOR) == "#fefefe"
    button = page.get_by_role("button", name="independent solutions")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert page.evaluate(STARS)["visible"] is False
    button.press("Enter")
    assert page.evaluate(STARS)["visible"] is True

    page.get_by_label("Range").select_option("close to the base")
    whole = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"
    assert page.evaluate(whole) == pytest.approx((0.74, 0.815))
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_function(f"{COLOR} === '#111111'")

    page.get_by_label("Network", exact=True).select_option("medium_cnn on cifar10_holdout, reference run")
    page.wait_for_function(f"{STARS}.x.length === 4")
    assert page.get_by_label("Range").evaluate("list => list.value") == "close to the base"
    shown = page.locator(".explore-result:visible p").all_text_contents()
    assert [text.split(":")[0] for text in shown] == ["medium_cnn on cifar10_holdout (reference run)"]
    assert shown == [page.locator(".explore-figure").get_attribute("aria-label")]
