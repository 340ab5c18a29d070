"""Colab: what is stamped into the copies, the buttons that open them, and every copy run in an imitation of Colab."""

import ast
import json
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from conftest import NOTEBOOKS, REPOSITORY, SCOREBOARD
from imitation import git, own_requirements
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import colab
from lib.notebook.parameters import declared_by

ORIGIN = colab.Origin(REPOSITORY, "0123456789abcdef0123456789abcdef01234567", [])

#: Dependencies of this package that were preinstalled in Colab in August 2026, to our knowledge.
PREINSTALLED = {
    "ipython": "7.34.0",
    "matplotlib": "3.10.0",
    "numpy": "2.1.3",
    "pandas": "2.2.3",
    "scikit-learn": "1.6.1",
    "torch": "2.11.0",
    "torchvision": "0.26.0",
}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def first_cell(path: Path) -> nbformat.NotebookNode:
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


# Addresses and commits


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://github.com/owner/name", "https://github.com/owner/name"),
        ("https://github.com/owner/name.git/", "https://github.com/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@github.com:22/owner/name.git", "https://github.com/owner/name"),
        ("https://user:secret@github.com/owner/name.git", "https://github.com/owner/name"),
        ("https://secret@git.example.org:8443/a/b/c", "https://git.example.org:8443/a/b/c"),
    ],
)
def test_address_is_what_everybody_can_use(given, address):
    assert colab.public_address(f" {given}\n") == address


@pytest.mark.parametrize(
    "given",
    [
        "owner/name",
        "https://github.com",
        "https://user:secret@",
        "https://h/a?secret=1",
        "https://h/a@secret",
        "https://h/$(b)",
        "file:///srv/git/name.git",
        "",
    ],
)
def test_no_address_is_one_line_that_repeats_nothing_of_it(given):
    with pytest.raises(colab.ColabError, match=r"^REPOSITORY must be the address of a git repository, like ") as caught:
        colab.public_address(given)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_colab_opens_what_is_on_github():
    folder = "https://colab.research.google.com/github/owner/name/blob/gh-pages/colab"
    assert colab.colab_folder(ORIGIN.repository) == folder
    assert colab.colab_folder("https://gitlab.com/owner/name") is None
    assert colab.colab_folder("https://github.com/owner") is None
    assert colab.colab_folder("") is None


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with one commit and no remote."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("one")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message", "One")
    return folder


def test_origin_is_the_remote_or_what_was_given(checkout):
    git(checkout, "remote", "add", "origin", "https://user:secret@github.com/owner/name.git")
    origin = colab.find_origin(checkout)
    assert (origin.repository, origin.commit) == (ORIGIN.repository, git(checkout, "rev-parse", "HEAD"))
    other = colab.find_origin(checkout, "git@gitlab.com:a/b.git")
    assert other.repository == "https://gitlab.com/a/b"
    assert "Colab opens notebooks from GitHub only" in other.remarks[0]
    assert "secret" not in repr(origin) + repr(other)
    with pytest.raises(colab.ColabError, match=r"^REPOSITORY must be"):
        colab.find_origin(checkout, "somewhere")


def test_origin_that_others_cannot_reach_gives_no_buttons(checkout, tmp_path):
    none = colab.find_origin(checkout)
    git(checkout, "remote", "add", "origin", str(tmp_path / "elsewhere"))
    for origin in (none, colab.find_origin(checkout)):
        assert (origin.repository, len(origin.remarks)) == ("", 1)
        assert origin.remarks[0].startswith("no Colab buttons: git has no remote `origin` that others can reach")
    (checkout / ".git" / "HEAD").write_text("")  # so that git fails
    assert "git is missing or does not work here" in colab.find_origin(checkout, ORIGIN.repository).remarks[0]
    (tmp_path / "export").mkdir()
    exported = colab.find_origin(tmp_path / "export", ORIGIN.repository)
    assert exported == colab.Origin(
        "", "", ["no Colab buttons: this is not a git checkout, so there is no commit to install"]
    )


