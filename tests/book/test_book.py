"""The book: its table of contents, its computed parts, what it refuses, and a whole one made at preset smoke."""

import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from lib.config import PRESETS, PROTOCOLS, Experiment
from lib.findings import claims
from lib.training.cost import preset_plans

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from book import build, cartoon, fragments, landing  # noqa: E402


def result(claim="trajectories/modes", value=1.0, architecture="small_cnn", dataset="digits"):
    context = {"dataset": dataset, "architecture": architecture, "preset": "smoke"}
    return claims.judge(claim, claims.Estimate(value, value - 0.001, value, 2000, "members"), context)


def rows(table):
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.strip().splitlines()]


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


# Computed parts


def test_presets_table_has_a_column_a_preset_with_the_values_of_config():
    header, _, *body = rows(fragments.presets())
    assert header[-len(PRESETS) :] == [f"`{name}`" for name in PRESETS]
    table = {row[0]: row[1:] for row in body}
    assert table["members"] == [str(preset["num_members"]) for preset in PRESETS.values()]
    assert table["dataset"] == [f"`{preset['dataset']}`" for preset in PRESETS.values()]
    for name in PROTOCOLS:
        epochs = [str(Experiment.from_preset(preset, architecture=name).epochs) for preset in PRESETS]
        assert table[f"epochs of `{name}`"] == epochs


def test_settings_mark_what_differs_from_the_paper_and_the_paper_preset_differs_in_nothing():
    tabs = dict(re.findall(r":::\{tab-item\} (\w+)\n(.*?)\n:::\n", fragments.settings(), re.DOTALL))
    assert list(tabs) == list(PRESETS)
    assert "**" not in tabs["paper"]
    assert "**standardize**" in tabs["quick"]


def test_learning_rates_are_those_of_the_paper():
    cnn = Experiment.from_preset("paper", architecture="small_cnn")
    assert fragments.learning_rates(cnn) == "0.0016; 0.0008 from epoch 11; 0.0004 from epoch 21; 0.0002 from epoch 31"
    assert "less every epoch" in fragments.learning_rates(Experiment.from_preset("paper", architecture="resnet18"))


def test_counts_are_those_of_the_verdicts_and_name_what_they_were_computed_on():
    text = landing.counts([result(), result(architecture="resnet8_v1", value=0.5)])
    assert "1 [✓ reproduced]" in text
    assert "0 [? inconclusive]" in text
    assert "`digits`, preset `smoke`" in text


def test_card_links_to_its_page_and_counts_its_verdicts():
    notebook = ROOT / "notebooks" / "01_trajectories.ipynb"
    text = landing.card(1, notebook, [result(), result(value=0.5), result(value=0.4)], "Six paths")
    assert text.startswith(f"::::{{grid-item-card}} 1. {fragments.page_title(notebook)}\n:link: ../notebooks/01_traj")
    assert ":img-alt: Six paths" in text
    assert "[✓ 1 reproduced]{.verdict .verdict-reproduced} [✗ 2 not reproduced]" in text
    assert "inconclusive" not in text
    assert "no verdict in this copy" in landing.card(1, notebook, [], "Six paths")


def figure_cell(color, size, tags=()):
    """A cell that shows one picture of one colour."""
    picture = io.BytesIO()
    Image.new("RGB", size, color).save(picture, "png")
    shown = new_output("display_data", data={"image/png": base64.b64encode(picture.getvalue()).decode()})
    return new_code_cell("1", outputs=[shown], metadata={"tags": [*tags], "mystnb": {"image": {"alt": f"all {color}"}}})


def test_thumbnail_is_the_tagged_figure_or_the_last_and_of_one_size(tmp_path):
    path = tmp_path / "one.ipynb"
    tall, wide = figure_cell("red", (400, 800), [landing.TAG]), figure_cell("blue", (800, 200))
    save(path, new_notebook(cells=[new_markdown_cell("# One"), tall, wide]))
    image, alt = landing.thumbnail(path)
    assert (alt, image.size) == ("all red", landing.SIZE)
    assert image.convert("RGB").getcolors() == [(640 * 480, (255, 0, 0))]
    save(path, new_notebook(cells=[wide]))
    image, alt = landing.thumbnail(path)
    assert (alt, image.size) == ("all blue", landing.SIZE)
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    save(path, new_notebook())
    with pytest.raises(ValueError, match="has no figure"):
        landing.thumbnail(path)


