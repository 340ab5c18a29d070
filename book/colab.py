"""Colab: copies of the notebooks that install a given repository and commit, and the buttons that open them.

The copies are in the built site under `colab/`. Colab opens notebooks only from a branch on GitHub: the branch to which
the site is published. As a Sphinx extension, this module adds the buttons to the pages of notebooks.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from lib.data.datasets import DATASETS
from lib.errors import OneLineError
from lib.presets import PRESETS, PROTOCOLS

#: The branch that holds the published site.
BRANCH = "gh-pages"

#: The environment variable that gives Sphinx the address of the repository, if there is one.
VARIABLE = "BOOK_REPOSITORY"

#: Values in the first code cell of every notebook that a copy replaces.
BLANKS = {"repository": '""', "commit": '"HEAD"'}

#: Parameters for which Colab shows a form field: the choices it offers, and the options of the field.
FIELDS = {
    "preset": ([*PRESETS], {}),
    **{
        name: (["None", *(f"'{one}'" for one in offered)], {"type": "raw", "allow-input": True})
        for name, offered in {"dataset": DATASETS, "architecture": PROTOCOLS}.items()
    },
}

#: Metadata that requests a GPU on Colab.
METADATA = {"accelerator": "GPU", "colab": {"gpuType": "T4", "provenance": []}}

#: Git addresses: https, possibly with a name and a password; ssh, and its short form `user@host:path`.
HTTPS = re.compile(r"https?://(?:[^/@\s]*@)?([\w.-]+(?::\d+)?)/([\w.~+/-]+)")
SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?([\w.-]+\.[\w-]+)(?::\d+)?[:/]([\w.~+/-]+)")


class ColabError(OneLineError):
    """The copies for Colab cannot be made; the message is one line."""


@dataclass(frozen=True)
class Origin:
    """Where the package can be installed from.

    Attributes:
        repository: an address that everybody can use; empty if there is none.
        commit: the full name of the commit.
        remarks: what anyone who publishes the book should know, one line each.
    """

    repository: str
    commit: str
    remarks: list[str]


def public_address(given: str) -> str:
    """The public address of a repository, `https://HOST/PATH`, without names and passwords.

    Raises:
        ColabError: `given` is not an address. The message does not repeat it, as it may contain a password.
    """
    match = HTTPS.fullmatch(given.strip()) or SSH.fullmatch(given.strip())
    if not match:
        raise ColabError("REPOSITORY must be the address of a git repository, like https://github.com/OWNER/NAME")
    return f"https://{match[1]}/{match[2].strip('/').removesuffix('.git')}"


def colab_folder(repository: str) -> str | None:
    """The address at which Colab opens the site's `colab/` folder; `None` for a repository that is not on GitHub."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", repository)
    return match and f"https://colab.research.google.com/github/{match[1]}/{match[2]}/blob/{BRANCH}/colab"


def published_site(repository: str) -> str:
    """The address of the book that GitHub serves from `BRANCH`."""
    owner, name = repository.rsplit("/", 2)[1:]
    return f"https://{owner.lower()}.github.io/{name}"


def find_origin(root: Path, given: str = "") -> Origin:
    """The given repository, or else git's remote `origin`, with the commit of the checkout.

    Raises:
        ColabError: `given` is not an address.
    """
    try:
        repository = public_address(given.strip() or _git(root, "remote", "get-url", "origin"))
    except ColabError:
        if given.strip():
            raise
        repository = ""  # not a public address, such as a folder
    if not (root / ".git").exists():
        return Origin("", "", ["no Colab buttons: this is not a git checkout, so there is no commit to install"])
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return Origin("", "", ["no Colab buttons: git is missing or does not work here, see what `git status` says"])
    if not repository:
        hint = "REPOSITORY=https://github.com/OWNER/NAME names one"
        return Origin("", commit, [f"no Colab buttons: git has no remote `origin` that others can reach; {hint}"])
    return Origin(repository, commit, list(_remarks(root, repository, commit)))


def _remarks(root: Path, repository: str, commit: str) -> Iterator[str]:
    if colab_folder(repository) is None:
        yield f"no Colab buttons: Colab opens notebooks from GitHub only, and {repository} is elsewhere"
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        yield f"Colab will install commit {commit[:12]}, without the changes in this checkout: commit them first"
    elif not _git(root, "branch", "--remotes", "--contains", commit):
        yield f"Colab will install commit {commit[:12]}, which is on no remote branch that git knows of: push it"