def test_origin_remarks_on_changes_and_on_a_commit_that_was_not_pushed(checkout, tmp_path):
    git(tmp_path, "clone", "--quiet", "--bare", str(checkout), "bare.git")
    git(checkout, "remote", "add", "upstream", str(tmp_path / "bare.git"))
    (unpushed,) = colab.find_origin(checkout, ORIGIN.repository).remarks
    assert unpushed.endswith("which is on no remote branch that git knows of: push it")
    git(checkout, "fetch", "--quiet", "upstream")
    assert colab.find_origin(checkout, ORIGIN.repository).remarks == []
    (checkout / "file").write_text("two")
    (changed,) = colab.find_origin(checkout, ORIGIN.repository).remarks
    assert changed.endswith("without the changes in this checkout: commit them first")


# Copies and buttons


@each_notebook
def test_copy_is_the_notebook_with_its_origin_and_a_gpu(path):
    source = nbformat.read(path, as_version=4)
    copy = colab.stamped(source, ORIGIN)
    nbformat.validate(copy)
    assert source == nbformat.read(path, as_version=4)
    assert copy.metadata.kernelspec.name == "python3"
    assert copy.metadata.accelerator == "GPU"
    changed = [(mine, theirs) for mine, theirs in zip(copy.cells, source.cells, strict=True) if mine != theirs]
    ((mine, theirs),) = changed
    assert theirs == first_cell(path)
    assert f'repository = "{ORIGIN.repository}"' in mine.source
    assert f'commit = "{ORIGIN.commit}"' in mine.source
    assert not [cell for cell in copy.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]


def test_copy_of_a_notebook_without_the_cell_is_refused_with_its_name(tmp_path):
    for cells in ([new_markdown_cell("# One")], [new_code_cell("1 + 1")]):
        nbformat.write(new_notebook(cells=cells), tmp_path / "one.ipynb")
        with pytest.raises(colab.ColabError, match=r"one\.ipynb: the first code cell must have one line `repository"):
            colab.write_copies([tmp_path / "one.ipynb"], tmp_path / "colab", ORIGIN)
    colab.write_copies([tmp_path / "one.ipynb"], tmp_path / "colab", colab.Origin("", "", []))
    assert not (tmp_path / "colab").exists()


def parameters_cell(notebook: nbformat.NotebookNode) -> str:
    return next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))


@each_notebook
def test_copy_on_github_has_links_captions_and_fields(path, tmp_path):
    colab.write_copies(NOTEBOOKS, tmp_path, ORIGIN)
    source, copy = (nbformat.read(one, as_version=4) for one in (path, tmp_path / path.name))
    nbformat.validate(copy)
    prose = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    site, folder = "https://owner.github.io/name", colab.colab_folder(ORIGIN.repository)
    assert "](../" not in prose
    assert f"]({site}/notebooks/{path.stem}.html)" in copy.cells[0].source
    assert f"]({site}/book/protocol.html)" in copy.cells[0].source
    place = NOTEBOOKS.index(path)
    neighbours = [one.name for one in NOTEBOOKS[max(place - 1, 0) : place + 2] if one != path]
    assert re.findall(rf"\]\({folder}/([^)]*)\)", copy.cells[0].source) == neighbours
    captions = [cell.metadata.mystnb.figure.caption for cell in source.cells if "mystnb" in cell.metadata]
    assert re.findall(r"^\*\*Figure (\d+)\.\*\* (.*)$", prose, re.MULTILINE) == [
        (str(number), caption) for number, caption in enumerate(captions, start=1)
    ]
    mine, theirs = map(parameters_cell, (copy, source))
    assert declared_by(mine) == declared_by(theirs)
    fields = dict(re.findall(r"^(\w+): .*  # @param (.*)$", mine, re.MULTILINE))
    assert set(fields) == set(colab.FIELDS) & set(declared_by(theirs)[0])
    for field in fields.values():
        offered, end = json.JSONDecoder().raw_decode(field)
        assert {type(ast.literal_eval(one)) for one in offered if "'" in one} <= {str}
        assert json.loads(field[end:] or "{}") in ({}, {"type": "raw", "allow-input": True})