def test_hypothesis_has_its_solutions_on_the_floors_of_the_training_loss():
    solutions = cartoon.solutions()
    floors = cartoon.training_loss(solutions)
    for step in (-0.05, 0.05):
        assert (cartoon.training_loss(solutions + step) > floors).all()
    deep = list(cartoon.SEVERAL)
    assert np.ptp(floors[deep]) < 0.02 < np.ptp(cartoon.validation_loss(solutions[deep]))
    assert (cartoon.validation_loss(solutions) > floors).all()


def test_hypothesis_is_named_and_described_for_those_who_do_not_see_it():
    panels = list(ElementTree.fromstring(cartoon.hypothesis()).iter("svg"))
    assert [panel.get("role") for panel in panels] == ["img", "img"]
    for panel in panels:
        texts = {part.get("id"): part.text for part in panel if part.tag in ("title", "desc")}
        assert all(texts[name] for name in panel.get("aria-labelledby").split())
    runs = [sum("run" in circle.get("class") and circle.get("r") == "6" for circle in p.iter("circle")) for p in panels]
    assert runs == [1, len(cartoon.SEVERAL)]


def test_first_page_shows_the_hypothesis_and_a_card_for_every_finding(html):
    text = (html / "book" / "index.html").read_text(encoding="utf-8")
    assert text.count('<svg role="img"') == 2
    for stem in landing.findings(ROOT):
        assert f"{stem}.png" in text
        assert f'href="../notebooks/{stem}.html"' in text


def test_glance_puts_networks_side_by_side():
    links = {"trajectories/modes": "[Modes](../notebooks/01_trajectories.ipynb)"}
    text = fragments.glance([result(), result(architecture="resnet8_v1", value=0.5)], links)
    (row,) = [line for line in text.splitlines() if "claim-trajectories-modes" in line]
    assert row.index("✓ reproduced") < row.index("✗ not reproduced")
    claim = claims.CLAIMS["trajectories/modes"]
    shown = (claim.sentence, claim.figure, "≥ 0.99", "1 (0.999 to 1)", "0.500 (0.499 to 0.500)")
    assert all(part in row for part in shown)
    assert text.count(links["trajectories/modes"]) == 1


def test_scoreboard_and_claims_list_show_a_failed_claim_with_its_page():
    failed, links = result(value=0.5), {"trajectories/modes": "[1](../notebooks/01_trajectories.ipynb)"}
    (row,) = rows(fragments.scoreboard([failed], links))[2:]
    assert row[0] == "[runs occupy different regions of function space](#claim-trajectories-modes)"
    verdict = "[✗ not reproduced]{.verdict .verdict-not-reproduced}<br>0.500 (0.499 to 0.500)"
    assert row[1:] == ["2 right", "`small_cnn`", verdict, "≥ 0.99", links["trajectories/modes"]]
    text = fragments.claims_list([failed], links)
    assert all(f"### `{claim}`" in text for claim in claims.CLAIMS)
    assert "no verdict in this copy" in text


def test_scoreboard_names_datasets_where_there_are_several():
    links = {"trajectories/modes": "[1](../notebooks/01_trajectories.ipynb)"}
    found = rows(fragments.scoreboard([result(), result(dataset="svhn")], links))[2:]
    assert [row[2] for row in found] == ["`small_cnn` on `digits`", "`small_cnn` on `svhn`"]


