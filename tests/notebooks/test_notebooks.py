"""The notebooks as files, and as executed at preset smoke."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import papermill
import pytest
from conftest import NOTEBOOKS, SCOREBOARD

from lib.config import Experiment
from lib.data.datasets import load_dataset
from lib.findings import CLAIMS, FINDINGS
from lib.findings.records import read_results
from lib.notebook.parameters import NotebookSource
from lib.presets import PRESETS
from lib.run.store import RunStore

SHARED = ["preset", "dataset", "num_members", "epochs", "seed", "runs_dir", "results_dir", "data_dir", "engine", "jobs"]
TYPES = {"str", "int", "float", "bool", "list"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def parameters(path: Path) -> dict[str, tuple[str, str]]:
    """Name → (annotation, comment) of the parameters cell; asserts that only one cell has that tag."""
    (cell,) = [cell for cell in cells(path) if "parameters" in cell.metadata.get("tags", [])]
    found = {}
    for line in cell.source.splitlines():
        name, annotation, comment = re.fullmatch(r"(\w+): (\w+) = .+?  # (.+)", line).groups()
        found[name] = (annotation, comment)
    return found


@each_notebook
def test_notebook_stores_no_outputs(path):
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells(path))


#: The width of a reader's column in characters, and the most lines of a cell, without imports, for a single glance.
WIDTH, LINES = 88, 12

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def nested(node: ast.AST) -> bool:
    """Whether a node is a comprehension that contains another, or makes a dictionary of dictionaries."""
    inner = [one for child in ast.iter_child_nodes(node) for one in ast.walk(child)]
    if isinstance(node, ast.DictComp) and isinstance(node.value, ast.Dict):
        return True
    return isinstance(node, COMPREHENSIONS) and any(isinstance(one, COMPREHENSIONS) for one in inner)


@each_notebook
def test_notebook_cells_read_at_first_sight(path):
    for cell in cells(path):
        assert max(map(len, cell.source.splitlines())) <= WIDTH, cell.source
        told = [line for line in cell.source.splitlines() if line and not line.startswith(("import ", "from "))]
        assert len(told) <= LINES or "parameters" in cell.metadata.get("tags", []), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.Lambda | ast.ClassDef), cell.source
            assert not nested(node), cell.source
            assert not (isinstance(node, ast.Name | ast.Attribute) and "bootstrap" in ast.unparse(node)), cell.source


@each_notebook
def test_notebook_parameters_are_typed_commented_and_literal(path):
    assert {annotation for annotation, _ in parameters(path).values()} <= TYPES
    for value in NotebookSource.read(path).defaults.values():
        assert not isinstance(value, dict | set)


def test_notebook_parameters_mean_the_same_everywhere():
    meanings: dict[str, set] = {}
    for path in NOTEBOOKS:
        found = parameters(path)
        if path != SCOREBOARD:
            assert set(SHARED) <= set(found)
            assert {"architecture", "architectures"} & set(found)
        for name, meaning in found.items():
            meanings.setdefault(name, set()).add(meaning)
    assert all(len(meaning) == 1 for meaning in meanings.values())


@each_notebook
def test_notebook_runs_anywhere(path):
    metadata = nbformat.read(path, as_version=4).metadata
    assert metadata.kernelspec.name == "python3"
    for cell in cells(path, "markdown"):
        assert not re.search(r"\{[a-z:]+\}`|^:::|^```\{", cell.source, re.MULTILINE), "MyST shows raw in Colab"


@each_notebook
def test_notebook_figures_have_caption_and_alt_text(path):
    figures = [cell for cell in cells(path) if "plots." in cell.source and "figure =" in cell.source]
    assert figures
    names = set()
    for cell in figures:
        assert "hide-input" in cell.metadata.tags
        described = cell.metadata.mystnb
        assert len(described.image.alt) > 40
        assert len(described.figure.caption) > 20
        names.add(described.figure.name)
    assert len(names) == len(figures)


@each_notebook
def test_notebook_executes_and_shows_every_figure(path, executed_notebooks):
    for cell in cells(executed_notebooks / "notebooks" / path.name):
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert not [output for output in cell.outputs if output.get("name") == "stderr" and "Warning" in output.text]
        assert kinds.count("image/png") == bool(re.search(r"^figure = ", cell.source, re.MULTILINE))


def test_notebooks_judge_every_claim(executed_notebooks):
    results = read_results(executed_notebooks / "claims")
    # The gap needs both harder and easier data.
    assert {result.claim.id for result in results} == set(CLAIMS) - {"harder/gap"}
    compared = [result.context["architecture"] for result in results if result.claim.id == "independent/orthogonal"]
    assert compared == ["resnet8_v1", "small_cnn"]
    assert {result.context["preset"] for result in results} == {"smoke"}


def test_scoreboard_has_every_verdict(executed_notebooks):
    results = read_results(executed_notebooks / "claims")
    *_, table, provenance = [
        output.data["text/html"]
        for cell in cells(executed_notebooks / "notebooks" / SCOREBOARD.name)
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    assert table.count('class="verdict ') == len(results)
    assert "made by other commits" in provenance


def experiments_of_the_pages() -> list[Experiment]:
    """All experiments that the pages train at preset smoke."""
    ordinary = [Experiment.from_preset("smoke", architecture=name) for name in PRESETS["smoke"]["architectures"]]
    randomness = FINDINGS["randomness"].experiment("smoke")
    crossed = [
        replace(randomness, varied=varied, learning_rate=share * randomness.learning_rate)
        for varied in ("initialization", "order")
        for share in (0.25, 0.5, 1)
    ]
    return [*ordinary, *crossed, FINDINGS["sgmcmc"].experiment("smoke")]


def test_notebooks_at_once_train_each_member_once(executed_notebooks):
    store = RunStore(executed_notebooks / "runs")
    wanted = {
        config
        for experiment in experiments_of_the_pages()
        for config in experiment.members("digits", load_dataset("digits").content_hash)
    }
    trained = [run.config for run in store.runs() if run.config.dataset == "digits"]
    assert set(trained) == wanted
    assert len(trained) == len(wanted)
    assert all(run.is_complete() for run in store.runs())
    assert store.damaged() == []


def test_papermill_refuses_with_one_last_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(str(NOTEBOOKS[0]), "out.ipynb", {"num_member": 3}, progress_bar=False)
    last = str(caught.value).rstrip().splitlines()[-1]
    assert last.startswith("ConfigError: unknown parameter 'num_member'; did you mean 'num_members'?")
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]
