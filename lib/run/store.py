"""The run store: members on disk, written atomically, locked, checksummed, resumable; it knows no model.

Beside them lie arrays that can be computed again, `RunStore.cached`.
"""

import errno
import io
import json
import os
import re
import shutil
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, SoftFileLock, Timeout
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import save

from lib.config import MemberConfig, canonical_json
from lib.errors import ConfigError
from lib.run.files import (
    FORMAT,
    DamagedRun,
    StoreError,
    newer,
    read_arrays,
    read_file,
    read_json,
    read_metadata,
    read_with_digest,
    sha256,
    write_atomically,
    write_with_digest,
)
from lib.run.provenance import commit

#: What a run's checksums may name.
_FILE = re.compile(r"config\.json|history\.csv|epoch_[0-9]{3,9}\.safetensors")

#: Folder of the derived arrays; no dataset's name begins with a dot.
DERIVED = ".derived"


def default_runs_dir() -> Path:
    """$RUNS_DIR, else `runs` in the checkout that holds this package, else `runs` in the working directory."""
    if folder := os.environ.get("RUNS_DIR"):
        return Path(folder)
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "runs"


@dataclass(frozen=True)
class ResumePoint:
    """Where an interrupted training goes on: after `epoch` epochs, with that checkpoint and optimiser state."""

    epoch: int
    checkpoint: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]


class Run:
    """One member's folder: `config.json`, `epoch_NNN.safetensors`, `history.csv`, and last of all `manifest.json`.

    While it is trained there is `resume.safetensors` instead of the last two: the optimiser's state after the last
    finished epoch, with that epoch's number, the history and the checksums of all files so far. It is replaced in one
    step, so whatever it names is whole.
    """

    def __init__(self, folder: Path, config: MemberConfig):
        self.folder = folder
        self.config = config
        self._checksums: dict[str, str] = {}
        self._history: list[dict] = []

    def is_complete(self) -> bool:
        """Whether its manifest, which is written last, is there."""
        return (self.folder / "manifest.json").exists()

    def finished_epochs(self) -> int:
        """How many epochs have a checkpoint, by file names alone: for progress bars."""
        return max(0, len(list(self.folder.glob("epoch_*.safetensors"))) - 1)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run; a second holder waits. A lock dies with its process, so none is ever left behind.

        Raises:
            StoreError: the store cannot be written.
        """
        with _locked(self.folder):
            yield

    def remove(self) -> bool:
        """Delete the run unless it is being trained at this moment; returns whether it went.

        Raises:
            StoreError: it cannot be deleted.
        """
        return _remove_unless_locked(self.folder)

    def write_epoch(
        self, epoch: int, checkpoint: dict[str, np.ndarray], optimizer: dict[str, np.ndarray], row: dict | None
    ) -> None:
        """Store what an epoch left: its checkpoint, its row of the history, then the state to go on from."""
        if epoch == 0:
            self._write("config.json", json.dumps(asdict(self.config), indent=2, sort_keys=True).encode())
        self._write(f"epoch_{epoch:03d}.safetensors", save(checkpoint))
        if row is not None:
            self._history.append(row)
        state = {name: np.ascontiguousarray(value) for name, value in optimizer.items()}
        metadata = {
            "epoch": str(epoch),
            "checksums": canonical_json(self._checksums),
            "history": json.dumps(self._history),  # in the order of its columns
        }
        write_with_digest(self.folder / "resume.safetensors", state, metadata)

    def finish(self, environment: dict[str, str]) -> None:
        """Declare the run complete, with where it was made; the resume state goes."""
        self._write("history.csv", pd.DataFrame(self._history).to_csv(index=False).encode())
        manifest = {"format": FORMAT, "checksums": self._checksums, "environment": environment, "finished": time.time()}
        manifest["digest"] = sha256(canonical_json(manifest).encode())
        write_atomically(self.folder / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True).encode())
        (self.folder / "resume.safetensors").unlink(missing_ok=True)

    def resume(self) -> ResumePoint | None:
        """The point to go on from, or `None` to begin. What is damaged or half written is set aside first."""
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        if not (self.folder / "resume.safetensors").exists():
            if self.finished_epochs() > 0:
                self.set_aside("its manifest is missing")
            return None
        try:
            return self._read_resume()
        except DamagedRun as damage:
            self._checksums, self._history = {}, []
            self.set_aside(str(damage))
            return None

    def _read_resume(self) -> ResumePoint:
        path = self.folder / "resume.safetensors"
        optimizer, metadata = read_with_digest(path)
        try:
            epoch = int(metadata["epoch"])
            checksums, history = json.loads(metadata["checksums"]), json.loads(metadata["history"])
            if not 0 <= epoch <= self.config.epochs:
                raise ValueError("epoch")
            _check_history(history, epoch)
            self._checksums, self._history = _checked(checksums, epoch + 2), history
        except (KeyError, ValueError, RecursionError) as error:
            raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None
        for name in self._checksums:
            self._read(name)
        return ResumePoint(epoch, self.read_epoch(epoch), optimizer)

    def open(self) -> None:
        """Read the manifest of a complete run, and check it and its `config.json`.

        Raises:
            DamagedRun: it is missing or cannot be read.
            StoreError: it was written by a newer version of this project.
        """
        manifest = _read_manifest(self.folder)
        try:
            # The configuration, the history, and a checkpoint for each epoch and for the first weights.
            self._checksums = _checked(manifest.get("checksums"), self.config.epochs + 3)
        except ValueError as error:
            raise DamagedRun(f"manifest.json cannot be read ({type(error).__name__})") from None
        self._read("config.json")

    def read_environment(self) -> dict[str, str]:
        """Where a complete run was made, as `finish` was told.

        Raises:
            DamagedRun: its manifest cannot be read.
            StoreError: it was written by a newer version of this project.
        """
        environment = _read_manifest(self.folder).get("environment")
        return environment if isinstance(environment, dict) else {}

    def read_epoch(self, epoch: int) -> dict[str, np.ndarray]:
        """The checkpoint after an epoch (0: the first weights), checked against its checksum."""
        name = f"epoch_{epoch:03d}.safetensors"
        return read_arrays(self._read(name), name)

    def read_history(self) -> pd.DataFrame:
        """One row an epoch."""
        # Read as text, as pandas reads numbers exactly only with an option that newer versions warn of.
        content = io.BytesIO(self._read("history.csv"))
        try:
            return pd.read_csv(content, dtype=str).astype(float).astype({"epoch": int})
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise DamagedRun(f"history.csv cannot be read ({type(error).__name__})") from None

    def verify(self) -> None:
        """Compare every file, of an unfinished run too, with its checksum; changes nothing.

        Raises:
            DamagedRun: a file is not what was written.
            StoreError: it was written by a newer version of this project.
        """
        if not self.is_complete():
            try:
                if (self.folder / "resume.safetensors").exists():
                    self._read_resume()
                    return
                if self.finished_epochs() == 0:
                    return
            except DamagedRun:
                # Unless it was finished, by another process, while it was read.
                if not self.is_complete():
                    raise
        self.open()
        for name in self._checksums:
            self._read(name)

    def set_aside(self, reason: str) -> Path:
        """Rename a damaged run's folder to a name ending in `.damaged`, with one warning that says why."""
        return _set_aside(self.folder, "run", reason, "it is trained again")

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.folder / name, content)
        self._checksums[name] = sha256(content)

    def _read(self, name: str) -> bytes:
        content = read_file(self.folder / name)
        if sha256(content) != self._checksums.get(name):
            raise DamagedRun(f"{name} has another checksum")
        return content


