"""The files and names that the page for contributors mentions exist."""

import re

import pytest
from conftest import ROOT

TEXT = (ROOT / "book" / "contributing.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
FILE = re.compile(r"(?<![\w./])(?:lib|tests|book|notebooks)/[\w./]+\.\w+")


def test_files_exist():
    named = FILE.findall(TEXT)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("title", SECTIONS)
def test_names_are_defined_in_the_files_that_their_recipe_names(title):
    text = SECTIONS[title]
    code = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in FILE.findall(text))
    names = set(re.findall(r"`([a-zA-Z_]\w+)`", text)) - {"lib", "tests"}
    assert names or title == "The workflows"
    # A function, a class, a table, or an entry in a table.
    missing = [name for name in names if not re.search(rf"(?:def|class) {name}\b|^{name}\b.*=|\"{name}\":", code, re.M)]
    assert missing == []


def test_top_level_file_points_here():
    assert "](book/contributing.md)" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
