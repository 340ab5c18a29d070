"""Figures of executed notebooks are saved in all formats, and the book links to them below their captions."""

import base64
import io
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pytest
from conftest import NOTEBOOKS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book import figures
from lib.plots.downloads import CSV, SVG

DRAWING = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="1pt">\n <path d="M 0 0"/>\n</svg>\n'
BUNDLE = {"image/png": base64.b64encode(b"\x89PNG").decode(), SVG: DRAWING, CSV: "run,value\n1,0.5\n"}


def cell(bundle=BUNDLE, name="one-figure", caption="Where a < b & c.", alt="A line."):
    figure = {"name": name, "caption": caption}
    output = new_output("display_data", {"text/plain": "<Figure>", **bundle})
    said = new_output("stream", text="said")
    return new_code_cell(
        "figure = plots.f()",
        execution_count=1,
        outputs=[said, output],
        metadata={"mystnb": {"figure": figure, "image": {"alt": alt}}},
    )


def notebook(*cells):
    table = new_code_cell("table", execution_count=1, outputs=[new_output("display_data", {"text/html": "<table/>"})])
    return new_notebook(cells=[new_markdown_cell("# One"), table, *cells])


# Saved files


def test_all_forms_are_saved_under_the_name_of_the_figure(tmp_path):
    files = figures.save(notebook(cell(), cell(name="other")), tmp_path / "figures")
    assert [file.name for file in files[:3]] == ["one-figure.png", "one-figure.svg", "one-figure.csv"]
    assert sorted(files) == sorted((tmp_path / "figures").iterdir())
    assert files[0].read_bytes() == b"\x89PNG"
    assert files[2].read_bytes() == b"run,value\n1,0.5\n"


def test_svg_says_what_it_shows(tmp_path):
    path = figures.save(notebook(cell()), tmp_path)[1]
    title, description, shape = ElementTree.parse(path).getroot()
    assert (title.tag.split("}")[1], title.text) == ("title", "Where a < b & c.")
    assert (description.tag.split("}")[1], description.text) == ("desc", "A line.")
    assert shape.get("d") == "M 0 0"


def test_links_stand_below_the_caption_and_the_rest_stays():
    before, after = notebook(cell()), figures.with_links(notebook(cell()), "../figures")
    assert [one.source for one in after.cells] == [one.source for one in before.cells]
    said, shown = after.cells[-1].outputs
    assert said == before.cells[-1].outputs[0]
    assert shown.data == {"text/plain": "<Figure>", "image/png": BUNDLE["image/png"]}
    caption, line = after.cells[-1].metadata.mystnb.figure.caption.split("\n\n")
    assert caption == "Where a < b & c."
    for suffix in ("png", "svg", "csv"):
        assert f"(../figures/one-figure.{suffix})" in line
    assert line.count(" of figure one-figure<") == 3


@pytest.mark.parametrize("missing", [SVG, CSV])
def test_a_figure_without_its_data_is_a_problem(missing):
    without = {kind: BUNDLE[kind] for kind in BUNDLE if kind != missing}
    (problem,) = figures.problems(notebook(cell(), cell(without, name="other")))
    assert problem.startswith("figure other has no " + ("SVG" if missing == SVG else "data (CSV)"))


def test_two_figures_of_one_name_are_a_problem():
    assert list(figures.problems(notebook(cell(), cell()))) == ["two figures have the name one-figure"]


def test_a_name_that_makes_no_file_is_a_problem():
    (problem,) = figures.problems(notebook(cell(name="../up")))
    assert "'../up'" in problem
    assert not list(figures.problems(notebook(cell())))


# The command


def refusal(capsys, *paths):
    with pytest.raises(SystemExit) as stopped:
        figures.main(*paths)
    assert "\n" not in stopped.value.code
    assert capsys.readouterr().out == ""
    return stopped.value.code


def test_command_refuses_in_one_line_and_writes_nothing(tmp_path, capsys):
    for name, content in {
        "empty": notebook(),
        "old": notebook(cell({"image/png": "AA=="}), cell({"image/png": ""})),
    }.items():
        nbformat.write(content, tmp_path / f"{name}.ipynb")
    (tmp_path / "text.ipynb").write_text("no notebook")
    before = sorted(tmp_path.iterdir())
    expected = {"empty": "has no figures", "old": "has no SVG", "text": "cannot read", "none": "cannot read"}
    for name, said in expected.items():
        assert said in refusal(capsys, tmp_path / f"{name}.ipynb", tmp_path / "figures")
    assert sorted(tmp_path.iterdir()) == before


def test_command_refuses_a_folder_that_is_a_file(tmp_path, capsys):
    nbformat.write(notebook(cell()), tmp_path / "one.ipynb")
    assert "cannot write to" in refusal(capsys, tmp_path / "one.ipynb", tmp_path / "one.ipynb")


def test_command_saves_the_figures_and_says_how_many(tmp_path, capsys):
    nbformat.write(notebook(cell(), cell(name="other")), tmp_path / "one.ipynb")
    figures.main(tmp_path / "one.ipynb", tmp_path / "new" / "figures")
    assert capsys.readouterr().out == f"6 files in {tmp_path / 'new' / 'figures'}\n"
    assert len(list((tmp_path / "new" / "figures").iterdir())) == 6


# The figures of the pages


def test_every_figure_of_every_page_is_taken_away(executed_notebooks, tmp_path):
    names = []
    for source in NOTEBOOKS:
        executed = nbformat.read(executed_notebooks / "notebooks" / source.name, as_version=4)
        assert list(figures.problems(executed)) == []
        mine = [name for name, *_ in figures.figures(executed)]
        expected = [one.metadata.mystnb.figure.name for one in executed.cells if "mystnb" in one.metadata]
        assert mine == expected != []
        names += mine
        for file in figures.save(executed, tmp_path):
            if file.suffix == ".png":
                assert file.read_bytes().startswith(b"\x89PNG\r\n")
            elif file.suffix == ".csv":
                table = pd.read_csv(io.StringIO(file.read_text(encoding="utf-8")))
                assert len(table)
                assert table.select_dtypes("number").shape[1]
            else:
                root = ElementTree.parse(file).getroot()
                assert root[0].tag.endswith("}title")
                links = [value for one in root.iter() for name, value in one.attrib.items() if name.endswith("href")]
                assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert len(set(names)) == len(names)
