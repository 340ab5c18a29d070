"""What the book says of verdicts: the scoreboard, the list of claims, the summary, and the cards of the first page."""

import base64
import io
import sys

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

sys.path.insert(0, str(ROOT))

from book import landing, verdicts
from lib.findings import CLAIMS, judging
from lib.metrics.intervals import Estimate

PAGE = ROOT / "notebooks" / "01_trajectories.ipynb"
PAGES = {"trajectories/modes": PAGE}


def result(claim="trajectories/modes", value=1.0, architecture="small_cnn", **more):
    context = {"dataset": "digits", "architecture": architecture, "preset": "smoke", **more}
    return judging.judge_estimate(claim, Estimate(value, value - 0.001, value, 2000, "members"), context)


def rows(table):
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in table.strip().splitlines()]


def test_counts_are_those_of_the_verdicts_and_name_what_they_were_computed_on():
    text = verdicts.counts([result(), result(architecture="resnet8_v1", value=0.5)])
    assert "1 [✓ reproduced]" in text
    assert "0 [? inconclusive]" in text
    assert "`digits`, preset `smoke`" in text


def test_scoreboard_and_claims_list_show_a_failed_claim_with_its_page():
    (row,) = rows(verdicts.scoreboard([result(value=0.5)], PAGES))[2:]
    assert row[0] == "[runs occupy different regions of function space](#claim-trajectories-modes)"
    verdict = "[✗ not reproduced]{.verdict .verdict-not-reproduced}<br>0.500 (0.499 to 0.500)"
    page = "[1](../notebooks/01_trajectories.ipynb)"
    assert row[1:] == ["2 right", "`small_cnn` on `digits`", verdict, "≥ 0.99", page]
    text = verdicts.claims_list([result(value=0.5)], PAGES)
    assert all(f"### `{claim}`" in text for claim in CLAIMS)
    assert "no verdict in this copy" in text
    assert f"**Page:** [{verdicts.page_title(PAGE)}](../notebooks/01_trajectories.ipynb)" in text


def test_summary_sorts_claims_by_verdict_and_says_what_pages_say_of_the_failed():
    found = {PAGE: [result(), result("trajectories/weights-align", 0.5)]}
    good, bad = (verdicts.summary(found, verdict) for verdict in ("reproduced", "not reproduced"))
    assert "runs occupy different regions of function space: **1 (0.999 to 1)**" in good
    assert "late checkpoints" in bad
    assert "**0.500 (0.499 to 0.500)**" in bad
    assert "function space" not in bad.split("{dropdown}")[0]
    assert "What the page says of it" in bad
    assert "What the page says of it" not in good
    assert verdicts.summary(found, "inconclusive") == "None in this copy of the book.\n"


def test_every_page_says_how_to_read_it():
    for finding in verdicts.FINDINGS.values():
        assert verdicts.remarks(ROOT / "notebooks" / f"{finding.notebook}.ipynb")


def test_changed_settings_are_those_unlike_the_paper():
    one = result(epochs=4, optimizer="adam")
    found = rows(verdicts.changed({PAGE: [one, one]}))[2:]
    assert found == [["`small_cnn`", "dataset", "`digits`", "`cifar10`"], ["`small_cnn`", "epochs", "`4`", "`40`"]]


# The cards


def test_card_links_to_its_page_and_counts_its_verdicts():
    text = landing.card(1, PAGE, [result(), result(value=0.5), result(value=0.4)], "Six paths")
    assert text.startswith(f"::::{{grid-item-card}} 1. {verdicts.page_title(PAGE)}\n:link: ../notebooks/01_traj")
    assert ":img-alt: Six paths" in text
    assert "[✓ 1 reproduced]{.verdict .verdict-reproduced} [✗ 2 not reproduced]" in text
    assert "inconclusive" not in text
    assert "no verdict in this copy" in landing.card(1, PAGE, [], "Six paths")


def figure_cell(color, size, tags=()):
    """A cell that shows one picture of one colour."""
    picture = io.BytesIO()
    Image.new("RGB", size, color).save(picture, "png")
    shown = new_output("display_data", data={"image/png": base64.b64encode(picture.getvalue()).decode()})
    return new_code_cell("1", outputs=[shown], metadata={"tags": [*tags], "mystnb": {"image": {"alt": f"all {color}"}}})


def test_thumbnail_is_the_whole_tagged_figure_or_the_last_and_of_one_size(tmp_path):
    def thumbnail(*cells):
        nbformat.write(new_notebook(cells=[new_markdown_cell("# One"), *cells]), tmp_path / "one.ipynb")
        return landing.thumbnail(tmp_path / "one.ipynb")

    tall, wide = figure_cell("red", (400, 800), [landing.TAG]), figure_cell("blue", (800, 200))
    for cells, alt, beside in (([tall, wide], "all red", (0, 240)), ([wide], "all blue", (320, 0))):
        image, said = thumbnail(*cells)
        assert (said, image.size) == (alt, landing.SIZE)
        assert image.convert("RGB").getpixel(beside) == (255, 255, 255)
    with pytest.raises(ValueError, match="has no figure"):
        thumbnail()
