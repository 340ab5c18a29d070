"""What somebody else made: no file runs code, no path leads elsewhere, and whatever is in a file, there is one line."""

import ast
import dataclasses
import io
import json
import os
import re
import shutil
import struct
import sys
import tarfile
import warnings
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from helpers import member
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from papermill.translators import PythonTranslator
from PIL import Image
from safetensors.numpy import save

from lib import __main__ as command_line
from lib.config import Experiment, canonical_json
from lib.data import datasets as data
from lib.data import formats
from lib.data.datasets import load_dataset
from lib.data.formats import DatasetError
from lib.errors import OneLineError
from lib.findings import claims
from lib.notebook.page import check_parameters
from lib.run import files
from lib.run import store as store_module
from lib.run.files import DamagedRun, read_with_digest, sha256, write_with_digest
from lib.run.store import RunStore, StoreError
from lib.sweep import grid
from lib.sweep import plan as sweep

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))

from execute import parameters_for  # noqa: E402

CONFIG = member(epochs=2)
FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# No file runs code

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "os.system", "torch.load", "torch.save"}
METHODS = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "load_all"}


def dangers(source: str) -> list[str]:
    """What in a source could run code that a file holds."""
    tree = ast.parse(source)
    safe_loaders = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name, keywords = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in CALLS or name.split(".")[-1] in METHODS:
            found.append(name)
        if name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
            found.append(name)
        if name == "yaml.load" and not {ast.unparse(one) for one in node.args[1:]} & {*safe_loaders, "yaml.SafeLoader"}:
            found.append(name)
        if name == "Image.open" and "formats" not in keywords and "Image.open(path" in ast.unparse(node):
            found.append(name)
        if keywords.get("allow_pickle") == "True" or keywords.get("shell") == "True":
            found.append(name)
        if name.endswith("unpack_archive") and keywords.get("filter") != "'data'":
            found.append(name)
    return found


@pytest.mark.parametrize("folder", ["lib", "book", "benchmarks"])
def test_no_source_runs_what_a_file_holds(folder):
    sources = list((ROOT / folder).rglob("*.py"))
    assert sources
    assert {path: found for path in sources if (found := dangers(path.read_text()))} == {}


def test_no_notebook_runs_what_a_file_holds():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                assert dangers("".join(line for line in cell["source"] if not line.startswith("%"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch.a, cloudpickle.b",
        "eval(text)",
        "pd.read_pickle(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "class Own(yaml.Loader): pass\nyaml.load(text, Own)",
        "Image.open(path)",
        "subprocess.run(line, shell=True)",
        "shutil.unpack_archive(path, folder)",
    ],
)
def test_sources_that_do_are_found(source):
    assert dangers(source)


# A store that somebody else gave us


def row(epoch: int) -> dict:
    return {"epoch": epoch, "train_loss": 0.5 / epoch}


def write_run(root: Path, config=CONFIG, complete: bool = True) -> Path:
    """A run without any training: complete, or one epoch before its end."""
    run = RunStore(root).run(config)
    for epoch in range(config.epochs + 1 if complete else config.epochs):
        arrays = {"weights": np.full(3, epoch, np.float32), "statistics": np.zeros(0, np.float32)}
        run.write_epoch(epoch, arrays, {"a/b": np.ones(2, np.float32)}, row(epoch) if epoch else None)
    if complete:
        run.finish({"device": "cpu"})
    return run.folder


def seal(folder: Path, manifest: dict) -> None:
    """Write a manifest as this project would, whatever it says."""
    manifest = {name: value for name, value in manifest.items() if name != "digest"}
    manifest["digest"] = sha256(canonical_json(manifest).encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))


def sealed(folder: Path, **changes) -> None:
    seal(folder, json.loads((folder / "manifest.json").read_bytes()) | changes)


def configured(folder: Path, content: object) -> None:
    """Write another `config.json`, and a manifest that says it is right."""
    (folder / "config.json").write_text(json.dumps(content))
    checksums = json.loads((folder / "manifest.json").read_bytes())["checksums"]
    sealed(folder, checksums=checksums | {"config.json": sha256((folder / "config.json").read_bytes())})


