"""An imitation of Colab: an environment with what this package requires, a kernel, and nothing else.

It has no `lib`, but a stub of `google.colab`, its own working directory, and a git repository that pip installs from.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nbformat
from helpers import CHECKOUT
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

sys.path.insert(0, str(CHECKOUT))

from book import colab


@dataclass
class Machine:
    """The imitation in a folder: a Python without `lib`, a working directory, and a repository to install from."""

    folder: Path

    @property
    def origin(self) -> colab.Origin:
        repository = self.folder / "repository.git"
        return colab.Origin(f"file://{repository}", git(repository, "rev-parse", "HEAD"), [])

    @property
    def packages(self) -> Path:
        (found,) = (self.folder / "venv").glob("lib/python*/site-packages")
        return found

    @property
    def runs(self) -> Path:
        """The run store that a notebook uses by default."""
        return self.folder / "content" / "runs"

    def stamped(self, source: Path) -> Path:
        """The copy of a notebook that Colab opens."""
        if not (self.folder / "colab" / source.name).exists():
            colab.write_copies([source], self.folder / "colab", self.origin)
        return self.folder / "colab" / source.name

    @contextmanager
    def kernel(self) -> Iterator[AsyncKernelManager]:
        """A kernel of the imitation, with `content/` as its working directory."""
        client = NotebookClient(nbformat.v4.new_notebook(), kernel_name="colab")
        client.create_kernel_manager()
        client.km.kernel_spec_manager.kernel_dirs = [str(self.folder / "jupyter" / "kernels")]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RUNS_DIR")}
        # No network: everything needed to build is already installed. (For this variable of pip, 0 means yes.)
        environment |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        client.start_new_kernel(env=environment, cwd=str(self.folder / "content"))
        try:
            yield client.km
        finally:
            client._cleanup_kernel()

    @staticmethod
    def run(kernel: AsyncKernelManager, content: nbformat.NotebookNode, **parameters: object) -> nbformat.NotebookNode:
        """Execute a notebook in a kernel up to its first error, with parameters passed as papermill does."""
        client = NotebookClient(parameterize_notebook(load_notebook_node(content), parameters), km=kernel, timeout=600)
        with suppress(CellExecutionError):
            client.execute()
        client.kc.stop_channels()
        return client.nb


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *who, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def own_requirements() -> list[Requirement]:
    """The requirements of this package, without its extras."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["dependencies"]]


def make(folder: Path) -> None:
    """Make the imitation in a folder."""
    folder.mkdir()
    _make_repository(folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True, timeout=60)
    (folder / "preinstalled").mkdir()
    kernel_and_pip = map(Requirement, ("ipykernel", "pip", "setuptools"))
    _link_distributions(_needed([*own_requirements(), *kernel_and_pip]), folder / "preinstalled")
    stub = folder / "stub" / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (stub / "drive.py").write_text("def mount(folder):\n    print('mounted', folder)\n")
    # Colab's kernel has already imported its own package before a cell runs.
    lines = [folder / "preinstalled", folder / "stub", "import google.colab"]
    (Machine(folder).packages / "colab.pth").write_text("".join(f"{line}\n" for line in lines))
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    python = str(folder / "venv" / "bin" / "python")
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    (folder / "content").mkdir()
    imports = [python, "-I", "-c", "import google.colab, torch, lib"]
    done = subprocess.run(imports, capture_output=True, text=True, timeout=60)
    assert done.stderr.rstrip().endswith("No module named 'lib'")


def _needed(roots: list[Requirement]) -> set[str]:
    """The names of these distributions and of everything they require here."""
    found: dict[tuple, str] = {}
    todo = list(roots)
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            if (requirement.name.lower(), extra) not in found:
                found[requirement.name.lower(), extra] = requirement.name
                lines = map(Requirement, metadata.requires(requirement.name) or [])
                todo += [line for line in lines if line.marker is None or line.marker.evaluate({"extra": extra})]
    return set(found.values())


def _link_distributions(names: set[str], folder: Path) -> None:
    """Fill a folder with links to the files of these distributions, so that nothing else can be imported from it."""
    for name in names:
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (folder / top).exists():
                (folder / top).symlink_to(distribution.locate_file(top))


def _make_repository(folder: Path) -> None:
    """Make the repository that pip installs from: a bare git repository of the package as it is now."""
    work = folder / "work"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(CHECKOUT / "lib", work / "lib", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, work)
    git(work, "init", "--quiet")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "The package")
    git(folder, "clone", "--quiet", "--bare", str(work), "repository.git")
