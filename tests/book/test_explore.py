"""The page Explore: what is read from notebooks and committed, and the page itself in a browser."""

import base64
import io
import json
import shutil
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from conftest import CHROMIUM_OPTIONS, ROOT, served
from matplotlib import colormaps
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

sys.path.insert(0, str(ROOT))

from book import build, explore, explored, figures
from lib.findings import claims
from lib.findings.planes import Points
from lib.metrics import uncorrelated_limit
from lib.notebook import page as notebook
from lib.plots import landscape, take_away
from lib.plots.diversity import diversity_accuracy
from lib.plots.style import METHOD_MARKERS, METHOD_NAMES

DEVICE = "a processor with a name that is longer than pandas shows in a cell of a table"
NETWORKS = ("small_cnn", "resnet8_v1")
SCALES = np.array([0.51234567, 2.0])
RADII, ANGLES = np.linspace(0, 2, 5), np.radians([-45, 0, 45, 90, 135])
TITLES = ["accuracy", "same label as run 1", "same label as run 3"]
PATHS = [np.array([[0.1, 0.02], [0.6, 0.01], [1, 0]]), np.array([[0.03, 0.2], [0, 1]])]


def points(accuracies, disagreements):
    return Points(np.array(accuracies), np.array(disagreements), 0.8, 10)


def plane_figure():
    own = {"independent": points([0.79, 0.81], [0.147, 0.152]), "random": points([0.79, 0.6], [0.042, 0.3])}
    scales = {"random": SCALES}
    return diversity_accuracy({name: own for name in NETWORKS}, {name: scales for name in NETWORKS})


def radial_figure():
    first = np.linspace(0, 1, RADII.size * ANGLES.size).reshape(RADII.size, ANGLES.size)
    maps = dict(zip(TITLES, (first, first**2, first[:, ::-1]), strict=True))
    places = [path[-1:] for path in PATHS]
    return landscape.radial_maps(RADII, ANGLES, maps, (0, 2), PATHS, places, "low-rank-gaussian", 30)


