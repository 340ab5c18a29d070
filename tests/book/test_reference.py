"""The reference run: what it trains, what remains to be trained, what it keeps, and how pages show it."""

import base64
import io
import re
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import yaml
from conftest import ROOT
from helpers import write_run
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from book import beside, landing, reference
from lib.data.datasets import load_dataset
from lib.findings import CLAIMS, FINDINGS
from lib.findings.judging import Result
from lib.findings.records import read_results, write_result
from lib.metrics.intervals import Estimate
from lib.plots.downloads import CSV, SVG
from lib.run.store import RunStore

CONTEXT = {"dataset": "cifar10_holdout", "architecture": "small_cnn", "preset": "reference"}

SHAPES = {
    ("trajectories", None): ("small_cnn", 10, 40),
    ("subspaces", None): ("small_cnn", 10, 40),
    ("independent", "resnet20_v1"): ("resnet20_v1", 4, 20),
    ("diversity", "medium_cnn"): ("medium_cnn", 5, 40),
    ("radial", None): ("medium_cnn", 5, 40),
    ("tunnel", None): ("medium_cnn", 5, 40),
    ("ensemble", None): ("medium_cnn", 5, 40),
    ("shift", None): ("medium_cnn", 5, 40),
    ("harder", None): ("medium_cnn", 4, 15),
    ("randomness", None): ("small_cnn", 4, 20),
    ("sgmcmc", None): ("small_cnn", 4, 30),
}


def test_what_the_reference_run_trains():
    for (name, network), shape in SHAPES.items():
        one = FINDINGS[name].experiment("reference", architecture=network)
        assert (one.architecture, one.num_members, one.epochs) == shape
        assert (one.dataset, one.validation_size, one.batch_size) == ("cifar10_holdout", 500, 128)
        assert one.pixel_scaling == {"resnet20_v1": "mean-image"}.get(network, "standardize" if one.cycles else "raw")
    chains = FINDINGS["sgmcmc"].experiment("reference")
    assert (chains.cycles, chains.noise_epochs) == (3, 1)


def figure(color="red", **more):
    stream = io.BytesIO()
    Image.new("RGB", (60, 40), color).save(stream, "png")
    data = {"image/png": base64.b64encode(stream.getvalue()).decode(), SVG: "<svg/>", CSV: "a\n1\n", **more}
    return new_output("display_data", data)


def notebook(code="draw()", prose="A page.", outputs=()):
    named = {"mystnb": {"figure": {"name": "one", "caption": "A figure."}, "image": {"alt": "one"}}}
    cells = [
        new_markdown_cell(f"# {prose}"),
        new_code_cell("install()", metadata={"tags": ["remove-cell"]}),
        new_code_cell('preset: str = "quick"  # size', metadata={"tags": ["parameters"]}),
        new_code_cell(code, outputs=list(outputs), metadata=named),
    ]
    return new_notebook(cells=cells, metadata={"papermill": {"duration": 60.0, "parameters": {"preset": "smoke"}}})


def test_the_hash_leaves_prose_out(tmp_path):
    def hashed(content):
        nbformat.write(content, tmp_path / "one.ipynb")
        return reference.page_hash(tmp_path / "one.ipynb")

    first = hashed(notebook())
    executed = notebook(prose="Other prose.", outputs=[figure()])
    executed.cells[1].source = "install(again)"
    executed.cells[2].source = 'preset: str = "quick"  # another comment\nnumber: int = None  # by preset'
    executed.cells.insert(
        3, new_code_cell("# Parameters\npreset = 'smoke'", metadata={"tags": ["injected-parameters"]})
    )
    assert hashed(executed) == first
    assert hashed(notebook("draw(again)")) != first
    executed.cells[2].source = 'preset: str = "smoke"  # size'
    assert hashed(executed) != first


def test_the_hash_has_the_settings_of_what_a_page_trains_or_compares_with(monkeypatch):
    pages = ("01_trajectories", "04_diversity", "09_harder", "12_scoreboard")
    sources = [ROOT / "notebooks" / f"{name}.ipynb" for name in pages]
    before = [reference.page_hash(source) for source in sources]
    monkeypatch.setitem(reference.PRESETS["reference"], "epochs", {"medium_cnn": 41})
    after = [reference.page_hash(source) for source in sources]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, True]
    monkeypatch.setitem(reference.PRESETS["reference"], "statistics_images", 1)
    assert not set(after) & {reference.page_hash(source) for source in sources}


