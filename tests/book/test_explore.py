"""The page Explore: results read from notebooks or committed, its figures, and the page itself in a browser."""

import base64
import io
import json
import sys
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

sys.path.insert(0, str(ROOT))

from book import explore, explored
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
PROVENANCE = '<table class="dataframe provenance"><tbody><tr><td>commit</td><td>&lt;0123&gt;</td></tr></tbody></table>'


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
        cells = [
            new_code_cell("figure", metadata=described, outputs=[new_output("display_data", data=data)]),
            new_code_cell("table", outputs=[new_output("display_data", data={"text/html": PROVENANCE})]),
        ]
        nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / f"{name}.ipynb")
    context = {"dataset": "svhn", "architecture": "small_cnn", "preset": "smoke"}
    monkeypatch.setattr(explored, "read_results", lambda folder: [SimpleNamespace(context=context)])
    return tmp_path


# Results that are read or committed


def test_recorded_results_are_read_back_with_four_digits(build_dir, tmp_path):
    paths = explored.record(build_dir, tmp_path / "results")
    assert [path.name for path in paths] == ["plane-svhn-small_cnn.json", "radial-svhn-small_cnn.json"]
    plane, radial = explored.committed(tmp_path / "results")
    assert (plane.dataset, plane.preset, plane.provenance) == ("svhn", "smoke", {"commit": "<0123>"})
    assert plane.table["scale"].dropna().tolist() == [0.5123, 2.0]
    assert radial.table.columns.tolist() == TABLES["radial"].columns.tolist()


def test_own_results_come_first_and_stand_in_for_committed_ones(build_dir, tmp_path):
    folder = tmp_path / "results"
    explored.record(build_dir, folder)
    said = json.loads((folder / "plane-svhn-small_cnn.json").read_text()) | {"dataset": "digits"}
    (folder / "plane-digits-small_cnn.json").write_text(json.dumps(said))
    (folder / "plane-digits-small_cnn.csv").write_text((folder / "plane-svhn-small_cnn.csv").read_text())
    found = explored.gathered(build_dir, folder)
    assert [(one.dataset, one.here) for one in found["plane"]] == [("svhn", True), ("digits", False)]
    assert [one.here for one in found["radial"]] == [True]
    (folder / "plane-digits-small_cnn.csv").unlink()
    with pytest.raises(explored.ExploreError, match=r"digits-small_cnn.json: not a result of the page Explore .*csv"):
        explored.gathered(build_dir, folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells.pop(0), "there is no figure 'diversity-plane'"),
        (lambda cells: cells[0].outputs[0].data.pop(CSV), "there is no figure 'diversity-plane' with its data"),
        (lambda cells: cells.pop(1), "there is no provenance: execute the notebook again"),
    ],
)
def test_notebook_without_what_is_needed_is_refused_in_one_line(build_dir, change, message):
    path = build_dir / "notebooks" / "04_diversity.ipynb"
    content = nbformat.read(path, as_version=4)
    change(content.cells)
    nbformat.write(content, path)
    with pytest.raises(SystemExit, match=f"^[^\n]*{message}[^\n]*$"):
        explore.main(build_dir, build_dir / "results")


def test_committed_results_say_where_they_come_from():
    found = explored.committed(ROOT / explored.COMMITTED)
    assert len(found) == 6
    for result in found:
        assert {"preset", "parameters given", "data", "versions", "commit"} <= set(result.provenance)
        assert "dirty" not in result.provenance["commit"]
        assert explore.part(result)


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
    """A page with the plane of two results, at the size of a phone and in the dark theme."""
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

    page.get_by_label("Network", exact=True).select_option("medium_cnn on digits")
    page.wait_for_function(f"{STARS}.x.length === 3")
    assert page.get_by_label("Range").evaluate("list => list.value") == "close to the base"
    shown = page.locator(".explore-result:visible p").all_text_contents()
    assert [text.split(":")[0] for text in shown] == ["medium_cnn on digits, preset quick (comes with the book)"]
    assert shown == [page.locator(".explore-figure").get_attribute("aria-label")]