def snapshot(root: Path) -> dict[Path, tuple]:
    return {path: (path.lstat().st_mtime_ns, path.is_symlink()) for path in root.rglob("*")}


@contextmanager
def one_line(kind: type[Exception] = OneLineError):
    """Success, or an error of this kind, of one line that is not too long; nothing else comes out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="damaged ", category=UserWarning)
        message = ""
        try:
            yield
        except kind as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 3000


def read_everything(root: Path, config=CONFIG) -> None:
    """Call whatever reads a store; each must succeed or fail with one line, and only `resume` may write."""
    store = RunStore(root)
    with one_line():
        list(store.runs())
    with one_line():
        store.unreadable()
    with one_line():
        store.verify()
    run = store.run(config)
    for read in (run.open, lambda: run.read_epoch(1), run.read_history, run.verify):
        with one_line():
            read()
    before = snapshot(root)
    with one_line(), suppress(SystemExit):
        command_line.open_store(root)
    assert snapshot(root) == before
    if not run.is_complete():
        with one_line():
            run.resume()


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/passwd", "../config.json", "epoch_1.safetensors", "", "a\x00b", "x" * 300]
)
def test_manifest_names_files_of_its_run_only(tmp_path, name):
    folder = write_run(tmp_path / "runs")
    checksums = json.loads((folder / "manifest.json").read_bytes())["checksums"]
    (tmp_path / "x").write_text("secret")
    swapped = {**checksums, name: sha256(b"secret")}
    swapped.pop("history.csv")
    sealed(folder, checksums=swapped)
    opened = []
    with pytest.MonkeyPatch.context() as patch:
        real = Path.read_bytes
        patch.setattr(Path, "read_bytes", lambda path: (opened.append(path), real(path))[1])
        with pytest.raises(DamagedRun, match=r"^manifest\.json cannot be read"):
            RunStore(tmp_path / "runs").run(CONFIG).verify()
    assert {path.name for path in opened} == {"manifest.json"}


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "../../elsewhere"},
        {"architecture": "medium_cnn"},
        {"seed": 7},
        {"seed": True},
        {"seed": "0"},
        {"epochs": 2.0},
        {"learning_rate": None},
        {"dropout": float("nan")},
    ],
)
def test_config_of_another_run_or_of_other_types_is_no_run(tmp_path, change):
    folder = write_run(tmp_path)
    configured(folder, dataclasses.asdict(CONFIG) | change) if change != {"dropout": change.get("dropout")} else (
        folder / "config.json"
    ).write_text(json.dumps(dataclasses.asdict(CONFIG) | change))
    store = RunStore(tmp_path)
    assert list(store.runs()) == []
    assert store.unreadable() == [folder]
    assert store.verify() == {folder: "config.json is missing or cannot be read"}


@pytest.mark.parametrize("level", ["dataset", "architecture", "run"])
def test_links_out_of_the_store_are_not_followed(tmp_path, level):
    """Neither read nor written nor removed is what a folder below the root links to."""
    outside = write_run(tmp_path / "outside")
    count = {"dataset": 3, "architecture": 2, "run": 1}[level]
    target = Path(*outside.parts[: len(outside.parts) - count + 1])
    link = tmp_path / "runs" / target.relative_to(tmp_path / "outside")
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    (outside.parent / f"{outside.name}.damaged").mkdir()
    store, before = RunStore(tmp_path / "runs"), snapshot(tmp_path / "outside")
    assert list(store.runs()) == store.unreadable() == [] == store.damaged()
    linked = tmp_path / "runs" / outside.relative_to(tmp_path / "outside")
    for refused in (lambda: store.run(CONFIG), lambda: store.remove_leftover(linked)):
        with pytest.raises(StoreError, match="is behind a link, and the run store follows none below its root"):
            refused()
    assert snapshot(tmp_path / "outside") == before


@pytest.mark.parametrize("folder", [".locks", ".derived", ".derived/line"])
def test_links_in_place_of_the_store_s_own_folders_are_not_followed(tmp_path, folder):
    (tmp_path / "outside").mkdir()
    (tmp_path / "runs" / folder).parent.mkdir(parents=True)
    (tmp_path / "runs" / folder).symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="is behind a link"):
        RunStore(tmp_path / "runs").cached("line", {}, lambda: {"a": np.zeros(1)})
    assert list((tmp_path / "outside").iterdir()) == []


def test_link_in_place_of_a_lock_does_not_empty_what_it_leads_to(tmp_path):
    victim = tmp_path / "precious"
    victim.write_text("content")
    lock = tmp_path / "runs" / ".locks" / f"{CONFIG.key}.lock"
    lock.parent.mkdir(parents=True)
    lock.symlink_to(victim)
    with pytest.raises(StoreError, match="is behind a link"), RunStore(tmp_path / "runs").run(CONFIG).lock():
        pass
    assert victim.read_text() == "content"


def test_root_of_a_store_may_be_a_link(tmp_path):
    (tmp_path / "big disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "big disk")
    folder = write_run(tmp_path / "runs")
    assert [run.folder for run in RunStore(tmp_path / "runs").runs()] == [folder]
    assert RunStore(tmp_path / "runs").verify() == {}


@pytest.mark.parametrize("name", ["epoch_001.safetensors", "manifest.json", "config.json", "history.csv"])
@pytest.mark.parametrize("kind", ["pipe", "link", "device", "folder"])
def test_what_is_no_file_is_damage_and_never_waited_for(tmp_path, name, kind):
    path = write_run(tmp_path / "runs") / name
    shutil.copy(path, tmp_path / name)
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(tmp_path / name),
        "device": lambda: path.symlink_to("/dev/zero"),
        "folder": path.mkdir,
    }[kind]()
    read_everything(tmp_path / "runs")
    assert len(RunStore(tmp_path / "runs").verify()) == 1


def test_resume_state_that_is_a_pipe_is_never_waited_for(tmp_path):
    path = write_run(tmp_path, complete=False) / "resume.safetensors"
    path.unlink()
    os.mkfifo(path)
    read_everything(tmp_path)


def test_sparse_manifest_of_a_terabyte_is_damage(tmp_path):
    folder = write_run(tmp_path)
    os.truncate(folder / "manifest.json", 2**40)
    assert RunStore(tmp_path).verify() == {folder: f"manifest.json is larger than {files.MAX_JSON} bytes"}


# A newer version's store


def call(capsys, monkeypatch, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["python -m lib", *map(str, arguments)])
    code = command_line.main()
    return code, *capsys.readouterr()


def newer_field(root, monkeypatch):
    folder = write_run(root)
    configured(folder, dataclasses.asdict(CONFIG) | {"label_smoothing": 0.1})
    return folder


def newer_field_unfinished(root, monkeypatch):
    folder = write_run(root, complete=False)
    (folder / "resume.safetensors").unlink()
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(CONFIG) | {"label_smoothing": 0.1}))
    return folder


def newer_layout(root, monkeypatch):
    folder = write_run(root)
    sealed(folder, format=2)
    return folder


def newer_layout_unfinished(root, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "FORMAT", 2)
        return write_run(root, complete=False)


NEWER = [newer_field, newer_field_unfinished, newer_layout, newer_layout_unfinished]


@pytest.mark.parametrize("make", NEWER)
@pytest.mark.parametrize("command", [["list"], ["verify"], ["prune", "--all", "--yes"], ["prune", "--yes"]])
def test_newer_store_is_refused_by_every_command_and_stays(tmp_path, monkeypatch, capsys, make, command):
    folder = make(tmp_path, monkeypatch)
    before = snapshot(tmp_path)
    code, out, err = call(capsys, monkeypatch, "runs", *command, "--runs-dir", tmp_path)
    assert code == 1
    assert out == ""
    assert re.fullmatch(rf"error: {re.escape(str(folder))}.*; update the project\n", err)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", [newer_layout, newer_layout_unfinished])
def test_newer_run_is_refused_and_not_trained_again(tmp_path, monkeypatch, make):
    folder = make(tmp_path, monkeypatch)
    run, before = RunStore(tmp_path).run(CONFIG), snapshot(tmp_path)
    with pytest.raises(StoreError, match=r"has store format 2, this version reads 1; update the project$") as caught:
        run.open() if run.is_complete() else run.resume()
    assert not isinstance(caught.value, DamagedRun)
    assert snapshot(tmp_path) == before
    assert folder.exists()


def test_newer_derived_arrays_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "FORMAT", 2)
        (tmp_path / "x").mkdir()
        path = tmp_path / "x" / "derived.safetensors"
        write_with_digest(path, {"a": np.zeros(1)}, {})
    with pytest.raises(StoreError, match="has store format 2, this version reads 1; update the project"):
        read_with_digest(path)


def test_damaged_name_of_a_field_is_damage_and_no_newer_version(tmp_path):
    for complete in (True, False):
        root = tmp_path / str(complete)
        folder = write_run(root, complete=complete)
        text = (folder / "config.json").read_text().replace('"cycles"', '"cyclgs"')
        (folder / "config.json").write_text(text)
        assert list(RunStore(root).runs()) == []
        assert RunStore(root).unreadable() == [folder]


def test_store_of_the_first_version_without_formats_is_read(tmp_path):
    folder = write_run(tmp_path, complete=False)
    path = folder / "resume.safetensors"
    arrays, metadata = read_with_digest(path)
    old = {name: value for name, value in metadata.items() if name not in ("format", "digest")}
    path.write_bytes(save(arrays, old | {"digest": files._digest(arrays, old)}))
    run = RunStore(tmp_path).run(CONFIG)
    run.verify()
    assert run.resume().epoch == 1


# Any bytes in any file of a store

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
#: Too large for a test's report.
NASTY = {
    "brackets": b"[" * 100_000,
    "braces": b'{"a":' * 50_000,
    "digits": b"1" * 10_000,
    "infinity": b"1e999",
    "nan": b"NaN",
    "half a character": b'"\\ud800"',
    "utf-16": b"\xff\xfe{\x00}\x00",
    "null": b"null",
    "zeros": b"\x00" * 64,
    "long header": (2**62).to_bytes(8, "little") + b"{}",
}
contents = (
    st.sampled_from(sorted(NASTY)) | st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode())
)


def mutated(content: bytes, position: int, value: object) -> bytes:
    """A JSON object with one of its values, at any depth, replaced."""
    tree = json.loads(content)
    places = [(tree, name) for name in tree]
    for container, name in places:
        if isinstance(container[name], dict):
            places += [(container[name], inner) for inner in container[name]]
    container, name = places[position % len(places)]
    container[name] = value
    return json.dumps(tree).encode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[bool, Path]:
    """Stores with a complete run, and with an unfinished one."""
    roots = {complete: tmp_path_factory.mktemp("whole") for complete in (True, False)}
    for complete, root in roots.items():
        write_run(root, complete=complete)
    return roots


def fresh(whole, tmp_path, complete) -> Path:
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
    shutil.copytree(whole[complete], tmp_path / "runs")
    return RunStore(tmp_path / "runs").run(CONFIG).folder


@FUZZ
@given(st.booleans(), st.integers(0, 99), contents)
def test_fuzz_any_content_of_any_file(whole, tmp_path, complete, number, content):
    folder = fresh(whole, tmp_path, complete)
    names = sorted(os.listdir(folder))
    (folder / names[number % len(names)]).write_bytes(NASTY.get(content, content))
    read_everything(tmp_path / "runs")


@FUZZ
@given(st.sampled_from(["config.json", "manifest.json"]), st.integers(0, 99), json_values, st.booleans())
def test_fuzz_values_of_a_manifest_that_says_it_is_right(whole, tmp_path, name, position, value, with_digest):
    folder = fresh(whole, tmp_path, True)
    content = mutated((folder / name).read_bytes(), position, value)
    with suppress(ValueError):  # a number that JSON has not, which nobody could have written
        if name == "config.json":
            configured(folder, json.loads(content))
        elif with_digest:
            seal(folder, json.loads(content))
    read_everything(tmp_path / "runs")


metadata = st.dictionaries(
    st.sampled_from(["epoch", "checksums", "history", "format", "recipe"]),
    st.text(max_size=20)
    | json_values.map(json.dumps)
    | st.sampled_from(["[" * 5000, "1" * 5000, "-1", "1e3", "9" * 18, "[{}, {}]", '{"../../x": "0"}']),
    max_size=4,
)


@FUZZ
@given(metadata, st.booleans())
def test_fuzz_metadata_of_a_resume_state_that_says_it_is_right(whole, tmp_path, changes, replaced):
    folder = fresh(whole, tmp_path, False)
    path = folder / "resume.safetensors"
    arrays, found = read_with_digest(path)
    found = changes if replaced else found | changes
    found.pop("digest", None)
    try:
        path.write_bytes(save(arrays, found | {"digest": files._digest(arrays, found)}))
    except (UnicodeEncodeError, ValueError):
        return
    read_everything(tmp_path / "runs")


@pytest.mark.parametrize("name", ["epoch_001.safetensors", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"not what it says", b"a,b\n1\n", b"epoch\nx\n", b"epoch\n1e400\n", save({})])
def test_content_that_its_checksum_confirms_is_checked_too(whole, tmp_path, name, content):
    folder = fresh(whole, tmp_path, True)
    (folder / name).write_bytes(content)
    checksums = json.loads((folder / "manifest.json").read_bytes())["checksums"]
    sealed(folder, checksums=checksums | {name: sha256(content)})
    read_everything(tmp_path / "runs")


# Parameter files, and values from papermill

PARAMETERS = """preset: str = "quick"  # size
num_members: int = None  # members
learning_rate: float = None  # rate
standardized: bool = True  # directions
architectures: list = None  # networks
runs_dir: str = None  # run store
results_dir: str = None  # verdicts"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("notebooks") / "01_small.ipynb"
    cell = nbformat.v4.new_code_cell(PARAMETERS, id="a", metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    return path


LAUGHS = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "\n".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NOT_PLAIN = [
    LAUGHS,
    MERGES,
    "runs_dir: !!python/object/apply:os.system [id]",
    "!!python/object:os.PathLike {}",
    "runs_dir: !!binary aGVsbG8=",
    "num_members: !!int abc",
    "num_members: !!bool x",
    "num_members: !!timestamp x",
    "learning_rate: !!float x",
    "num_members: 0x" + "f" * 50_000,
    "num_members: " + "9" * 50_000,
    "? 0x" + "f" * 50_000 + "\n: 1",
    "num_members: 2020-13-45",
    "num_members: 2020-01-01",
    "learning_rate: .nan",
    "learning_rate: .inf",
    "learning_rate: " + "1:" * 5000 + "1.5",
    "architectures: " + "[" * 2000,
    "architectures: [[a]]",
    "architectures: {a: b}",
    "runs_dir: !!set {a, b}",
    "preset: [smoke]",
    "preset: null",
    "? [a, b]\n: c",
    "? {a: b}\n: c",
    "1: 2",
    "null: 2",
    "true: 2",
    "num_members: 1\nnum_members: 2",
    'runs_dir: "a\\nimport os"',
    'runs_dir: "\\0"',
    '"preset = 1; import os": x',
    "just text",
    "- a\n- b",
    "a: b: c",
    "\t",
    "---\na: 1\n---\nb: 2",
    "%YAML 9.9\n---\na: 1",
    "\ud800",
    "x" * 2_000_000,
    "runs_dir: " + "x" * 900_000,
    "x" * 900_000 + ": 1",
]


def pass_through_papermill(notebook: Path, path: Path) -> None:
    """What `book/execute.py` would pass, as papermill would write it, through the notebook's own check."""
    passed = parameters_for(notebook, path, {"preset": "smoke", "results_dir": "claims"})
    values: dict = {}
    cell = PythonTranslator.codify(passed, "Parameters")
    exec(PARAMETERS + "\n" + cell, values)
    checked = check_parameters([PARAMETERS, cell], values)
    assert {name: checked[name] for name in passed} == passed


@pytest.mark.parametrize("number", range(len(NOT_PLAIN)))
def test_parameter_file_that_is_not_plain_is_one_line(notebook, tmp_path, number):
    path = tmp_path / "params.yaml"
    path.write_bytes(NOT_PLAIN[number].encode("utf-8", "surrogatepass"))
    with one_line():
        pass_through_papermill(notebook, path)
    with one_line():
        sweep.plan(notebook, grid.read_grid(path), tmp_path / "out")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), lambda path: None])