def test_what_is_kept_is_small(monkeypatch):
    monkeypatch.setattr(reference, "CSV_BYTES", 10)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "png")
    large = figure(**{"image/png": base64.b64encode(stream.getvalue()).decode(), CSV: "a\n" * 10})
    progress = new_output("stream", name="stderr", text="2 of 4 epochs")
    kept = reference.slim(notebook(outputs=[progress, figure(), large]))
    first, second = [output.data for output in kept.cells[3].outputs]
    assert set(first) == {"image/png", CSV}
    assert set(second) == {"image/png"}
    assert Image.open(io.BytesIO(base64.b64decode(second["image/png"]))).size == (300, 300)
    assert "parameters" not in kept.metadata.papermill
    monkeypatch.setattr(reference, "NOTEBOOK_BYTES", 60_000)
    (data,) = [output.data for output in reference.slim(notebook(outputs=[large])).cells[3].outputs]
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (150, 150)


@pytest.fixture
def smoke(monkeypatch, tmp_path):
    """The run store of a reference run at preset smoke, in a working directory of its own."""
    monkeypatch.setattr(reference, "PRESET", "smoke")
    monkeypatch.setattr(reference, "PARAMETERS", {})
    monkeypatch.setitem(reference.MILLISECONDS, "resnet8_v1", 1.0)
    monkeypatch.chdir(tmp_path)
    return RunStore(tmp_path / "runs")


def test_members_to_train_are_those_that_the_store_lacks(smoke):
    source = ROOT / "notebooks" / "02_independent.ipynb"
    assert len(reference.to_train(source, smoke)) == 6
    # Two families at three learning rates; at each rate the families share their first member.
    assert len(reference.to_train(ROOT / "notebooks" / "10_randomness.ipynb", smoke)) == 3 * (3 + 3 - 1)
    data = load_dataset("digits")
    for member in FINDINGS["independent"].experiment("smoke").members(data.name, data.content_hash):
        write_run(smoke.root, member)
    assert len(reference.to_train(source, smoke)) == 3
    assert reference.to_train(ROOT / "notebooks" / "12_scoreboard.ipynb", smoke) == {}


def test_a_page_is_made_once_and_again_when_its_code_has_changed(smoke, monkeypatch, tmp_path, capsys):
    source = tmp_path / "notebooks" / "01_one.ipynb"
    source.parent.mkdir()
    nbformat.write(notebook(), source)

    def execute(source, target, preset, params):
        for folder in (target.parent, target.parents[1] / "claims" / source.stem):
            folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook(outputs=[figure()]), target)

    monkeypatch.setattr(reference, "execute", execute)
    monkeypatch.setattr(reference, "to_train", lambda *_: {})
    said = []
    for code in ("draw()", "draw()", "draw(again)"):
        nbformat.write(notebook(code), source)
        reference.main("01")
        said.append(capsys.readouterr().out.splitlines()[0])
    assert ["to be made" in line for line in said] == [True, False, True]
    how = reference.read_run()["01_one"]
    assert how["hash"] == reference.page_hash(source)
    assert {"minutes", "finished", "commit", "machine", "versions", "parameters"} < set(how)
    kept = nbformat.read(tmp_path / "book" / "reference" / "notebooks" / source.name, as_version=4)
    assert SVG not in kept.cells[3].outputs[0].data