def test_pages_of_notebooks_have_a_button_and_others_have_none(html):
    button = f'href="{colab.colab_folder(REPOSITORY)}/01_trajectories.ipynb"'
    assert (html / "notebooks" / "01_trajectories.html").read_text().count(button) == 1
    assert "colab.research" not in (html / "book" / "index.html").read_text()
    assert (html / "_static" / "images" / "logo_colab.png").is_file()
    assert f'href="{REPOSITORY}"' in (html / "book" / "index.html").read_text()
    assert (html / "colab" / "01_trajectories.ipynb").is_file()


# The first cell


def test_every_notebook_begins_with_the_same_cell_which_the_book_leaves_out():
    assert len({first_cell(path).source for path in NOTEBOOKS}) == 1
    assert all("remove-cell" in first_cell(path).metadata.tags for path in NOTEBOOKS)
    assert all(nbformat.read(path, as_version=4).cells[1] == first_cell(path) for path in NOTEBOOKS)


def test_first_cell_elsewhere_looks_for_the_package(monkeypatch):
    assert "google.colab" not in sys.modules
    # Everything that it does in Colab goes through `get_ipython`, which is not defined here.
    exec(first_cell(SCOREBOARD).source, {})
    monkeypatch.setitem(sys.modules, "lib", ModuleType("lib"))
    with pytest.raises(ImportError, match=r"^<module 'lib'> hides the package of this name: run it elsewhere$"):
        exec(first_cell(SCOREBOARD).source, {})


class Shell:
    """A shell that records the system commands of a cell."""

    def __init__(self):
        self.lines = []

    def system(self, line):
        self.lines.append(line)


def test_first_cell_installs_the_stamped_commit(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    shell = Shell()
    source = colab.stamped(nbformat.read(SCOREBOARD, as_version=4), ORIGIN).cells[1].source
    exec(source, {"get_ipython": lambda: shell})
    package = f"git+https://github.com/owner/name@{ORIGIN.commit}"
    assert shell.lines == [f'"{sys.executable}" -m pip install -q "{package}"']
    assert re.fullmatch(r"Installed; device: .+; go on with the next cell\.\n", capsys.readouterr().out)


@each_notebook
def test_notebook_says_at_its_top_how_long_it_takes(path):
    top = " ".join(nbformat.read(path, as_version=4).cells[0].source.split())
    said = r"Under a minute" if path == SCOREBOARD else r"Preset `quick`, .* \d+ minutes? on two processor cores\."
    assert re.search(rf"\*\*Time\.\*\* {said}", top)


# What is installed


def test_installing_replaces_nothing_that_colab_has():
    floors = {requirement.name: requirement.specifier for requirement in own_requirements()}
    assert {name for name in PREINSTALLED if not floors[name].contains(PREINSTALLED[name])} == set()


def test_notebooks_import_what_the_package_requires_and_nothing_else():
    providers = metadata.packages_distributions()
    required = {requirement.name for requirement in own_requirements()}
    known = {name for name, having in providers.items() if required & {one.lower() for one in having}} | {"lib"}
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                assert {name.split(".")[0] for name in names} <= known | sys.stdlib_module_names


# The imitation


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell) -> str:
    shown = [output.get("text", "") + output.get("data", {}).get("text/html", "") for output in cell.outputs]
    return "".join(shown)


@each_notebook
def test_notebook_runs_in_colab_from_the_stamped_commit(path, executed_notebooks, machine):
    cells = code_cells(nbformat.read(executed_notebooks / "notebooks" / path.name, as_version=4))
    assert all(cell.execution_count for cell in cells)
    provenance = text_of(cells[-1])
    assert machine.origin.commit[:12] in provenance
    assert re.search(r"made by other commits</td>\s*<td[^>]*>nothing<", provenance)


def test_colab_got_the_package_and_nothing_else(executed_notebooks, machine):
    installed = {found.name for found in metadata.distributions(path=[str(machine.packages)])}
    assert installed == {"ensemble-landscapes"}
    assert (machine.runs / "digits" / "small_cnn").is_dir()


def test_unstamped_notebook_stops_in_colab_with_one_line(machine):
    with machine.kernel() as kernel:
        unstamped = nbformat.read(SCOREBOARD, as_version=4)
        first, *others = code_cells(machine.run(kernel, unstamped))
    assert text_of(first).strip().startswith("UsageError: set repository to its address")
    assert text_of(first).strip().count("\n") == 0
    assert not any(cell.execution_count for cell in others)