class RunStore:
    """All runs below one folder, `<root>/<dataset>/<architecture>/<key>/`, and arrays derived from them.

    Args:
        root: the folder; `default_runs_dir()` when left out. It is made when something is written.

    Attributes:
        commits: of each file of derived arrays that `cached` returned, the commit that computed it; empty if not known.
    """

    def __init__(self, root: str | Path | None = None):
        self.root = (Path(root) if root is not None else default_runs_dir()).expanduser().resolve()
        self.commits: dict[Path, str] = {}

    def run(self, config: MemberConfig) -> Run:
        """The run of a member, whether or not it is there.

        Raises:
            StoreError: a link leads from there to somewhere else.
        """
        return Run(_unlinked(self.root / config.dataset / config.architecture / config.key), config)

    def runs(self) -> Iterator[Run]:
        """Every run that is there, complete or not, in the order of its path; see `unreadable` for the others.

        Links are not followed.

        Raises:
            StoreError: a newer version of this project has written one of them.
        """
        for folder in self._folders():
            _refuse_newer(folder)
            try:
                config = _read_config(folder)
            except DamagedRun:
                continue
            yield Run(folder, config)

    def cached(self, kind: str, recipe: dict, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Arrays that can be computed again: read from `<root>/.derived/<kind>/`, or computed and kept there.

        Of several processes that want the same arrays at once, one computes them and the others wait. A damaged file
        is set aside with one warning, and its arrays are computed again.

        Args:
            kind: what the arrays are; lower-case letters, digits, `-` and `_`.
            recipe: everything that decides the arrays, as JSON values: keys of members, settings, and a version number
                that is raised whenever `compute` would give something else.
            compute: makes the arrays of numbers, by name, from nothing but the recipe.

        Returns:
            The arrays as the file holds them, whether they were computed just now or before.

        Raises:
            ValueError: a `kind` that is no such name, a `recipe` that is not JSON, or arrays that are not numbers.
            StoreError: the store cannot be written; arrays that it has are read nevertheless.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", kind):
            raise ValueError(f"kind must be lower-case letters, digits, - and _, got {kind!r}")
        try:
            content = canonical_json({"kind": kind, "recipe": recipe})
        except (TypeError, ValueError) as error:
            raise ValueError(f"recipe of {kind} must hold JSON values only: {error}") from None
        path = _unlinked(self.root / DERIVED / kind / f"{sha256(content.encode())}.safetensors")
        try:
            if path.exists():
                return self._use_derived(path)
        except DamagedRun:
            pass
        with _locked(path):
            # Again, as another process may have written it while this one waited.
            try:
                if path.exists():
                    return self._use_derived(path)
            except DamagedRun as damage:
                _set_aside(path, "arrays", str(damage), "they are computed again")
            for leftover in path.parent.glob(f".{path.name}.*.tmp"):
                leftover.unlink(missing_ok=True)
            arrays = {name: _storable(value) for name, value in compute().items()}
            try:
                write_with_digest(path, arrays, {"recipe": content, "commit": commit()})
            except (SafetensorError, TypeError):
                got = ", ".join(f"{name} of {array.dtype}" for name, array in arrays.items())
                raise ValueError(f"compute of {kind} must return arrays of numbers by name, got {got}") from None
            return self._use_derived(path)

    def _use_derived(self, path: Path) -> dict[str, np.ndarray]:
        arrays, metadata = _read_derived(path)
        self.commits[path] = metadata.get("commit", "")
        return arrays

    def derived(self) -> list[Path]:
        """Files of arrays that `cached` keeps, in the order of their paths."""
        found = self.root.glob(f"{DERIVED}/*/*.safetensors")
        return sorted(path for path in found if _is_key(path.stem) and _is_unlinked(path))

    def damaged(self) -> list[Path]:
        """Folders of runs, and files of derived arrays, that were set aside."""
        return sorted(filter(_is_unlinked, self.root.glob("*/*/*.damaged")))

    def unreadable(self) -> list[Path]:
        """Folders named like a run whose `config.json` is missing, or not of that name; `runs` leaves them out."""
        known = {run.folder for run in self.runs()}
        return [folder for folder in self._folders() if folder not in known]

    def verify(self) -> dict[Path, str]:
        """What is wrong with which run, or file of `derived`: nothing where all are whole; changes nothing."""
        problems = dict.fromkeys(self.unreadable(), "config.json is missing or cannot be read")
        for run in self.runs():
            try:
                run.verify()
            except StoreError as error:
                problems[run.folder] = str(error)
        for path in self.derived():
            try:
                _read_derived(path)
            except DamagedRun as damage:
                # Unless another process removed it, or set it aside, in between.
                if path.exists():
                    problems[path] = str(damage)
        return problems

    def _folders(self) -> list[Path]:
        found = self.root.glob("*/*/*")
        return sorted(path for path in found if _is_key(path.name) and _is_unlinked(path) and path.is_dir())

    def remove_leftover(self, path: Path) -> bool:
        """Delete what `damaged`, `unreadable` or `derived` names, unless it is in use; returns whether it went.

        Raises:
            StoreError: it cannot be deleted.
        """
        return _remove_unless_locked(path)


def _is_key(name: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", name) is not None


def _is_unlinked(path: Path) -> bool:
    return os.path.realpath(path) == str(path)


def _unlinked(path: Path) -> Path:
    """The path, if no link below the store's root leads from there to somewhere else; raises `StoreError`."""
    if not _is_unlinked(path):
        raise StoreError(f"{path} is behind a link, and the run store follows none below its root; remove the link")
    return path


def _read_manifest(folder: Path) -> dict[str, Any]:
    """The content of a manifest, without its digest, which is computed in the same way in every layout.

    Raises:
        DamagedRun: it is missing or not what was written.
        StoreError: it was written by a newer version of this project.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise DamagedRun("manifest.json is missing")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        raise DamagedRun("manifest.json cannot be read (it has no format)")
    digest = manifest.pop("digest", None)
    if digest != sha256(canonical_json(manifest).encode()):
        raise DamagedRun("manifest.json has another checksum")
    if manifest["format"] != FORMAT:
        raise newer(folder, manifest["format"])
    return manifest


def _checked(checksums: Any, count: int) -> dict[str, str]:
    """So many checksums by names of files of a run; raises `ValueError` for anything else."""
    if not isinstance(checksums, dict) or len(checksums) != count:
        raise ValueError("checksums")
    for name, checksum in checksums.items():
        if not (_FILE.fullmatch(name) and isinstance(checksum, str) and _is_key(checksum)):
            raise ValueError("checksums")
    return checksums


def _check_history(history: Any, epochs: int) -> None:
    """Raise `ValueError` for what is not a row of numbers by name for each epoch."""
    if not isinstance(history, list) or len(history) != epochs:
        raise ValueError("history")
    for row in history:
        if not isinstance(row, dict) or not all(type(cell) in (int, float) for cell in row.values()):
            raise ValueError("history")


def _read_config(folder: Path) -> MemberConfig:
    """The configuration that a run's folder is named after; raises `DamagedRun` where there is none."""
    content = read_json(folder / "config.json")
    try:
        config = MemberConfig.from_json(content)
    except ConfigError as error:
        raise DamagedRun(f"config.json cannot be read ({error})") from None
    if folder.parts[-3:] != (config.dataset, config.architecture, config.key):
        raise DamagedRun("config.json is that of another run")
    return config


def _refuse_newer(folder: Path) -> None:
    """Raise `StoreError` for a run, complete or not, that a newer version of this project has written."""
    try:
        said = _said_of_config(folder)
        content = read_json(folder / "config.json")
    except DamagedRun:
        return
    unknown_fields = MemberConfig.unknown_fields(content)
    # Unless it is a known field whose name was damaged.
    if unknown_fields and said in (None, sha256(read_file(folder / "config.json"))):
        names = ", ".join(map(repr, unknown_fields))
        raise StoreError(f"{folder} has settings that this version does not know, {names}; update the project")


def _said_of_config(folder: Path) -> str | None:
    """The checksum of `config.json` by the manifest or, of an unfinished run, by its resume state.

    None where there is neither, or not in this layout. Raises `StoreError` for a newer one.
    """
    resume = folder / "resume.safetensors"
    try:
        if (folder / "manifest.json").exists():
            checksums = _read_manifest(folder).get("checksums")
        else:
            metadata = read_metadata(resume)
            # The arrays, which may be large, are read for their checksum only where it matters.
            if metadata.get("format", str(FORMAT)) != str(FORMAT):
                read_with_digest(resume)
            checksums = json.loads(metadata["checksums"])
        return checksums["config.json"]
    except (DamagedRun, ValueError, KeyError, TypeError, RecursionError):
        return None


def _storable(value: ArrayLike) -> np.ndarray:
    """The array in the order of memory and bytes that a file has: safetensors writes memory as it is."""
    array = np.asarray(value)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _read_derived(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a file that `RunStore.cached` wrote under this name; raises `DamagedRun` for any other."""
    arrays, metadata = read_with_digest(path)
    if sha256(metadata.get("recipe", "").encode()) != path.stem:
        raise DamagedRun(f"{path.name} has another recipe")
    return arrays, metadata


def _lock_path(path: Path) -> Path:
    return path.parents[2] / ".locks" / f"{path.name}.lock"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run's folder, or of a file of derived arrays; raises `StoreError`."""
    lock = _unlinked(_lock_path(path))
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire()
        if isinstance(held, SoftFileLock):
            # What it is then would be left behind by a process that dies, and waited for for ever.
            held.release()
            raise OSError(errno.ENOSYS, "its file system has no flock")
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {lock}: {reason}; choose another folder") from None
    try:
        yield
    finally:
        held.release()


def _set_aside(path: Path, what: str, reason: str, remedy: str) -> Path:
    """Rename what is damaged to a name ending in `.damaged` that is free, with one warning."""
    target = path.with_name(f"{path.name}.damaged")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}.damaged")
    try:
        path.rename(target)
    except OSError as error:
        raise StoreError(f"{path} is damaged ({reason}) and cannot be moved: {error.strerror}") from None
    warnings.warn(f"damaged {what} set aside as {target} ({reason}); {remedy}", stacklevel=3)
    return target


def _remove_unless_locked(path: Path) -> bool:
    try:
        # The lock's file stays: deleting it would let two later holders lock two different files.
        with FileLock(_unlinked(_lock_path(_unlinked(path))), blocking=False):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        raise StoreError(f"cannot remove {path}: {getattr(error, 'strerror', None) or error}") from None
    return True


def last_written(folder: Path) -> float:
    """When a file, or the last one below a folder, was written, in seconds since the epoch."""
    return max((found.st_mtime for found in _below(folder)), default=0.0)


def folder_size(folder: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(found.st_size for found in _below(folder) if stat.S_ISREG(found.st_mode))


def _below(folder: Path) -> Iterator[os.stat_result]:
    """A path and all below it, links themselves and not what they lead to."""
    for path in [folder, *folder.rglob("*")]:
        try:
            yield path.lstat()
        except OSError:  # gone meanwhile, as the store may be in use
            continue
