"""What several test files need: notebooks executed once a session, as a reader would."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.text import Text

from lib.plots import use_style
from lib.plots.style import SMALLEST_TYPE

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from book import build  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def clean_style() -> Iterator[None]:
    """The look of the book, for one test, with no type too small for a phone, and no figure left behind."""
    mpl.use("agg")
    with plt.rc_context():
        use_style()
        yield
    sizes = [text.get_fontsize() for figure in map(plt.figure, plt.get_fignums()) for text in figure.findobj(Text)]
    plt.close("all")
    assert min(sizes, default=SMALLEST_TYPE) >= SMALLEST_TYPE


#: The notebook that reads what the others write.
SCOREBOARD = ROOT / "notebooks" / "12_scoreboard.ipynb"


def start(source: Path, folder: Path) -> subprocess.Popen:
    """Begin to execute a notebook for the book, at preset smoke."""
    command = [sys.executable, ROOT / "book" / "execute.py", source, folder / "notebooks" / source.name]
    command += ["--preset", "smoke", "--params", folder / "params.yaml"]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="session")
def executed_notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with all notebooks executed at preset smoke, all at once on one new run store (`runs/` in it)."""
    folder = tmp_path_factory.mktemp("build")
    (folder / "params.yaml").write_text(f"runs_dir: {folder / 'runs'}\n")
    others = [source for source in NOTEBOOKS if source != SCOREBOARD]
    for sources in (others, [SCOREBOARD]):
        for process in [start(source, folder) for source in sources]:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    return folder


@pytest.fixture(scope="session")
def html(executed_notebooks: Path) -> Path:
    """The folder of a whole book, built from those notebooks once a session."""
    return build.build(ROOT, executed_notebooks).parent
