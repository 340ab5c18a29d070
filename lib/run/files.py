"""Files that may have been anybody's: written whole or not at all, and read only if they are what they say."""

import errno
import hashlib
import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from lib.config import canonical_json
from lib.errors import OneLineError

#: Layout of the run store's files; what a newer layout has written is refused.
FORMAT = 1

#: Bytes of the largest JSON file that is read; a manifest has a hundred bytes an epoch.
MAX_JSON = 2**26

#: What the reader of safetensors raises for a file that is none, or holds a type of number that NumPy has not.
_UNREADABLE = (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError, MemoryError)


class StoreError(OneLineError):
    """The store cannot be used as asked; the message is one line."""


class DamagedRun(StoreError):
    """A file of the store is not what was written."""


def newer(path: Path, version: object) -> StoreError:
    """The error for what another layout has written."""
    return StoreError(f"{path} has store format {version!s:.20}, this version reads {FORMAT}; update the project")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, sees the old content or the new one, never a mixture.

    Raises:
        StoreError: it cannot be written; one line with the reason.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # with the permissions of any new file, as others may share the store
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        hint = "free some space there or choose" if error.errno == errno.ENOSPC else "choose"
        reason = error.strerror or error
        raise StoreError(f"cannot write {path}: {reason}; {hint} another folder (what was finished is kept)") from None


def read_file(path: Path, limit: float = float("inf")) -> bytes:
    """The content of a file that is a file: reading a pipe would wait for ever, and a link leads elsewhere.

    Raises:
        DamagedRun: it is no regular file, has more than `limit` bytes, or cannot be read.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise DamagedRun(f"{path.name} is not a regular file")
        if found.st_size > limit:
            raise DamagedRun(f"{path.name} is larger than {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DamagedRun(f"{path.name} cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds, as far as `canonical_json` can write it again; raises `DamagedRun` for any other."""
    content = read_file(path, MAX_JSON)
    try:
        value = json.loads(content)
        canonical_json(value)
        return value
    except (ValueError, RecursionError) as error:
        raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None


def sha256(content: bytes) -> str:
    """The checksum of a file's content, in hex."""
    return hashlib.sha256(content).hexdigest()


def read_arrays(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file of that name; raises `DamagedRun` for any other file."""
    try:
        return load(content)
    except _UNREADABLE as error:
        raise DamagedRun(f"{name} cannot be read ({type(error).__name__})") from None


def _digest(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    """Checksum of everything that a safetensors file holds, its own digest left out; the same in every layout."""
    digest = hashlib.sha256(canonical_json({**metadata, "digest": ""}).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def write_with_digest(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write contiguous arrays and their metadata as one safetensors file that holds its own checksum."""
    metadata = metadata | {"format": str(FORMAT)}
    write_atomically(path, save(tensors, metadata | {"digest": _digest(tensors, metadata)}))


def read_with_digest(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and metadata that `write_with_digest` wrote.

    Raises:
        DamagedRun: it is any other file.
        StoreError: a newer version of this project wrote it.
    """
    metadata = read_metadata(path)
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _UNREADABLE as error:
        raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None
    if metadata.get("digest") != _digest(tensors, metadata):
        raise DamagedRun(f"{path.name} has another checksum")
    # Files of the first versions do not say their layout, which is the first.
    version = metadata.get("format", "1")
    if version != str(FORMAT):
        raise newer(path, version) if version.isdecimal() else DamagedRun(f"{path.name} has no format")
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, whose checksum is not looked at; raises `DamagedRun` for any other file."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise DamagedRun(f"{path.name} is not a regular file")
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except _UNREADABLE as error:
        raise DamagedRun(f"{path.name} cannot be read ({type(error).__name__})") from None