def test_summary_sorts_claims_by_verdict_and_says_what_pages_say_of_the_failed():
    page = ROOT / "notebooks" / "01_trajectories.ipynb"
    verdicts = {page: [result(), result("trajectories/weights-align", 0.5)]}
    good, bad = (fragments.summary(verdicts, verdict) for verdict in ("reproduced", "not reproduced"))
    assert "runs occupy different regions of function space: **1 (0.999 to 1)**" in good
    assert "late checkpoints" in bad
    assert "**0.500 (0.499 to 0.500)**" in bad
    assert "function space" not in bad.split("{dropdown}")[0]
    assert "What the page says of it" in bad
    assert "What the page says of it" not in good
    assert fragments.summary(verdicts, "inconclusive") == "None in this copy of the book.\n"


def test_changed_settings_are_those_unlike_the_paper():
    one = result()
    one.context.update(epochs=4, optimizer="adam")
    found = rows(fragments.changed([one, one]))[2:]
    assert found == [["`small_cnn`", "dataset", "`digits`", "`cifar10`"], ["`small_cnn`", "epochs", "`4`", "`40`"]]


def test_parameters_table_names_notebooks_only_where_they_differ():
    table = {row[0]: row for row in rows(fragments.parameters(sorted((ROOT / "notebooks").glob("*.ipynb"))))[2:]}
    assert table["`num_members`"][-1] == "all"
    assert table["`architectures`"][-1] != "all"
    assert all(len(row[1]) > 5 for row in table.values())


def test_sizing_has_the_hours_and_disk_of_every_plan(monkeypatch):
    monkeypatch.setattr(fragments, "training_rate", lambda plan, batch_size: 1000.0)
    table = rows(fragments.sizing().split("\n\n")[0])[2:]
    for preset in PRESETS:
        for title, plan in preset_plans(preset).items():
            (row,) = [row for row in table if row[:2] == [f"`{preset}`", title]]
            petaflop, measured, assumed, disk = (float(cell.replace(",", "")) for cell in row[4:])
            assert measured == pytest.approx(plan.images / 1000 / 3600, rel=0.01)
            assert assumed == pytest.approx(petaflop / 5e-3 / 3600, rel=0.02)
            assert disk == pytest.approx(plan.disk / 1e9, rel=0.01)
    assert [row[1] for row in table].count("**all**") == len(PRESETS)


def test_performance_says_not_measured_without_results(tmp_path):
    for section, names in fragments.BENCHMARKS.items():
        assert fragments.measured(tmp_path, section).count("not measured") == len(names)
    pages = (ROOT / "book" / "performance.md").read_text()
    assert all(f"generated/performance_{section}.md" in pages for section in fragments.BENCHMARKS)


def test_performance_shows_the_run_its_rows_and_its_targets(tmp_path):
    made = report.Report("evaluation", "evaluation", {"vectors": 2}, 3)
    made.add("two vectors", "predict", "vectors/s", [1.0, 3.0, 2.0], ratio=2.5)
    made.target("predict, times as fast", 2.5, at_least=5)
    made.note("A note.")
    made.finish(tmp_path / "evaluation.json")
    text = fragments.measured(tmp_path, "evaluation")
    assert "`python benchmarks/evaluation.py --vectors 2 --rounds 3`" in text
    assert made.content["date"] in text
    table = "".join(line + "\n" for line in text.splitlines() if line.startswith("|"))
    assert rows(table)[2] == ["two vectors", "predict", "vectors/s", "1", "2", "3", "2.50 times as fast"]
    assert "✗ not met: predict, times as fast, at least 5; here **2.5**" in text
    assert "- A note." in text


# What is refused


@pytest.fixture
def checkout(tmp_path):
    """A repository of one notebook, and its executed copy in `executed/`."""
    for folder in ("book", "notebooks", "executed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(
        "root: book/index\nparts:\n- chapters:\n  - file: notebooks/one\n- chapters:\n  - file: book/two\n"
    )
    save(tmp_path / "notebooks" / "one.ipynb", notebook(count=None))
    save(tmp_path / "executed" / "one.ipynb", notebook(count=1, injected=True))
    return tmp_path


