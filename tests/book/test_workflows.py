"""The GitHub workflows: they name existing targets and files, have few permissions, and publish one book."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet

from lib.presets import PRESETS

FOLDER = ROOT / ".github" / "workflows"
# YAML 1.1 reads the key `on` as a Boolean.
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}

#: The owner whose actions may be pinned to a major version; all others must be pinned to a full commit.
TRUSTED = "actions/"

each_workflow = pytest.mark.parametrize("name", WORKFLOWS)


def jobs(name: str) -> dict[str, dict]:
    return WORKFLOWS[name]["jobs"]


def steps(name: str) -> list[dict]:
    return [step for job in jobs(name).values() for step in job.get("steps", [])]


def step(name: str, title: str) -> dict:
    (found,) = [step for step in steps(name) if title in (step.get("name"), step.get("id"))]
    return found


def run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a step's script as GitHub does."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


# What they name


@each_workflow
def test_make_targets_exist(name):
    lines = [line for step in steps(name) for line in step.get("run", "").splitlines() if line.startswith("make ")]
    for line in lines:
        done = run(f"{line} --dry-run", ROOT, CPU="1", PRESET="quick", PARAMS="")
        assert done.returncode == 0, done.stderr


@each_workflow
def test_named_files_exist(name):
    text = (FOLDER / f"{name}.yml").read_text()
    named = set(re.findall(r"(?:\./)?[\w./-]+\.(?:yml|yaml|txt|toml|py)\b", text))
    assert [file for file in named if not (ROOT / file).is_file()] == []
    for pattern in re.findall(r"hashFiles\((.*)\)", text):
        assert all(list(ROOT.glob(part)) for part in re.findall(r"'([^']+)'", pattern))


def test_tests_run_on_every_python_that_the_package_allows():
    allowed = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    versions = [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}.1")]
    assert jobs("tests")["test"]["strategy"]["matrix"]["python"] == versions
    assert {"run": "make test"} in steps("tests")


def test_any_preset_can_be_chosen_and_names_the_folder_that_is_uploaded(tmp_path):
    inputs = WORKFLOWS["gpu"][True]["workflow_dispatch"]["inputs"]
    assert inputs["preset"]["options"] == list(PRESETS)
    script = step("gpu", "built")["run"]
    for given, folder in (("full", "full"), ("notebooks/params/paper_figure_2.yaml", "paper_figure_2")):
        output = tmp_path / folder
        assert run(script, tmp_path, NAME=given, GITHUB_OUTPUT=str(output)).returncode == 0
        assert output.read_text() == f"html=_build/{folder}/html\n"
        makefile = run("make --dry-run serve", ROOT, **{"PARAMS" if "/" in given else "PRESET": given})
        assert f"--directory _build/{folder}/html" in makefile.stdout


def test_a_file_of_parameters_that_is_not_there_is_refused_in_one_line():
    script = step("gpu", "Look for the file of parameters")["run"]
    assert run(script, ROOT, PARAMS="").returncode == 0
    assert run(script, ROOT, PARAMS="notebooks/params/paper_figure_2.yaml").returncode == 0
    done = run(script, ROOT, PARAMS="$(echo no)")
    assert (done.returncode, done.stdout) == (1, "there is no file $(echo no) in this repository\n")


def test_without_cuda_everything_else_is_installed():
    recipe = run("make --dry-run --assume-new=requirements.txt setup", ROOT, CPU="1").stdout
    (filtering,) = re.findall(r"^grep .* requirements\.txt", recipe, re.MULTILINE)
    kept, whole = run(filtering, ROOT).stdout.splitlines(), (ROOT / "requirements.txt").read_text().splitlines()
    left_out = {line.split("==")[0] for line in set(whole) - set(kept)}
    assert {"nvidia-cudnn-cu13", "triton"} <= left_out
    assert all(re.match("nvidia|cuda|triton", name) for name in left_out)


# What they may do


@each_workflow
def test_permissions_are_the_least(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    for title, job in jobs(name).items():
        # Only the job that publishes the book may write.
        assert job.get("permissions", {"contents": "read"}) == {"contents": "write" if title == "publish" else "read"}
        assert "uses" in job or job["timeout-minutes"] > 0


def test_what_may_write_runs_nothing_of_the_repository():
    assert [step for step in steps("publish") if "checkout" in step.get("uses", "")] == []


@each_workflow
def test_actions_are_pinned(name):
    for action in [step["uses"] for step in steps(name) if "uses" in step]:
        assert re.fullmatch(r"v\d+" if action.startswith(TRUSTED) else r"[0-9a-f]{40}", action.split("@")[1]), action


@each_workflow
def test_scripts_get_what_people_type_as_environment(name):
    assert [step["run"] for step in steps(name) if "${{" in step.get("run", "")] == []
    assert "secrets." not in (FOLDER / f"{name}.yml").read_text()


@each_workflow
def test_runs_of_one_kind_do_not_overlap(name):
    assert "workflow_call" in WORKFLOWS[name][True] or WORKFLOWS[name]["concurrency"]["group"]


# Publishing


def test_publishing_leaves_one_commit_with_the_newest_book(tmp_path):
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "owner" / "repository"], check=True)
    # A stub of gh, which gives GitHub's token to git: a local folder needs none.
    (tmp_path / "gh").write_text("#!/bin/sh\n")
    (tmp_path / "gh").chmod(0o755)
    environment = {
        "GITHUB_SERVER_URL": tmp_path.as_uri(),
        "GITHUB_REPOSITORY": "owner/repository",
        "GITHUB_SHA": "0" * 40,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    }
    for content in ("old", "new"):
        book = tmp_path / content
        (book / "colab").mkdir(parents=True)
        (book / "index.html").write_text(content)
        (book / "colab" / "01_trajectories.ipynb").write_text("{}")
        done = run(step("publish", "Push to gh-pages")["run"], book, **environment)
        assert done.returncode == 0, done.stderr

    def git(*command):
        arguments = ["git", "-C", tmp_path / "owner" / "repository", *command]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()

    assert git("rev-list", "--count", "gh-pages") == ["1"]
    assert git("show", "gh-pages:index.html") == ["new"]
    assert git("ls-tree", "-r", "--name-only", "gh-pages") == [".nojekyll", "colab/01_trajectories.ipynb", "index.html"]
