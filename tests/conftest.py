"""What several test files need: notebooks executed once a session, as a reader would."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="session")
def executed_notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with all notebooks executed at preset smoke, all at once on one new run store (`runs/` in it)."""
    build = tmp_path_factory.mktemp("build")
    params = build / "params.yaml"
    params.write_text(f"runs_dir: {build / 'runs'}\n")
    command = [sys.executable, str(ROOT / "book" / "execute.py")]
    running = [
        subprocess.Popen(
            [
                *command,
                str(source),
                str(build / "notebooks" / source.name),
                "--preset",
                "smoke",
                "--params",
                str(params),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for source in NOTEBOOKS
    ]
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    return build
