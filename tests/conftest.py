"""Shared fixtures: the notebooks executed, and the book built, once per session, as a reader would."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import pytest
from filelock import FileLock
from imitation import Machine, make
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from matplotlib.text import Text

from lib.plots.style import SMALLEST_TYPE, use_style

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# The workers of `make test` and the processes that tests start share the cores, so each uses one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all but one of the files that need the executed notebooks last, so that no worker waits for another."""
    needing = dict.fromkeys(item.path for item in items if "executed_notebooks" in getattr(item, "fixturenames", ()))
    items.sort(key=lambda item: item.path in list(needing)[1:])


@pytest.fixture
def clean_style() -> Iterator[None]:
    """The book's style for one test; asserts that no type is too small for a phone, and closes all figures."""
    mpl.use("agg")
    plt.close("all")  # figures of other tests
    with plt.rc_context():
        use_style()
        yield
    sizes = [text.get_fontsize() for figure in map(plt.figure, plt.get_fignums()) for text in figure.findobj(Text)]
    plt.close("all")
    assert min(sizes, default=SMALLEST_TYPE) >= SMALLEST_TYPE


#: The repository address given to the book that the tests build.
REPOSITORY = "https://github.com/owner/name"

#: The notebook that reads the verdicts of the others.
SCOREBOARD = ROOT / "notebooks" / "12_scoreboard.ipynb"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all workers of this session."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def once(folder: Path, make: Callable[[], object]) -> Path:
    """Return `folder`, which `make` fills for the first worker that asks; the others wait and only read it."""
    begun, done = folder.with_suffix(".begun"), folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        if not begun.exists():
            begun.touch()
            make()
            done.touch()
    assert done.exists(), f"{folder} could not be made: see the first test that needed it"
    return folder


@pytest.fixture(scope="session")
def compiled(shared: Path) -> None:
    """Fill Numba's cache, so that processes started together do not all compile the kernels in a new checkout."""
    from lib.config import Experiment
    from lib.training.ensemble import train_ensemble

    def train() -> None:
        train_ensemble(
            Experiment.from_preset("smoke", num_members=1, epochs=1), "sequential", store=shared / "compiled"
        )

    once(shared / "compiled", train)


@pytest.fixture(scope="session")
def machine(shared: Path) -> Machine:
    """The imitation of Colab."""
    return Machine(once(shared / "colab", lambda: make(shared / "colab")))


def execute_notebooks(folder: Path, machine: Machine) -> None:
    """Execute all notebooks at preset smoke, as Colab opens them, into a build folder with verdicts and `runs/`.

    The first notebook installs the package. The others run in two kernels, which import everything only once and are
    reset between notebooks, and share one run store. The files are the same as those of `book/execute.py`.
    """
    (folder / "notebooks").mkdir(parents=True)
    (folder / "runs").symlink_to(machine.runs)

    def execute(kernel: AsyncKernelManager, source: Path, install: bool = False) -> None:
        records = folder / "claims" / source.stem
        records.mkdir(parents=True)
        # Each notebook trains in its own kernel, as two notebooks already run in parallel.
        given = {"preset": "smoke", "results_dir": str(records), "engine": "sequential"}
        given = {"records_dir": str(records.parent)} if source == SCOREBOARD else given
        original, content = (nbformat.read(path, as_version=4) for path in (source, machine.stamped(source)))
        first = next(number for number, cell in enumerate(content.cells) if cell.cell_type == "code")
        if not install:
            content.cells[first].source = "%reset -f"
        executed = machine.run(kernel, content, **given)
        executed.cells[first].outputs = []
        sources = {cell.id: cell.source for cell in original.cells}
        # Drop cells that only the Colab copy has, but keep the code cell that papermill adds.
        executed.cells = [cell for cell in executed.cells if cell.id in sources or cell.cell_type == "code"]
        for cell in executed.cells:
            cell.source = sources.get(cell.id, cell.source)
        nbformat.write(executed, folder / "notebooks" / source.name)

    def go_on(kernel: AsyncKernelManager) -> None:
        for page in pages:
            execute(kernel, page)
        ensure_event_loop().close()  # the loop of this thread

    pages = iter([source for source in NOTEBOOKS if source != SCOREBOARD])
    with machine.kernel() as one, machine.kernel() as other, ThreadPoolExecutor(2) as pool:
        execute(one, next(pages), install=True)
        list(pool.map(go_on, (one, other)))
        execute(one, SCOREBOARD)


@pytest.fixture(scope="session")
def executed_notebooks(shared: Path, machine: Machine) -> Path:
    """A build folder with all executed notebooks, their verdicts and their run store."""
    return once(shared / "build", lambda: execute_notebooks(shared / "build", machine))


@pytest.fixture(scope="session")
def html(executed_notebooks: Path) -> Path:
    """The folder of the book's pages, built from the executed notebooks."""
    from book import build

    return once(executed_notebooks / "html", lambda: build.build(ROOT, executed_notebooks, REPOSITORY))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Without it tests are skipped, or fail if `CI` is true or `REQUIRE_BROWSER` is set."""
    from book import pdf
    from lib.errors import OneLineError

    try:
        return pdf.browser()
    except OneLineError as error:
        required = os.environ.get("CI") == "true" or os.environ.get("REQUIRE_BROWSER")
        (pytest.fail if required else pytest.skip)(str(error))


#: Options for Chromium: its sandbox does not work for root, and the pages are our own.
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu"]


class Quiet(SimpleHTTPRequestHandler):
    """A request handler that serves files without logging."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files of a folder over HTTP, and yield the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
