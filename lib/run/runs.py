"""One member on disk: written atomically, locked, checksummed, resumable; independent of any model."""

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
    """Where interrupted training resumes: after `epoch` epochs, with this checkpoint and optimiser state."""

    epoch: int
    checkpoint: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]


class Run:
    """One member's folder: `config.json`, `epoch_NNN.safetensors`, `history.csv`, and finally `manifest.json`.

    During training there is `resume.safetensors` instead of the last two: the optimiser's state after the last finished
    epoch, with that epoch's number, the history and the checksums of all files so far. It is replaced atomically, so
    every file that it lists is complete.
    """

    def __init__(self, folder: Path, config: MemberConfig):
        self.folder = folder
        self.config = config
        self._checksums: dict[str, str] = {}
        self._history: list[dict] = []

    def is_complete(self) -> bool:
        """Whether its manifest, which is written last, exists."""
        return (self.folder / "manifest.json").exists()

    def finished_epochs(self) -> int:
        """The number of epochs with a checkpoint, by file names alone: for progress bars."""
        return max(0, len(list(self.folder.glob("epoch_*.safetensors"))) - 1)

    def lock(self) -> AbstractContextManager[None]:
        """Lock the run; a second process waits. A lock ends with its process, so none is ever left behind."""
        return locked(self.folder)

    def write_epoch(
        self, epoch: int, checkpoint: dict[str, np.ndarray], optimizer: dict[str, np.ndarray], row: dict | None
    ) -> None:
        """Store an epoch's checkpoint, its row of the history, and then the state to resume from."""
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
        """Mark the run as complete, record its environment, and remove the resume state."""
        self._write("history.csv", pd.DataFrame(self._history).to_csv(index=False).encode())
        manifest = {"format": FORMAT, "checksums": self._checksums, "environment": environment, "finished": time.time()}
        manifest["digest"] = sha256(canonical_json(manifest).encode())
        write_atomically(self.folder / "manifest.json", json.dumps(manifest, indent=2, sort_keys=True).encode())
        (self.folder / "resume.safetensors").unlink(missing_ok=True)

    def resume(self) -> ResumePoint | None:
        """The point to resume from, or `None` to start anew. A damaged or half-written run is set aside first."""
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        try:
            return self._read_resume()
        except DamagedRun as damage:
            self._checksums, self._history = {}, []
            self.set_aside(str(damage))
            return None

    def open(self) -> dict[str, str]:
        """Read the manifest of a complete run, and check `config.json`; returns the environment of its training.

        Raises:
            DamagedRun: a file is missing, or is not what was written; the other methods that read raise it too.
        """
        manifest = read_json(self.folder / "manifest.json")
        if not isinstance(manifest, dict) or manifest.pop("digest", None) != sha256(canonical_json(manifest).encode()):
            raise DamagedRun("manifest.json does not match its checksum")
        self._checksums = manifest["checksums"]
        self._read("config.json")
        return manifest.get("environment", {})

    def read_epoch(self, epoch: int) -> dict[str, np.ndarray]:
        """The checkpoint after an epoch (0: the initial weights), verified by its checksum."""
        name = f"epoch_{epoch:03d}.safetensors"
        return read_arrays(self._read(name), name)

    def read_history(self) -> pd.DataFrame:
        """The history, one row per epoch."""
        # Read as text, as pandas parses numbers exactly only with an option that newer versions warn about.
        table = pd.read_csv(io.BytesIO(self._read("history.csv")), dtype=str)
        return table.astype(float).astype({"epoch": int})

    def verify(self) -> None:
        """Verify every file by its checksum, also in an unfinished run; changes nothing."""
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
            raise DamagedRun(f"{name} does not match its checksum")
        return content


# Shared by folders of runs and files of derived arrays.


def file_lock(path: Path) -> FileLock:
    """The lock of a run's folder or a file of derived arrays; it is in another folder, so that they can be deleted."""
    return FileLock(path.parents[2] / ".locks" / f"{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a path; raises `StoreError` if that is impossible."""
    lock = file_lock(path)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if isinstance(lock, SoftFileLock):
            # A process that dies would leave it behind, and others would wait for it forever.
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
    """Rename a damaged file or folder to an unused name ending in `.damaged`, with one warning."""
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
