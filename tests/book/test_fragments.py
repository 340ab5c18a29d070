"""The parts of pages that are computed from the code, its settings, the notebooks and the measurements."""

import re

from conftest import NOTEBOOKS, ROOT
from helpers import table_rows

from benchmarks import report
from book import fragments
from lib import subspaces
from lib.config import Experiment
from lib.presets import PRESETS, PROTOCOLS


def test_presets_table_has_a_column_a_preset_with_the_values_of_config():
    header, _, *body = table_rows(fragments.presets())
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


def test_parameters_table_numbers_pages_only_where_they_differ():
    table = {row[0]: row for row in table_rows(fragments.parameters(NOTEBOOKS))[2:]}
    assert table["`num_members`"][-1] == "all"
    assert table["`architectures`"][-1] == "2, 4, 11"
    assert table["`curve`"][-1] == "6"
    assert all(len(row[1]) > 5 for row in table.values())


def test_api_has_every_folder_with_its_line_and_every_module_once():
    text = fragments.api(ROOT)
    folders = [path.name for path in fragments.folders(ROOT)]
    assert folders[:3] == ["errors.py", "presets.py", "config.py"]
    assert set(folders) >= {path.name for path in (ROOT / "lib").iterdir() if (path / "__init__.py").exists()}
    assert f"| [`subspaces`](#lib-subspaces) | {subspaces.__doc__.splitlines()[0]} |" in text
    modules = re.findall(r"automodule:: (\S+)", text)
    assert len(modules) == len(set(modules))
    assert {"lib.config", "lib.metrics", "lib.run.engines", "lib.plots.style"} <= set(modules)
    assert "lib.metrics.scores" not in modules  # its names are exported by `lib.metrics`


def test_performance_says_not_measured_without_results(tmp_path):
    assert fragments.measured(tmp_path / "growth.json") == "`growth`: **not measured**.\n"


def test_performance_shows_the_run_its_rows_and_its_targets(tmp_path):
    made = report.Report("evaluation", "evaluation", {"vectors": 2}, 3)
    made.add("two vectors", "predict", "vectors/s", [1.0, 3.0, 2.0], ratio=2.5)
    made.target("predict, times as fast", 2.5, at_least=5)
    made.note("A note.")
    made.finish(tmp_path / "evaluation.json")
    text = fragments.measured(tmp_path / "evaluation.json")
    assert "`python benchmarks/evaluation.py --vectors 2 --rounds 3`" in text
    assert made.content["date"] in text
    table = "".join(line + "\n" for line in text.splitlines() if line.startswith("|"))
    assert table_rows(table)[2] == ["two vectors", "predict", "vectors/s", "1", "2", "3", "2.50 times as fast"]
    assert "✗ not met: predict, times as fast, at least 5; here **2.5**" in text
    assert "- A note." in text