def _git(root: Path, *arguments: str) -> str:
    """The output of a git command, or an empty string if it fails."""
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def stamped(notebook: nbformat.NotebookNode, origin: Origin) -> nbformat.NotebookNode:
    """A copy, without outputs and for a GPU machine, whose first code cell installs the package from `origin`.

    Raises:
        ColabError: the notebook has no such cell.
    """
    copy = deepcopy(notebook)
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    source = code[0].source if code else ""
    for name, value in {"repository": origin.repository, "commit": origin.commit}.items():
        blank = f"{name} = {BLANKS[name]}"
        if source.count(blank) != 1:
            raise ColabError(f"the first code cell must have one line `{blank}`")
        source = source.replace(blank, f"{name} = {json.dumps(value)}")
    code[0].source = source
    copy.metadata.update(METADATA)
    return copy


def add_what_the_book_has(copy: nbformat.NotebookNode, repository: str, names: list[str], own: int) -> None:
    """Add to a copy what the book has: links that work in Colab, captions of figures, and form fields.

    Links also lead to adjacent notebooks. `names` are all notebooks' names, without suffix; `own` is this one's index.
    """
    site, folder, figures = published_site(repository), colab_folder(repository), 0
    links = [
        f"[This page in the book]({site}/notebooks/{names[own]}.html)",
        f"[the protocol]({site}/book/protocol.html)",
    ]
    for place, word in ((own - 1, "the notebook before"), (own + 1, "the next notebook")):
        links += [f"[{word}]({folder}/{names[place]}.ipynb)"] if 0 <= place < len(names) else []
    copy.cells[0].source += "\n\n" + " · ".join(links)
    cells = []
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(\.\./book/(\w+)\.md", rf"]({site}/book/\1.html", cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            for name, (offered, kind) in FIELDS.items():
                field = f"# @param {json.dumps(offered)} {json.dumps(kind) if kind else ''}".rstrip()
                cell.source = re.sub(rf"^({name}: .*)  # .*$", rf"\1  {field}", cell.source, flags=re.MULTILINE)
        cells.append(cell)
        if "mystnb" in cell.metadata:
            figures += 1
            cells.append(new_markdown_cell(f"**Figure {figures}.** {cell.metadata.mystnb.figure.caption}"))
    copy.cells = cells


def write_copies(notebooks: Iterable[Path], folder: Path, origin: Origin) -> None:
    """Write stamped copies of notebooks if the repository is known; a `ColabError` names the notebook that failed."""
    paths = sorted(notebooks) if origin.repository else []
    for own, path in enumerate(paths):
        try:
            copy = stamped(nbformat.read(path, as_version=4), origin)
        except ColabError as error:
            raise ColabError(f"{path}: {error}") from None
        if colab_folder(origin.repository):
            add_what_the_book_has(copy, origin.repository, [one.stem for one in paths], own)
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(copy, folder / path.name)


# The Sphinx extension


def name_repository(app, config):
    """Make the theme link to the repository and its issues if it is on GitHub."""
    repository = os.environ.get(VARIABLE, "")
    if colab_folder(repository):
        config.html_theme_options |= {
            "repository_url": repository,
            "use_repository_button": True,
            "use_issues_button": True,
        }


def add_button(app, pagename, templatename, context, doctree):
    """Add a button that opens the stamped copy to a notebook's page."""
    folder = colab_folder(os.environ.get(VARIABLE, ""))
    if folder and doctree is not None and pagename.startswith("notebooks/"):
        button = {"type": "link", "text": "Open in Colab", "icon": "_static/images/logo_colab.png"}
        button |= {"url": f"{folder}/{pagename.removeprefix('notebooks/')}.ipynb", "label": "launch-colab"}
        context["header_buttons"].insert(0, button | {"tooltip": "Run this page in Google Colab"})


def setup(app):
    """Register with Sphinx; the theme creates its list of buttons at priority 500."""
    app.connect("config-inited", name_repository)
    app.connect("html-page-context", add_button, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
