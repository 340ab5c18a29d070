"""The names that users import: README's example runs, and importing them loads no heavy packages."""

import re
import subprocess
import sys

from conftest import ROOT


def test_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(example.splitlines()) <= 26
    monkeypatch.setenv("RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # so that it trains in this process
    scope: dict = {}
    exec(example, scope)
    assert scope["probs"].shape == (3, 397, 10)
    assert scope["metrics"].accuracy(scope["probs"], scope["data"].test.labels).min() > 0.5
    assert "of their mean" in capsys.readouterr().out


def test_names_of_users_import_no_plots_notebooks_clusters_or_scikit_learn():
    names = "Experiment, load_dataset, build_model, train_ensemble, predict, metrics"
    heavy = {"matplotlib", "IPython", "dask", "distributed", "sklearn"}
    code = f"from lib import {names}; import sys; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"