def test_parameter_file_that_is_no_file_is_one_line_and_never_waited_for(notebook, tmp_path, make):
    path = tmp_path / "params.yaml"
    make(path)
    for read in (lambda: pass_through_papermill(notebook, path), lambda: grid.read_grid(path)):
        with pytest.raises(OneLineError, match=re.escape(str(path))) as caught:
            read()
        assert "\n" not in str(caught.value)


NAMES = [line.split(":")[0] for line in PARAMETERS.splitlines()]
yaml_keys = st.sampled_from([*NAMES, "seed", "include", "exclude", "runs_dirs"]) | scalars | st.dates()
yaml_scalars = (
    scalars | st.dates() | st.datetimes() | st.binary(max_size=5) | st.sampled_from(["smoke", "../x", "a\nb"])
)
yaml_values = st.recursive(
    yaml_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(yaml_keys, inner, max_size=3),
    max_leaves=6,
)
yaml_files = (
    st.dictionaries(yaml_keys, yaml_values, max_size=4).map(lambda tree: yaml.safe_dump(tree, sort_keys=False).encode())
    | st.binary(max_size=100)
    | st.text(alphabet="abc:-[]{}&*!?|>%@`'\"#, \n\t0.eE_~<", max_size=60).map(str.encode)
)


@FUZZ
@given(yaml_files)
@example(b"preset: smoke\nnum_members: 3\narchitectures: [small_cnn, null]\n")
def test_fuzz_parameter_files(notebook, tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with one_line():
        pass_through_papermill(notebook, path)


@FUZZ
@given(yaml_files)
@example(b"num_members: [1, 2]\nruns_dir: ['../../x', '/etc', '..', '']\n")
@example(b"preset: ['../../x', '..', '/', '\x00']\n")
def test_fuzz_grids_stay_in_their_folder(notebook, tmp_path, content):
    path = tmp_path / "grid.yaml"
    path.write_bytes(content)
    with one_line():
        planned = sweep.plan(notebook, grid.read_grid(path), tmp_path / "out")
        for cell in planned.cells:
            for written in (planned.notebook(cell), planned.failed(cell), planned.folder / "claims" / cell.name):
                assert Path(os.path.realpath(written)).is_relative_to(os.path.realpath(tmp_path / "out"))
                assert len(written.name) < 200
    assert not (tmp_path / "out").exists()


@FUZZ
@given(st.dictionaries(st.sampled_from([*NAMES, "sed"]), yaml_values, max_size=3))
def test_fuzz_values_that_papermill_passes(values):
    """As with `papermill -f`, which looks at nothing."""
    cell = PythonTranslator.codify(values, "Parameters")
    names: dict = {}
    exec(PARAMETERS, names)
    with suppress(SyntaxError, NameError):  # what papermill itself cannot write
        exec(cell, names)
        with one_line():
            check_parameters([PARAMETERS, cell], names)


@pytest.mark.parametrize("name", ["num_members", "epochs", "batch_size"])
def test_size_that_nobody_means_is_one_line(name):
    with pytest.raises(OneLineError, match=rf"^{name} must be at most [0-9,]+, got 1000000000$"):
        Experiment.from_preset("smoke", **{name: 10**9})


# Verdicts


@FUZZ
@given(st.integers(0, 99), json_values, contents | st.none())
def test_fuzz_records_of_verdicts(tmp_path, position, value, content):
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    result = claims.judge("independent/disagree", claims.Estimate(0.5, 0.4, 0.6, 10, "members"), context)
    path = claims.write_result(result, tmp_path)
    path.write_bytes(mutated(path.read_bytes(), position, value) if content is None else NASTY.get(content, content))
    with one_line(ValueError):
        found = claims.read_results(tmp_path)
        claims.table(found)
        claims.numbers(found)


@pytest.mark.parametrize("value", ["../../x", "a/b", "", "a b", "<script>", "`", "a\n", "é", 3])
def test_names_in_a_record_are_names(value):
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    for name in context:
        with pytest.raises(ValueError, match=r"expected letters, digits, '_', '\.' and '-', received"):
            claims.judge("independent/disagree", claims.Estimate(0, 0, 0, 0, "none"), context | {name: value})


# Data


def fails(name: object) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(str(name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture_folder(root: Path, content: bytes, name: str = "0.png") -> Path:
    """Classes `a` and `b`, of which one has a file with that content."""
    for part in ("train", "test"):
        for kind in "ab":
            (root / part / kind).mkdir(parents=True)
            Image.new("L", (4, 4)).save(root / part / kind / "1.png")
    (root / "train" / "a" / name).write_bytes(content)
    return root


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces so many pixels."""
    content = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zipfile.crc32(bytes(content[12:29])))
    return bytes(content)


@pytest.mark.parametrize("size", [(10_000, 10_000), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize("streamed", [False, True])
def test_image_of_too_many_pixels_is_one_line(tmp_path, size, streamed):
    root = picture_folder(tmp_path / "pictures", bomb(*size))
    if streamed:
        (root / "test").rename(root / "val")
        images = load_dataset(f"imagefolder@8:{root}", workers=0)
        with pytest.raises(DatasetError, match="not an image that can be read") as caught:
            np.asarray(images.train.images), np.asarray(images.val.images)
        assert "exceeds limit" in str(caught.value) or "cannot be read" in str(caught.value)
    else:
        assert "not an image that can be read" in fails(root)


def test_image_files_are_not_opened_by_programs(tmp_path, monkeypatch):
    """PostScript under another name would have Pillow start Ghostscript."""
    postscript = encoded(Image.new("L", (4, 4)), "EPS")
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("a program was started"))
    assert "not an image that can be read" in fails(picture_folder(tmp_path, postscript))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_image_that_is_no_file_is_never_waited_for(tmp_path, make):
    path = picture_folder(tmp_path, b"") / "train" / "a" / "0.png"
    path.unlink()
    make(path)
    assert "it is not a file" in fails(tmp_path)


@pytest.mark.parametrize("streamed", [False, True])
def test_links_in_a_circle_are_not_followed_for_ever(tmp_path, streamed):
    root = picture_folder(tmp_path / "pictures", encoded(Image.new("L", (4, 4)), "PNG"))
    (root / "test").rename(root / ("val" if streamed else "test"))
    for kind, other in ("ab", "ba"):
        for number in range(2):
            (root / "train" / kind / f"link{number}").symlink_to(root / "train" / other)
    assert "a link to a folder that it lies in" in fails(f"imagefolder@8:{root}" if streamed else root)


def test_dataset_that_is_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "data.npz")
    assert "not an .npz file" in fails(tmp_path / "data.npz")


pictures = [
    encoded(Image.effect_noise((4, 4), 90), kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
]


@FUZZ
@given(st.sampled_from(pictures), st.integers(0, 10**6), st.binary(min_size=1, max_size=8), st.booleans())
def test_fuzz_image_files(tmp_path, whole, position, piece, cut):
    position %= len(whole)
    path = tmp_path / "0.png"
    path.write_bytes(whole[:position] if cut else whole[:position] + piece + whole[position + len(piece) :])
    with one_line(DatasetError):
        size, _, image = formats.read_image(path, "RGB")
        assert image.size == size


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple, descr: str = "|u1") -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def test_npz_that_unpacks_to_more_than_the_memory_is_one_line(tmp_path, monkeypatch):
    # 5 MB of zeros, in a machine that has 4 MB.
    monkeypatch.setattr(os, "sysconf", lambda name: 4096 if "SIZE" in name else 1024)
    path = npz(
        tmp_path / "bomb.npz", x_train=header((5, 1000, 1000)) + bytes(5_000_000), x_test=b"", y_train=b"", y_test=b""
    )
    assert path.stat().st_size < 10_000
    assert f"{path}: 0.0 GB when unpacked, and this machine has 0.0 GB of memory" in fails(path)


@pytest.mark.parametrize(
    "content",
    [
        header((2**40, 2**20)),
        header((-1, 4, 4)),
        header((3, 4, 4), "|O"),
        header((3, 4, 4), "<U5") + bytes(960),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        b"\x80\x04\x95pickle",
        b"",
    ],
)
def test_npz_array_that_is_none_is_one_line(tmp_path, content):
    path = npz(tmp_path / "a.npz", x_train=content, y_train=content, x_test=content, y_test=content)
    assert str(path) in fails(path)


def test_npz_with_names_that_lead_elsewhere_is_not_unpacked(tmp_path):
    path = npz(tmp_path / "a.npz", **{"../../x_train": b"x", "/etc/x": b"x"})
    before = snapshot(tmp_path)
    assert "expected the arrays x_train" in fails(path)
    assert snapshot(tmp_path) == before


def test_gzip_that_unpacks_to_too_much_is_one_line(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr(formats, "MAX_UNPACKED", 1000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(DatasetError, match="more than 1,000 bytes when unpacked"):
        formats.read_bytes(tmp_path / "bomb")


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        tar_entry("../escaped"),
        tar_entry("link", tarfile.SYMTYPE, "../../../escaped"),
        tar_entry("link", tarfile.LNKTYPE, "../../../escaped"),
        tar_entry("pipe", tarfile.FIFOTYPE),
        tar_entry("device", tarfile.CHRTYPE),
    ],
    ids=["..", "symlink", "hardlink", "pipe", "device"],
)
def test_archive_that_leads_elsewhere_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, entry):
    def fetch(url: str, folder: Path, md5: str) -> None:
        with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
            archive.addfile(entry)

    monkeypatch.setattr(data, "fetch", fetch)
    root = tmp_path / "deep" / "data"
    root.mkdir(parents=True)
    with pytest.raises(DatasetError, match="the download failed") as caught:
        data._find("cifar10", root)
    assert "\n" not in str(caught.value)
    assert list((root / "cifar-10-batches-bin").iterdir()) == []
    assert not any(path.name == "escaped" and not path.is_relative_to(root) for path in tmp_path.rglob("*"))


def test_archive_with_links_inside_leaves_no_link(tmp_path, monkeypatch):
    def fetch(url: str, folder: Path, md5: str) -> None:
        with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
            for file in data.SOURCES["cifar10"].files:
                archive.addfile(tar_entry(f"cifar/{file}"))
            archive.addfile(tar_entry("cifar/link", tarfile.SYMTYPE, "test_batch.bin"))

    monkeypatch.setattr(data, "fetch", fetch)
    folder = data._find("cifar10", tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(data.SOURCES["cifar10"].files)


@pytest.mark.parametrize("name", ["claims", "x" * 250, "..", ".locks", ".derived", "-rf", "a\nb", "é"])
def test_dataset_s_name_is_one_for_a_folder(name):
    made = formats.folder_name(name, "dataset")
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,105}", made)
    # In a run store these are for verdicts, locks and derived arrays.
    assert made not in ("claims", ".locks", store_module.DERIVED)


def test_class_folders_name_files_safely(tmp_path):
    from lib.data.streaming import write_image_folder

    split = data.Split(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2))
    dataset = data.Dataset("a", split, split, split, ("../../up", "/etc"))
    write_image_folder(dataset, tmp_path / "out", 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out" / "train").iterdir()) == ["000--up", "001--etc"]