def executed(figure, name, rows, monkeypatch):
    """A notebook as it is after execution, of one figure of `lib.plots` and the table of provenance."""
    shown, picture = [], io.BytesIO()
    monkeypatch.setattr(notebook, "display", lambda given: shown.append(given.data))
    notebook.show(pd.DataFrame({"": list(rows), "value": list(rows.values())}), "provenance")
    figure.savefig(picture, format="png")
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), **take_away(figure)}
    described = {"mystnb": {"figure": {"name": name, "caption": "What it shows."}, "image": {"alt": f"Alt of {name}."}}}
    cells = [
        new_code_cell("figure", metadata=described, outputs=[new_output("display_data", data=data)]),
        new_code_cell("page.provenance()", outputs=[new_output("display_data", data={"text/html": shown[0]})]),
    ]
    return new_notebook(cells=cells)


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory):
    """A build folder with the two notebooks of the page, and their verdicts."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "notebooks").mkdir()
    rows = {
        "preset": "smoke",
        "device": DEVICE,
        "small_cnn runs, by key": "aaaa",
        "resnet8_v1 runs, by key": "bbbb",
        "commit": "<0123>",
    }
    made = {
        "plane": (plane_figure(), "diversity/random", NETWORKS),
        "radial": (radial_figure(), "radial/valley", NETWORKS[:1]),
    }
    with pytest.MonkeyPatch.context() as monkeypatch:
        for kind, (figure, claim, architectures) in made.items():
            name, title = explored.FIGURES[kind]
            nbformat.write(executed(figure, title, rows, monkeypatch), folder / "notebooks" / f"{name}.ipynb")
            for architecture in architectures:
                context = {"dataset": "svhn", "architecture": architecture, "preset": "smoke"}
                result = claims.judge(claim, claims.Estimate(1.0, 1.0, 1.0, 0, "none"), context)
                claims.write_result(result, folder / "claims" / name)
    return folder


# What is read from notebooks


def test_plane_has_every_network_with_its_method_scale_and_place(build_dir):
    small, _ = found = explored.results(build_dir, "plane")
    assert [result["architecture"] for result in found] == ["small_cnn", "resnet8_v1"]
    assert (small["dataset"], small["preset"], small["base_accuracy"]) == ("svhn", "smoke", 0.8)
    assert small["points"] == [
        {"method": "independent", "scale": None, "accuracy": 0.79, "diversity": 0.7, "run": 2},
        {"method": "independent", "scale": None, "accuracy": 0.81, "diversity": 0.8, "run": 3},
        {"method": "random", "scale": 0.5123, "accuracy": 0.79, "diversity": 0.2},
        {"method": "random", "scale": 2.0, "accuracy": 0.6, "diversity": 0.75},
    ]
    upper = small["limits"]["limit: independent errors"]
    np.testing.assert_allclose(upper["diversity"], uncorrelated_limit(np.array(upper["accuracy"]), 0.8, 10), rtol=2e-3)
    # Independent solutions may be more accurate than the base, flipped labels are not.
    assert [curve["accuracy"][-1] for curve in small["limits"].values()] == [0.81, 0.8]


def test_radial_has_its_maps_by_radius_and_angle_and_the_paths_of_its_runs(build_dir):
    (found,) = explored.results(build_dir, "radial")
    assert found["runs"] == [1, 3]
    assert found["radii"] == RADII.tolist()
    np.testing.assert_allclose(found["angles"], ANGLES, rtol=1e-3)
    assert list(found["maps"]) == TITLES
    np.testing.assert_allclose(found["maps"][TITLES[0]][1], [5 / 24, 6 / 24, 7 / 24, 8 / 24, 9 / 24], rtol=1e-3)
    assert found["paths"] == [path.tolist() for path in PATHS]


def test_provenance_is_that_of_the_notebook_without_members_of_other_networks(build_dir):
    _, resnet = explored.results(build_dir, "plane")
    assert resnet["provenance"] == {
        "preset": "smoke",
        "device": DEVICE,
        "resnet8_v1 runs, by key": "bbbb",
        "commit": "<0123>",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells.pop(0), "there is no figure 'diversity-plane'"),
        (lambda cells: cells[0].outputs[0].data.pop("text/csv"), r"diversity-plane has no data \(CSV\)"),
        (lambda cells: cells.pop(1), "there is no provenance: execute the notebook again"),
    ],
)
def test_notebook_without_what_is_needed_is_refused_in_one_line(build_dir, tmp_path, change, message):
    copy = shutil.copytree(build_dir, tmp_path / "build")
    path = copy / "notebooks" / "04_diversity.ipynb"
    content = nbformat.read(path, as_version=4)
    change(content.cells)
    nbformat.write(content, path)
    with pytest.raises(explored.ExploreError, match=f"^[^\n]*{message}[^\n]*$"):
        explored.results(copy, "plane")


# What is committed


def test_recorded_results_are_read_back_as_they_were(build_dir, tmp_path):
    paths = explored.record_results(build_dir, tmp_path)
    names = ["plane-svhn-small_cnn.json", "plane-svhn-resnet8_v1.json", "radial-svhn-small_cnn.json"]
    assert [path.name for path in paths] == names
    made = [result for kind in explored.FIGURES for result in explored.results(build_dir, kind)]
    assert sorted(explored.read_committed(tmp_path), key=str) == sorted(made, key=str)


def test_own_results_come_first_and_stand_in_for_committed_ones(build_dir, tmp_path):
    explored.record_results(build_dir, tmp_path)
    path = tmp_path / "plane-svhn-small_cnn.json"
    other = json.loads(path.read_text()) | {"dataset": "digits"}
    (tmp_path / "plane-digits-small_cnn.json").write_text(json.dumps(other))
    found = explored.gathered(build_dir, tmp_path)
    listed = [(result["dataset"], result["architecture"], result["here"]) for result in found["plane"]]
    assert listed == [("svhn", "small_cnn", True), ("svhn", "resnet8_v1", True), ("digits", "small_cnn", False)]
    assert [result["here"] for result in found["radial"]] == [True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: result.pop("points"), "it lacks points"),
        (lambda result: result.update(dataset="digits"), "its name would be plane-digits-small_cnn.json"),
        (lambda result: result.clear(), "kind"),
    ],
)
def test_broken_committed_result_is_refused_by_name(build_dir, tmp_path, change, message):
    explored.record_results(build_dir, tmp_path)
    path = tmp_path / "plane-svhn-small_cnn.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(explored.ExploreError, match=f"^{path}: not a result of the page Explore \\(.*{message}.*\\)$"):
        explored.gathered(build_dir, tmp_path)


def test_committed_results_are_those_of_the_list_with_their_provenance():
    runs = yaml.safe_load((ROOT / explored.COMMITTED / explore.RUNS).read_text())
    wanted = {
        (kind, run.get("dataset", "fashion_mnist_mini"), run["architecture"])
        for kind in explored.FIGURES
        for run in runs
    }
    found = explored.read_committed(ROOT / explored.COMMITTED)
    assert {(result["kind"], result["dataset"], result["architecture"]) for result in found} == wanted
    for result in found:
        needed = {"preset", "parameters given", "data", "versions", "device", "commit", "run"}
        assert needed | {notebook.keys_row(result["architecture"])} <= set(result["provenance"])
        assert "dirty" not in result["provenance"]["commit"]


def test_command_line_records_or_says_in_one_line_why_not(build_dir, tmp_path):
    def record(folder):
        return CliRunner().invoke(explore.app, ["record", "--build-dir", str(folder), "--output", str(output)])

    output = tmp_path / "results"
    done = record(tmp_path)
    assert done.exit_code == 1
    assert "04_diversity.ipynb cannot be read" in done.output
    assert done.output.count("\n") == 1
    assert not output.exists()
    done = record(build_dir)
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == len(list(output.glob("*.json"))) == 3


@pytest.mark.parametrize(("text", "message"), [(None, "No such file"), ("a: [", "is not YAML"), ("a: 1", "got a dict")])
def test_list_of_runs_that_is_none_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "runs.yaml"
    if text is not None:
        path.write_text(text)
    done = CliRunner().invoke(explore.app, ["remake", "--runs", str(path), "--output", str(tmp_path / "results")])
    assert done.exit_code == 1
    assert message in done.output
    assert done.output.count("\n") == 1
    assert not (tmp_path / "results").exists()


# What the page looks like


def test_look_is_that_of_the_figures():
    look = explore.look()
    assert list(look["methods"]) == list(METHOD_NAMES)
    assert {look["methods"][name]["symbol"] for name in METHOD_NAMES} == {
        explore.SYMBOLS[mark] for mark in METHOD_MARKERS.values()
    }
    assert look["methods"]["independent"]["color"] == {"light": "#000000", "dark": "#ffffff"}
    assert look["methods"]["random"]["color"]["light"] == look["methods"]["random"]["color"]["dark"]
    norm = landscape._towards_one()
    for place, color in look["colors"]:
        rgb = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        np.testing.assert_allclose(rgb, colormaps["viridis"](float(norm(place)))[:3], atol=0.01)


# In a browser


@pytest.fixture(scope="module")
def html(build_dir):
    """The page in a book of its own, as the build makes it, with the results that come with it."""
    site = build_dir / "site"
    shutil.copytree(ROOT / "book", site / "book", ignore=shutil.ignore_patterns("*.py", "__pycache__", "results"))
    shutil.copy(ROOT / "_config.yml", site)
    for folder in ("generated", "notebooks"):
        (site / folder).mkdir()
    chapters = []
    for name, _ in explored.FIGURES.values():
        content = nbformat.read(build_dir / "notebooks" / f"{name}.ipynb", as_version=4)
        figures.save(content, site / "figures")
        (site / "notebooks" / f"{name}.ipynb").write_text(nbformat.writes(titled(content, name)))
        chapters.append({"file": f"notebooks/{name}"})
    toc = {"format": "jb-book", "root": "book/explore", "chapters": chapters}
    (site / "book" / "_toc.yml").write_text(yaml.safe_dump(toc))
    explore.write(ROOT, build_dir, site)
    return build.run_jupyter_book(ROOT, site, build_dir).parent


def titled(content, name):
    content.cells = [nbformat.v4.new_markdown_cell(f"# {name}")]
    return content


@pytest.fixture(scope="module")
def address(html):
    with served(html) as address:
        yield f"{address}book/explore.html"


@pytest.fixture(scope="module")
def launch(chromium):
    """Starts Chromium, given more of its options."""
    with sync_playwright() as started:
        yield lambda *options: started.chromium.launch(executable_path=chromium, args=[*CHROMIUM_OPTIONS, *options])


@pytest.fixture(scope="module")
def browser(launch):
    with launch() as browser:
        yield browser


@pytest.fixture
def visit(browser, address):
    """Opens the page, and at the end of the test finds no error and no request to anywhere else."""
    contexts, problems = [], []

    def open_page(fragment="", start=address, browser=browser, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: message.type == "error" and problems.append(f"{message.text} {message.location}")
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        local = (start.rsplit("/book/")[0], "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(local) or problems.append(request.url))
        page.goto(f"{start}#{fragment}" if fragment else start)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def drawn(page, kind):
    """The figure of a view, once the library has drawn it."""
    figure = page.locator(f"#explore-{kind} .explore-figure")
    figure.scroll_into_view_if_needed()
    figure.locator(".main-svg").first.wait_for(state="attached")
    return figure


def status(page, kind="plane"):
    return page.locator(f"#explore-{kind} .explore-status").text_content()


def mark(figure, text):
    """The middle of the first mark of the series that a piece of its name chooses."""
    number = figure.evaluate(
        "(figure, text) => figure.data.filter(trace => trace.mode === 'markers')"
        ".findIndex(trace => trace.name.includes(text))",
        text,
    )
    box = figure.locator(".scatterlayer .trace:has(.point)").nth(number).locator(".point").first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


HOVERED = "svhn/small_cnn"


def test_hover_shows_method_scale_accuracy_and_diversity(visit):
    page = visit(f"plane={HOVERED}")
    figure = drawn(page, "plane")
    page.mouse.move(*mark(figure, "random"))
    label = figure.locator(".hoverlayer .hovertext")
    label.wait_for()
    assert label.text_content() == "random directionsscale 0.512test accuracy 0.790normalised diversity 0.200"
    page.mouse.move(*mark(figure, "independent"))
    page.wait_for_function("document.querySelector('.hovertext')?.textContent.includes('run 2')")
    assert "test accuracy 0.790normalised diversity 0.700" in label.text_content()


def test_tap_on_a_phone_shows_the_same_without_horizontal_scroll(visit):
    page = visit(f"plane={HOVERED}", width=390, has_touch=True)
    figure = drawn(page, "plane")
    page.touchscreen.tap(*mark(figure, "random"))
    label = figure.locator(".hoverlayer .hovertext")
    label.wait_for()
    assert "random directionsscale 0.512" in label.text_content()
    drawn(page, "radial")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_dataset_and_network_are_switched_by_keyboard_and_the_view_can_be_linked(visit):
    page = visit()
    assert status(page).startswith("Shown: small_cnn on svhn, preset smoke (this copy of the book). 2 independent")
    page.locator("#explore-plane select[name=architecture]").select_option("resnet8_v1")
    assert page.evaluate("location.hash") == "#plane=svhn/resnet8_v1"
    page.locator("#explore-plane select[name=dataset]").focus()
    page.keyboard.press("f")
    said = status(page)
    assert said.startswith(
        "Shown: small_cnn on fashion_mnist_mini, preset quick (a result that comes with the book). 5 independent"
    )
    assert page.evaluate("location.hash") == "#plane=fashion_mnist_mini/small_cnn"
    page.evaluate("location.hash = '#the-radial-cut'")  # a heading, and no view
    assert status(page) == said
    committed = json.loads((ROOT / explored.COMMITTED / "plane-fashion_mnist_mini-small_cnn.json").read_text())
    rows = page.locator("#explore-plane .explore-table tbody tr")
    assert rows.count() == len(committed["points"])
    again = visit("plane=fashion_mnist_mini/small_cnn")
    assert status(again) == said
    figure = drawn(again, "plane")
    stars = figure.evaluate("figure => figure.data.find(trace => trace.name === 'independent solutions').x")
    assert stars == [point["accuracy"] for point in committed["points"] if point["method"] == "independent"]


def test_link_to_a_result_that_is_not_there_says_so(visit):
    assert status(visit("plane=digits/resnet99")).startswith("There is no result for digits/resnet99. Shown: small_cnn")


def test_a_method_is_hidden_and_shown_again(visit):
    page = visit(f"plane={HOVERED}")
    figure = drawn(page, "plane")
    button = page.get_by_role("button", name="random directions")
    visible = "figure => figure.data.filter(trace => trace.visible !== false).map(trace => trace.name)"
    before = figure.evaluate(visible)
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert figure.evaluate(visible) == [name for name in before if name != "random directions"]
    page.keyboard.press("Enter")  # the button has kept the focus
    assert figure.evaluate(visible) == before


def test_plane_comes_closer_to_the_base_and_goes_back(visit):
    page = visit(f"plane={HOVERED}")
    figure = drawn(page, "plane")
    ranges = "figure => [figure._fullLayout.xaxis.range, figure._fullLayout.yaxis.range]"
    whole = figure.evaluate(ranges)
    button = page.get_by_role("button", name="Close to the base")
    button.click()
    (left, right), (low, high) = figure.evaluate(ranges)
    assert (left, right) == pytest.approx((0.74, 0.815))  # the base has 0.8, the best star 0.81
    assert low < 0 < 0.8 < high < whole[1][1]
    button.click()
    assert figure.evaluate(ranges) == whole


def test_colours_follow_the_theme(visit):
    page = visit(f"plane={HOVERED}", color_scheme="light")
    figure = drawn(page, "plane")
    colors = """figure => [figure.layout.font.color,
        figure.data.find(trace => trace.name === 'independent solutions').marker.color]"""
    light, star = figure.evaluate(colors)
    assert star == "#000000"
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function("document.querySelector('.explore-live').layout.font.color !== " + json.dumps(light))
    assert figure.evaluate(colors)[1] == "#ffffff"


EYE = "figure => figure._fullLayout.scene._scene.getCamera().eye"


def test_radial_cut_turns_under_the_hand_and_by_buttons(visit):
    page = visit(f"radial={HOVERED}")
    figure = drawn(page, "radial")
    figure.locator("canvas").wait_for()
    start = figure.evaluate(EYE)
    box = figure.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 160, steps=4)
    page.mouse.up()
    dragged = figure.evaluate(EYE)
    assert abs(dragged["x"] - start["x"]) > 0.1
    side = page.get_by_role("button", name="From the side")
    page.wait_for_function("document.querySelector('[data-view=side]').ariaPressed === 'false'")
    side.click()
    assert figure.evaluate(EYE) == pytest.approx(start)
    page.get_by_role("button", name="Turn right").click()
    turned = figure.evaluate(EYE)
    angle = np.arctan2(turned["y"], turned["x"]) - np.arctan2(start["y"], start["x"])
    assert angle == pytest.approx(np.pi / 8)
    page.get_by_role("button", name="From above").click()
    assert figure.evaluate(EYE)["z"] > start["z"]


def test_height_is_accuracy_or_agreement(visit):
    page = visit(f"radial={HOVERED}")
    figure = drawn(page, "radial")
    surface = "figure => figure.data.find(trace => trace.type === 'surface').z"
    first = figure.evaluate(surface)
    page.get_by_label("Height").select_option("same label as run 3")
    third = figure.evaluate(surface)
    np.testing.assert_allclose(third, np.array(first)[:, ::-1])
    # Radius 1 is the grid's third, the solutions lie at its second and fourth angle.
    at = [f"{third[2][angle]:.3f} at the solution of run {run}" for angle, run in ((1, 1), (3, 3))]
    said = f"same label as run 3, {' and '.join(at)}"
    assert said in status(page, "radial")
    assert page.evaluate("location.hash") == f"#radial={HOVERED}&map=same+label+as+run+3"
    again = visit(f"radial={HOVERED}&map=same+label+as+run+3")
    assert said in status(again, "radial")


def test_without_webgl_the_flat_map_stands_in(visit, launch):
    with launch("--disable-3d-apis") as browser:
        page = visit(f"radial={HOVERED}", browser=browser)
        figure = drawn(page, "radial")
        figure.locator(".polarlayer").wait_for(state="attached")
        fan = figure.evaluate("figure => figure.data[0]")
        assert fan["type"] == "barpolar"
        assert len(fan["r"]) == RADII.size * ANGLES.size
        assert "has no WebGL" in page.locator("#explore-radial .explore-note").text_content()
        assert page.get_by_role("button", name="Turn left").is_disabled()


def test_without_scripts_there_are_the_figures_and_their_tables(visit):
    page = visit(java_script_enabled=False)
    assert [page.locator(f"#explore-{kind} .explore-controls").is_visible() for kind in explored.FIGURES] == [False] * 2
    for kind, (_, title) in explored.FIGURES.items():
        image = page.locator(f"#explore-{kind} img")
        assert image.get_attribute("alt") == f"Alt of {title}."
        assert image.is_visible()
    page.get_by_text("The points as a table").click()
    cells = page.locator("#explore-plane .explore-table tbody tr").nth(2).locator("td").all_text_contents()
    assert cells == ["random directions", "0.512", "0.790", "0.200"]
    assert DEVICE in page.locator("#explore-plane .explore-provenance").text_content()


def test_page_works_from_a_folder(visit, html):
    page = visit(f"plane={HOVERED}", start=(html / "book" / "explore.html").as_uri())
    assert drawn(page, "plane").evaluate("figure => figure.data.length") > 3


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(visit, scheme, width):
    page = visit(f"plane={HOVERED}", color_scheme=scheme, width=width)
    for kind in explored.FIGURES:
        drawn(page, kind)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    # Without `preload`, which would look for the style sheets' own imports in the wrong folder.
    options = {"preload": False, "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
    found = Axe().run(page, ".explore", options).response["violations"]
    assert [
        (fault["id"], fault["nodes"][0]["html"]) for fault in found if fault["impact"] in ("serious", "critical")
    ] == []