def test_a_page_shows_the_reference_run_and_beneath_it_this_build(tmp_path):
    source = tmp_path / "notebooks" / "one.ipynb"
    source.parent.mkdir()
    nbformat.write(notebook(prose="Prose of now."), source)
    executed = notebook(prose="Prose of now.", outputs=[figure("blue"), new_output("stream", text="said")])
    assert beside.page(tmp_path, source, executed) == executed

    kept = tmp_path / reference.KEPT
    (kept / "notebooks").mkdir(parents=True)
    (tmp_path / "book" / "what_differs.yaml").write_text("{}")
    nbformat.write(notebook(prose="Prose of then.", outputs=[figure("red")]), kept / "notebooks" / "one.ipynb")
    made = '{{"one": {{"hash": "{}", "minutes": 90.0, "finished": "2026-11-29", "parameters": {{"rank": 5}}}}}}'
    (kept / "run.json").write_text(made.format(reference.page_hash(source)))
    shown = beside.page(tmp_path, source, executed)
    assert shown.cells[0].source == "# Prose of now."
    assert (
        "**Reference run**, preset `reference` with `rank: 5`, made on 2026-11-29 in 90 minutes"
        in shown.cells[1].source
    )
    assert "changed" not in shown.cells[1].source
    first, second = [cell for cell in shown.cells if cell.get("outputs")]
    names = [cell.metadata.mystnb.figure.name for cell in (first, second)]
    assert names == ["one", "one-build"]
    pixels = [
        Image.open(io.BytesIO(base64.b64decode(cell.outputs[0].data["image/png"]))).getpixel((0, 0))
        for cell in (first, second)
    ]
    assert pixels == [(255, 0, 0), (0, 0, 255)]
    assert "**This build**, preset `smoke`" in "".join(cell.source for cell in shown.cells)

    (kept / "run.json").write_text(made.format("0" * 64))
    shown = beside.page(tmp_path, source, executed)
    assert shown.cells[0].source == "# Prose of then."
    assert (
        "**This notebook has changed since**: the SHA-256 of its code and settings was 00000000"
        in shown.cells[1].source
    )


def test_a_page_says_what_differs_from_the_paper_and_why(tmp_path):
    for folder, value in (("claims", 0.1), ("differs", 0.9)):
        judged = Result(CLAIMS["independent/disagree"], Estimate(value, value, value, "jackknife"), CONTEXT)
        write_result(judged, tmp_path / reference.KEPT / folder / "one")
    told = {
        "one": {
            "why": "Few images.",
            "experiment": "many images",
            "command": "papermill",
            "claims": ["independent/disagree"],
        }
    }
    (tmp_path / "book" / "what_differs.yaml").write_text(yaml.safe_dump(told))
    (cell,) = beside.what_differs(tmp_path, "one")
    assert cell.source.startswith("## What differs, and why\n\nFew images.\n\n|")
    assert "many images" in cell.source
    row = r"`independent/disagree` \| \[✗ not reproduced\].* 0\.100.* \| \[✓ reproduced\].* 0\.900"
    assert re.search(row, cell.source)
    assert beside.what_differs(tmp_path, "another") == []


def test_every_difference_can_be_shown():
    told = yaml.safe_load((ROOT / "book" / "what_differs.yaml").read_text(encoding="utf-8"))
    for page in told:
        assert beside.what_differs(ROOT, page)


def test_the_first_page_begins_with_what_the_reference_run_found():
    kept = Result(CLAIMS["independent/disagree"], Estimate(0.99, 0.97, 1.01, "jackknife"), CONTEXT)
    ours = Result(
        CLAIMS["trajectories/functions-stay"], Estimate(2, 1.5, 2.5), CONTEXT | {"dataset": "digits", "preset": "quick"}
    )
    harder = replace(kept, context=CONTEXT | {"dataset": "harder", "architecture": "medium_cnn"})
    named = (("01_trajectories", [ours]), ("02_independent", [kept]), ("09_harder", [harder]))
    pages = {ROOT / "notebooks" / f"{name}.ipynb": results for name, results in named}
    text = landing.conclusion(pages)
    assert "once for each network: 1 [✓ reproduced]" in text
    assert "Networks and data: `small_cnn` on `cifar10_holdout`; `medium_cnn` on `harder`." in text
    row = r"\(#claim-independent-disagree\); claim: ≥ 0.4 \| 0.990 \(0.970 to 1.010\) `small_cnn` \[✓ reproduced\].*"
    row += r"<br>0.990 .* `medium_cnn` on `harder` \[✓ holds here\]"
    assert re.search(row, text.replace("&nbsp;", " "))
    assert "digits" not in text
    assert "What does not hold is on these pages: [" in landing.conclusion({page: [ours] for page in pages})


def test_readme_has_the_numbers_of_the_reference_run():
    found = {one.claim.id: one.estimate for one in read_results(ROOT / reference.KEPT / "claims" / "02_independent")}
    apart, cosine = found["independent/disagree"], found["independent/orthogonal-mean"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{apart.value:.2f} times their error rate (95 % interval {apart.low:.2f} to {apart.high:.2f};" in text
    assert f"cosine of their weights is {cosine.value:.2f} on average" in text
