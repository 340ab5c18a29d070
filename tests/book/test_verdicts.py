"""How the book shows verdicts: the scoreboard, the list of claims, the summary, and the cards of the first page."""

import base64
import io

import nbformat
import pytest
from conftest import ROOT
from helpers import table_rows
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from book import landing, verdicts
from lib.findings import CLAIMS, judging
from lib.findings.records import write_result
from lib.metrics.intervals import Estimate
from lib.notebook.scoreboard import over_seeds
from lib.subspaces.methods import METHODS

PAGE = ROOT / "notebooks" / "01_trajectories.ipynb"
OTHER = ROOT / "notebooks" / "02_independent.ipynb"


def result(claim="trajectories/modes", value=1.0, architecture="small_cnn", **more):
    context = {"dataset": "digits", "architecture": architecture, "preset": "smoke", **more}
    estimate = Estimate(value, value - 0.001, value, "Clopper-Pearson", members=6)
    return judging.Result(CLAIMS[claim], estimate, context)


def test_counts_are_of_sentences_not_of_methods():
    methods = [result(f"subspaces/{method}/closer", 0.5) for method in METHODS]
    text = verdicts.counted([result(value=0.9905), result(architecture="resnet8_v1"), *methods])
    assert "2 [✓ holds here]" in text
    assert "1 [? inconclusive]" in text
    assert "reproduced" not in text


def test_scoreboard_has_one_row_for_all_methods_of_a_sentence():
    nearer = [result("subspaces/random/nearer", 2.0), result("subspaces/dropout/nearer", 0.0005)]
    text = verdicts.scoreboard({PAGE: [result(value=0.5), *nearer], OTHER: []})
    heading, table = text.split("\n\n")
    assert heading == f"### {verdicts.page_link(PAGE)}"
    failed, mixed = table_rows(table)[2:]
    verdict = "[✗ does not hold here]{.verdict .verdict-does-not-hold-here}<br>0.500 (0.499&nbsp;to&nbsp;0.500)"
    sentence = "[runs occupy different regions of function space](#claim-trajectories-modes)"
    assert failed == [verdict, sentence, "≥ 0.99", "`small_cnn`<br>on `digits`"]
    open_one = "[? inconclusive]{.verdict .verdict-inconclusive}"
    holding = "random directions: 2 (1.999&nbsp;to&nbsp;2) [✓ holds here]{.verdict .verdict-holds-here}"
    assert mixed[0] == f"{open_one}<br>{holding}<br>dropout of weights: 0.0005 (-0.0005&nbsp;to&nbsp;0.0005)"
    assert mixed[1].endswith("(#claim-subspaces-method-nearer)")


def test_claims_list_has_every_sentence_once():
    text = verdicts.claims_list()
    families = {claim.family for claim in CLAIMS.values()}
    assert all(text.count(f"### `{family}`\n") == 1 for family in families)
    assert text.count("(claim-subspaces-method-nearer)=\n") == 1


def test_verdicts_that_change_with_the_seed_are_marked_as_fragile(tmp_path):
    seeds = [result(value=1, seed=0), result(value=0.5, seed=1)]
    by_seed = over_seeds([*seeds, *(result("radial/valley", 0, seed=seed) for seed in (0, 1))])
    text = verdicts.fragile_table(by_seed)
    assert text.startswith("1 of 2 verdicts are the same with every seed.")
    (row,) = table_rows(text.split("\n\n")[1])[2:]
    assert row[:2] == ["`trajectories/modes`", "`small_cnn`"]
    assert row[-2:] == ["1 of 2", "flips: 1 holds here, 1 does not hold here"]
    records = tmp_path / verdicts.SEEDS
    records.mkdir(parents=True)
    for one in seeds:
        write_result(one, records / f"01_trajectories-seed_{one.context['seed']}-0")
    assert verdicts.fragments(tmp_path, {PAGE: [result()]})["scoreboard.md"].count("[fragile](#fragile)") == 1
    assert "fragile" not in verdicts.scoreboard({PAGE: [result()]})


def test_summary_sorts_sentences_by_verdict():
    found = {PAGE: [result(value=2), result("trajectories/functions-stay", 1.5)]}
    good, bad = verdicts.summary(found, "holds here", "reproduced"), verdicts.summary(found, "does not hold here")
    assert good == f"**{verdicts.page_link(PAGE)}**: runs occupy different regions of function space.\n"
    assert bad == f"**{verdicts.page_link(PAGE)}**: along a run predictions change less than between runs.\n"
    assert verdicts.summary(found, "inconclusive") == "None in this copy of the book.\n"


def test_changed_settings_are_those_unlike_the_paper():
    one = result(epochs=4, optimizer="adam")
    found = table_rows(verdicts.changed({PAGE: [one, one]}))[2:]
    assert found == [["`small_cnn`", "dataset", "`digits`", "`cifar10`"], ["`small_cnn`", "epochs", "`4`", "`40`"]]


# The cards


def test_card_links_to_its_page_and_counts_its_verdicts():
    failed = [result(value=0.5, seed=seed) for seed in (1, 2)]
    text = landing.card(1, PAGE, [result(), *failed], "Six paths")
    assert text.startswith(f"::::{{grid-item-card}} 1. {verdicts.page_title(PAGE)}\n:link: ../notebooks/01_traj")
    assert ":img-alt: Six paths" in text
    assert "[✓ 1 holds here]{.verdict .verdict-holds-here} [✗ 2 does not hold here]" in text
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