def notebook(count, injected=False, outputs=(), source="1 + 1"):
    given = new_code_cell("# Parameters\na = 1", execution_count=1, metadata={"tags": ["injected-parameters"]})
    cells = [new_markdown_cell("# One"), *([given] if injected else [])]
    return new_notebook(cells=[*cells, new_code_cell(source, execution_count=count, outputs=list(outputs))])


def save(path, content):
    nbformat.write(content, path)


def refusal(checkout):
    with pytest.raises(build.BookError) as caught:
        build.check_notebooks(checkout, checkout / "executed")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_check_accepts_a_notebook_that_papermill_executed(checkout):
    build.check_notebooks(checkout, checkout / "executed")


def test_check_refuses_an_error_output(checkout):
    error = new_output("error", ename="ValueError", evalue="no such thing\nmore", traceback=[])
    save(checkout / "executed" / "one.ipynb", notebook(1, outputs=[error]))
    assert "cell 2 failed with ValueError: no such thing" in refusal(checkout)


def test_check_refuses_papermills_exception(checkout):
    failed = notebook(1)
    failed.metadata["papermill"] = {"exception": True}
    save(checkout / "executed" / "one.ipynb", failed)
    assert "exception" in refusal(checkout)


def test_check_refuses_a_cell_that_was_not_executed(checkout):
    save(checkout / "executed" / "one.ipynb", notebook(None))
    assert "cell 2 was not executed" in refusal(checkout)


@pytest.mark.parametrize("source", ["1 + 2", ""])
def test_check_refuses_another_source(checkout, source):
    save(checkout / "executed" / "one.ipynb", notebook(1, source=source))
    assert "not that of one.ipynb as it is now" in refusal(checkout)


def test_check_refuses_a_cell_too_many(checkout):
    longer = notebook(1)
    longer.cells.append(new_markdown_cell("The end"))
    save(checkout / "executed" / "one.ipynb", longer)
    assert "has 3 cells, one.ipynb has 2" in refusal(checkout)


def test_check_refuses_a_missing_or_broken_copy(checkout):
    (checkout / "executed" / "one.ipynb").write_text("{")
    assert "cannot be read" in refusal(checkout)
    (checkout / "executed" / "one.ipynb").unlink()
    assert "one.ipynb is missing: execute it first" in refusal(checkout)


def test_check_refuses_copies_without_source_and_sources_without_page(checkout):
    save(checkout / "executed" / "two.ipynb", notebook(1))
    assert "two.ipynb has no source" in refusal(checkout)
    save(checkout / "notebooks" / "two.ipynb", notebook(None))
    assert "notebooks/two.ipynb is not in book/_toc.yml" in refusal(checkout)


def test_check_ignores_what_is_left_of_a_failed_execution(checkout):
    save(checkout / "executed" / "one.failed.ipynb", notebook(None))
    build.check_notebooks(checkout, checkout / "executed")


def test_check_refuses_missing_and_broken_verdicts(checkout):
    with pytest.raises(build.BookError, match=r"claims/one is missing: execute notebooks/one.ipynb again"):
        build.check_claims(checkout, checkout / "claims")
    (checkout / "claims" / "one").mkdir(parents=True)
    assert build.check_claims(checkout, checkout / "claims") == {checkout / "notebooks" / "one.ipynb": []}
    path = claims.write_result(result(), checkout / "claims" / "one")
    path.write_text("{}")
    with pytest.raises(build.BookError, match="not a claim's record"):
        build.check_claims(checkout, checkout / "claims")


def test_widgets_are_left_out():
    bar = new_output("display_data", data={build.WIDGET: {"model_id": "1"}, "text/plain": "0%"})
    kept = new_output("display_data", data={"text/plain": "kept"})
    page = notebook(1, outputs=[bar, kept])
    page.metadata["widgets"] = {}
    page = build.without_widgets(page)
    assert page.cells[-1].outputs == [kept]
    assert "widgets" not in page.metadata


