"""Which commit computed what: the commit of this package, and those of results already in the run store."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

#: Digits of a commit hash that are shown and compared.
DIGITS = 12


@cache
def commit() -> str:
    """The first `DIGITS` digits of the commit of this package; empty if unknown.

    In a checkout it comes from git, followed by `+changes` if a file of the package differs from the commit. For an
    installed package, as in Colab, it comes from pip, if pip installed it from a repository's address.
    """
    checkout = Path(__file__).resolve().parents[2]
    return _of_checkout(checkout) if (checkout / ".git").exists() else _of_installation()


def _of_checkout(checkout: Path) -> str:
    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "HEAD")[:DIGITS] + ("+changes" if git("status", "--porcelain", "--", "lib") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _of_installation() -> str:
    try:
        origin = json.loads(distribution("ensemble-landscapes").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    return origin.get("vcs_info", {}).get("commit_id", "")[:DIGITS]


def others(commits: Sequence[str], things: str) -> str:
    """Summarise how many things were made by commits other than this package's, and by which; empty if none.

    For example `4 of 6 runs by commit 0123456789ab, 1 of 6 runs by a commit that is not known`, most frequent first.
    """
    foreign = Counter(
        f"commit {name}" if name else "a commit that is not known" for name in commits if name != commit()
    )
    return ", ".join(f"{count} of {len(commits)} {things} by {name}" for name, count in foreign.most_common())
