"""One member on disk: written atomically, locked, checksummed, resumable; it knows no model."""

import errno
import io
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock, SoftFileLock
from safetensors.numpy import save

from lib.config import MemberConfig, canonical_json
from lib.run.files import (
    FORMAT,
    DamagedRun,
    StoreError,
    read_arrays,
    read_file,
    read_json,
    read_with_digest,
    sha256,
    write_atomically,
    write_with_digest,
)


class ResumePoint(NamedTuple):
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

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run; a second holder waits. A lock dies with its process, so none is ever left behind."""
        return locked(self.folder)

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
        try:
            return self._read_resume()
        except DamagedRun as damage:
            self._checksums, self._history = {}, []
            self.set_aside(str(damage))
            return None

    def open(self) -> dict[str, str]:
        """Read the manifest of a complete run, and check `config.json`; returns where the run was made.

        Raises:
            DamagedRun: a file is missing, or is not what was written; so do the other methods that read.
        """
        manifest = read_json(self.folder / "manifest.json")
        if not isinstance(manifest, dict) or manifest.pop("digest", None) != sha256(canonical_json(manifest).encode()):
            raise DamagedRun("manifest.json has another checksum")
        self._checksums = manifest["checksums"]
        self._read("config.json")
        return manifest.get("environment", {})

    def read_epoch(self, epoch: int) -> dict[str, np.ndarray]:
        """The checkpoint after an epoch (0: the first weights), checked against its checksum."""
        name = f"epoch_{epoch:03d}.safetensors"
        return read_arrays(self._read(name), name)

    def read_history(self) -> pd.DataFrame:
        """One row an epoch."""
        # Read as text, as pandas reads numbers exactly only with an option that newer versions warn of.
        table = pd.read_csv(io.BytesIO(self._read("history.csv")), dtype=str)
        return table.astype(float).astype({"epoch": int})

    def verify(self) -> None:
        """Compare every file, of an unfinished run too, with its checksum; changes nothing."""
        if self.is_complete():
            self.open()
            for name in self._checksums:
                self._read(name)
        else:
            self._read_resume()

    def set_aside(self, reason: str) -> Path:
        """Rename a damaged run's folder to a name ending in `.damaged`, with one warning that says why."""
        return set_aside(self.folder, "run", reason, "it is trained again")

    def _read_resume(self) -> ResumePoint | None:
        path = self.folder / "resume.safetensors"
        if not path.exists():
            if self.finished_epochs() > 0:
                raise DamagedRun("manifest.json is missing")
            return None
        optimizer, metadata = read_with_digest(path)
        self._checksums, self._history = json.loads(metadata["checksums"]), json.loads(metadata["history"])
        for name in self._checksums:
            self._read(name)
        epoch = int(metadata["epoch"])
        return ResumePoint(epoch, self.read_epoch(epoch), optimizer)

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.folder / name, content)
        self._checksums[name] = sha256(content)

    def _read(self, name: str) -> bytes:
        content = read_file(self.folder / name)
        if sha256(content) != self._checksums.get(name):
            raise DamagedRun(f"{name} has another checksum")
        return content


# What holds for the folder of a run, and for a file of derived arrays.


def file_lock(path: Path) -> FileLock:
    """The lock of a run's folder, or of a file of derived arrays; it lies beside them, so that they can be deleted."""
    return FileLock(path.parents[2] / ".locks" / f"{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold that lock; raises `StoreError`."""
    lock = file_lock(path)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if isinstance(lock, SoftFileLock):
            # It would be left behind by a process that dies, and waited for for ever.
            lock.release()
            raise OSError(errno.ENOSYS, "its file system has no flock")
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {lock.lock_file}: {reason}; choose another folder") from None
    try:
        yield
    finally:
        lock.release()


def set_aside(path: Path, what: str, reason: str, remedy: str) -> Path:
    """Rename what is damaged to a name ending in `.damaged` that is free, with one warning."""
    target, number = path.with_name(f"{path.name}.damaged"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}.damaged")
    try:
        path.rename(target)
    except OSError as error:
        raise StoreError(f"{path} is damaged ({reason}) and cannot be moved: {error.strerror}") from None
    warnings.warn(f"damaged {what} set aside as {target} ({reason}); {remedy}", stacklevel=3)
    return target
