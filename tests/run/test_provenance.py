"""The commit of a package, in a checkout or installed, and how other commits are reported."""

import json
import subprocess
from importlib.metadata import PackageNotFoundError, PathDistribution

import pytest

from lib.run import provenance


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with a package and a text file."""
    (tmp_path / "lib").mkdir()
    for name in ("lib/one.py", "README.md"):
        (tmp_path / name).write_text("one\n")
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "One"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, timeout=60)
    return tmp_path


def test_commit_of_a_checkout_is_marked_where_the_package_differs_from_it(checkout):
    name = provenance._of_checkout(checkout)
    assert len(name) == provenance.DIGITS
    assert int(name, 16) >= 0
    (checkout / "README.md").write_text("two\n")
    assert provenance._of_checkout(checkout) == name
    (checkout / "lib" / "two.py").write_text("two\n")
    assert provenance._of_checkout(checkout) == f"{name}+changes"


def test_commit_of_a_folder_that_is_no_checkout_is_not_known(tmp_path):
    assert provenance._of_checkout(tmp_path) == ""


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ({"url": "https://h/a", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}, "0123456789ab"),
        ({"url": "file:///a", "dir_info": {"editable": True}}, ""),
        (None, ""),
    ],
)
def test_commit_of_an_installed_package_is_the_one_that_pip_noted(monkeypatch, tmp_path, origin, name):
    if origin:
        (tmp_path / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.setattr(provenance, "distribution", lambda _: PathDistribution(tmp_path))
    assert provenance._of_installation() == name


def test_commit_of_a_package_that_pip_does_not_know_is_not_known(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(provenance, "distribution", missing)
    assert provenance._of_installation() == ""


def test_others_are_counted_the_most_frequent_first(monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "ours")
    assert provenance.others([], "runs") == provenance.others(["ours", "ours"], "runs") == ""
    said = provenance.others(["", "theirs", "ours", "theirs"], "runs")
    assert said == "2 of 4 runs by commit theirs, 1 of 4 runs by a commit that is not known"
