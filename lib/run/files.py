"""Files that are written atomically, and checked for damage when they are read."""

import hashlib
import json
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from lib.config import canonical_json
from lib.errors import ConfigError, OneLineError

#: Version of the layout of the run store's files.
FORMAT = 1

#: What the safetensors reader raises for any other file, or for a number type that NumPy lacks.
_UNREADABLE = (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError)


class StoreError(OneLineError):
    """The store cannot be used as requested; the message is one line."""


class DamagedRun(StoreError):
    """A file of the store is not what was written."""


def local_path(path: str | Path, name: str) -> Path:
    """The absolute path of a file or folder given by the setting `name`; `~` is the user's home.

    Raises `ConfigError` for an unknown home or an address: `s3://bucket` would make a folder `s3:`.
    """
    if re.match(r"[\w+.-]{2,}:/", str(path)):
        raise ConfigError(f"{name} must be a path on this machine, got the address {path}")
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError:
        raise ConfigError(f"{name} must be a path on this machine, got {path}, whose home folder is unknown") from None


def check_writable(folder: Path, name: str) -> None:
    """Raise `ConfigError` if a folder cannot be written to or created; nothing is written."""
    there = next(one for one in (folder, *folder.parents) if os.path.exists(one))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{name} must be a writable folder, got {folder}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically: readers see the old or the new content, never a mixture, even after a crash."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # with default permissions, as others may share the store
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        reason = error.strerror or error
        raise StoreError(f"cannot write {path}: {reason}; choose another folder (finished work is kept)") from None


def read_file(path: Path) -> bytes:
    """The content of a file; raises `DamagedRun` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedRun(f"{path.name} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises `DamagedRun` for any other file."""
    try:
        return json.loads(read_file(path))
    except ValueError as error:
        raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None


def appears(path: Path | str, within: float) -> bool:
    """Whether a file exists or appears within `within` seconds: on a network, other machines may see it late."""
    path, deadline = Path(path), time.monotonic() + within
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
        if path.parent.is_dir():
            os.listdir(path.parent)  # makes a network file system look again
    return True


def sha256(content: bytes) -> str:
    """The checksum of a file's content, in hex."""
    return hashlib.sha256(content).hexdigest()


def array_digest(array: np.ndarray) -> str:
    """The checksum of an array's bytes, in hex."""
    return sha256(np.ascontiguousarray(array))


def read_arrays(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays in the `content` of the safetensors file `name`; raises `DamagedRun` for any other file."""
    try:
        return load(content)
    except _UNREADABLE as error:
        raise DamagedRun(f"{name} cannot be read ({type(error).__name__})") from None


def write_with_digest(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write contiguous arrays and their metadata as one safetensors file that holds its own checksum."""
    metadata = metadata | {"format": str(FORMAT)}
    write_atomically(path, save(tensors, metadata | {"digest": _digest(tensors, metadata)}))


def read_with_digest(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and metadata that `write_with_digest` wrote; raises `DamagedRun` for any other file."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _UNREADABLE as error:
        raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None
    if metadata.get("digest") != _digest(tensors, metadata):
        raise DamagedRun(f"{path.name} does not match its checksum")
    return tensors, metadata


def _digest(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    """Checksum of everything in a safetensors file except the digest itself."""
    digest = hashlib.sha256(canonical_json({**metadata, "digest": ""}).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