def test_command_line_says_what_is_wrong_and_exits_with_1(tmp_path):
    command = [sys.executable, ROOT / "book" / "build.py", "--build-dir", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == len(build.toc_notebooks(ROOT))
    assert all("is missing: execute it first" in line for line in lines)


# A whole book


class Page(HTMLParser):
    """What one page links to, shows, and can be linked at."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.parts, self.images = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        have = dict(attributes)
        self.ids |= {have[name] for name in ("id", "name") if have.get(name)}
        if tag == "a" and have.get("href"):
            self.links.append(have["href"])
        if tag == "img":
            self.images.append((have.get("src", ""), have.get("alt") or ""))
        self.parts += [have[name] for name in ("src", "srcset", "data-src", "poster") if have.get(name)]
        # The one link that is no part of the page: where another page has the same content, or comes next.
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


def test_book_images_have_alt_text(html, pages):
    images = [image for page in pages.values() for image in page.images]
    assert images
    bad = [source for source, alt in images if len(alt.strip()) < 5 or re.search(r"\.(png|svg|jpe?g)$", alt)]
    assert bad == []


def test_book_figures_have_captions(html):
    for path in (html / "notebooks").glob("*.html"):
        text = path.read_text(encoding="utf-8")
        figures = text.count('class="cell_output') and re.findall(r"<img [^>]*src=\"\.\./_images", text)
        assert len(re.findall(r"<figcaption>", text)) == len(figures) > 0


def test_book_figures_are_there_to_take_away(html):
    for path in (html / "notebooks").glob("*.html"):
        lines = re.findall(r'<p class="downloads">(.*?)</p>', path.read_text(encoding="utf-8"))
        names = [
            cell.metadata.mystnb.figure.name
            for cell in nbformat.read(ROOT / "notebooks" / f"{path.stem}.ipynb", 4).cells
            if "mystnb" in cell.metadata
        ]
        for line, name in zip(lines, names, strict=True):
            links = re.findall(r'<a [^>]*download="" href="([^"]+)">(.*?)</a>', line)
            assert [link.rpartition("/")[2] for link, _ in links] == [
                f"{name}.{form}" for form in ("png", "svg", "csv")
            ]
            assert all((path.parent / link).is_file() for link, _ in links)
            # What a screen reader says.
            said = [re.sub(r"<[^>]*>", "", text) for _, text in links]
            assert said == [f"{form} of figure {name}" for form in ("PNG", "SVG", "data (CSV)")]


def test_book_shows_the_verdicts_of_its_notebooks(html, executed_notebooks):
    found = claims.read_results(executed_notebooks / "claims")
    text = (html / "book" / "scoreboard.html").read_text(encoding="utf-8")
    table = text[text.index("<tbody>") : text.index("</tbody>")]
    assert table.count('class="verdict ') == len(found) > 0


def test_book_of_other_content_fails_on_a_warning(executed_notebooks, tmp_path):
    site = tmp_path / "site"
    (site / "book").mkdir(parents=True)
    (site / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (site / "book" / "index.md").write_text("# A page\n\nto {doc}`nowhere`.\n")
    (tmp_path / "_config.yml").write_text("title: x\nonly_build_toc_files: true\n")
    with pytest.raises(build.BookError, match="nowhere"):
        build.run_jupyter_book(tmp_path, site, tmp_path)


def test_seconds_of_work_are_those_of_the_cells_and_stand_in_the_book(tmp_path):
    cells = []
    for seconds, source in ((61.2, "runs = page.train(x)"), (2.0, "probs = page.predict(runs)"), (3.4, "1 + 1")):
        cells.append(new_code_cell(source, metadata={"papermill": {"duration": seconds}}))
    save(tmp_path / "01_trajectories.ipynb", new_notebook(cells=[*cells, new_markdown_cell("# One")]))
    spent = build.seconds_of_work(tmp_path)
    assert spent == {"01_trajectories": {"training": 61.2, "evaluating": 2.0, "other": 3.4}}
    (row,) = rows(fragments.times(spent))[2:]
    assert row == ["`01_trajectories`", "61", "2", "3", "67", str(fragments.BUDGETS["01_trajectories"])]


def test_every_notebook_has_a_budget():
    assert list(fragments.BUDGETS) == build.toc_notebooks(ROOT)
