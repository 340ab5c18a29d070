"""What several test files need: notebooks executed once a session, as a reader would."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from lib.plots import use_style

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def clean_style() -> Iterator[None]:
    """The look of the book, for one test, and no figure left behind."""
    mpl.use("agg")
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


#: The notebook that reads what the others write.
SCOREBOARD = ROOT / "notebooks" / "12_scoreboard.ipynb"


def start(source: Path, build: Path) -> subprocess.Popen:
    """Begin to execute a notebook for the book, at preset smoke."""
    command = [sys.executable, ROOT / "book" / "execute.py", source, build / "notebooks" / source.name]
    command += ["--preset", "smoke", "--params", build / "params.yaml"]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="session")
def executed_notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with all notebooks executed at preset smoke, all at once on one new run store (`runs/` in it)."""
    build = tmp_path_factory.mktemp("build")
    (build / "params.yaml").write_text(f"runs_dir: {build / 'runs'}\n")
    others = [source for source in NOTEBOOKS if source != SCOREBOARD]
    for sources in (others, [SCOREBOARD]):
        for process in [start(source, build) for source in sources]:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    return build
