"""The run store: all members below one folder, and a cache of derived arrays, `RunStore.cached`."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
from filelock import Timeout

from lib.config import MemberConfig, canonical_json
from lib.run.files import DamagedRun, StoreError, local_path, read_json, read_with_digest, sha256, write_with_digest
from lib.run.provenance import commit
from lib.run.runs import Run, file_lock, locked, set_aside

#: Folders of derived arrays and of verdicts; no dataset may have one of these names, see `lib.data.formats`.
DERIVED, CLAIMS = ".derived", "claims"

#: Pattern of the keys that name runs and files of derived arrays.
_KEY = "[0-9a-f]" * 64


def default_runs_dir() -> Path:
    """$RUNS_DIR, else `runs` in the checkout that holds this package, else `runs` in the working directory."""
    if folder := os.environ.get("RUNS_DIR"):
        return Path(folder)
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / "runs"


class RunStore:
    """All runs below one folder, `<root>/<dataset>/<architecture>/<key>/`, and arrays derived from them.

    The folder is `default_runs_dir()` by default, and is created when something is written. `commits` maps each file of
    derived arrays that `cached` returned to the commit that computed it, empty if unknown.
    """

    def __init__(self, root: str | Path | None = None):
        self.root = local_path(root if root is not None else default_runs_dir(), "runs_dir")
        self.commits: dict[Path, str] = {}

    def run(self, config: MemberConfig) -> Run:
        """The run of a member, whether or not it exists."""
        return Run(self.root / config.dataset / config.architecture / config.key, config)

    def runs(self) -> Iterator[Run]:
        """Every existing run, complete or not, ordered by path; see `unreadable` for the others."""
        for folder in self._folders():
            if (config := _read_config(folder)) is not None:
                yield Run(folder, config)

    def unreadable(self) -> list[Path]:
        """Folders named like a run whose `config.json` is missing or does not match the name; `runs` omits them."""
        return [folder for folder in self._folders() if _read_config(folder) is None]

    def damaged(self) -> list[Path]:
        """Folders of runs, and files of derived arrays, that were set aside."""
        return sorted(self.root.glob("*/*/*.damaged"))

    def derived(self) -> list[Path]:
        """Files of arrays that `cached` keeps, ordered by path."""
        return sorted(self.root.glob(f"{DERIVED}/*/{_KEY}.safetensors"))

    def verify(self) -> dict[Path, str]:
        """Problems by path, of runs and files of `derived`; empty if all are intact. Changes nothing."""
        problems = dict.fromkeys(self.unreadable(), "config.json is missing or cannot be read")
        checks = {run.folder: run.verify for run in self.runs()}
        checks |= {path: partial(_read_derived, path) for path in self.derived()}
        for path, check in checks.items():
            try:
                check()
            except DamagedRun as error:
                problems[path] = str(error)
        return problems

    def remove(self, path: Path) -> bool:
        """Delete a run's folder, or a path of `damaged`, `unreadable` or `derived`; returns whether it was deleted.

        Anything in use, such as a run in training, is kept. Raises `StoreError` if it cannot be deleted.
        """
        try:
            # The lock's file stays: deleting it would let two later holders lock two different files.
            with file_lock(path).acquire(blocking=False):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise StoreError(f"cannot remove {path}: {getattr(error, 'strerror', None) or error}") from None
        return True

    def cached(self, kind: str, recipe: dict, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return derived arrays, read from `<root>/.derived/<kind>/`, or computed and stored there.

        If several processes need the same arrays at once, one computes them and the others wait. A damaged file is set
        aside with one warning, and its arrays are computed again.

        Args:
            kind: what the arrays are; lower-case letters, digits, `-` and `_`.
            recipe: everything that determines the arrays, as JSON values: keys of members, settings, and a version
                number that is increased whenever `compute` would give something else.
            compute: returns numeric arrays, by name, that depend on nothing but the recipe.

        Raises:
            StoreError: the store cannot be written to; arrays that it already has are still read.
        """
        content = canonical_json({"kind": kind, "recipe": recipe})
        path = self.root / DERIVED / kind / f"{sha256(content.encode())}.safetensors"
        with suppress(DamagedRun):  # or missing
            return self._use_derived(path)
        with locked(path):
            # Check again, as another process may have written it while this one waited.
            if path.exists():
                try:
                    return self._use_derived(path)
                except DamagedRun as damage:
                    set_aside(path, "arrays", str(damage), "they are computed again")
            for leftover in path.parent.glob(f".{path.name}.*.tmp"):
                leftover.unlink(missing_ok=True)
            # In C order: safetensors writes memory as it is.
            arrays = {name: np.asarray(value, order="C") for name, value in compute().items()}
            write_with_digest(path, arrays, {"recipe": content, "commit": commit()})
            return self._use_derived(path)

    def _use_derived(self, path: Path) -> dict[str, np.ndarray]:
        arrays, metadata = _read_derived(path)
        self.commits[path] = metadata.get("commit", "")
        return arrays

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.root.glob(f"*/*/{_KEY}") if path.is_dir())


def _read_config(folder: Path) -> MemberConfig | None:
    """The configuration in a run's folder, or `None` if there is none or it does not match the folder's name."""
    try:
        content = read_json(folder / "config.json")
        config = MemberConfig(**content)
    except DamagedRun:
        return None
    except TypeError:
        # Runs of a newer version must not be mistaken for leftovers that can be removed.
        known = {field.name for field in fields(MemberConfig)}
        if isinstance(content, dict) and known < set(content):
            unknown = ", ".join(sorted(set(content) - known))
            message = f"{folder} has settings that this version does not know, {unknown}; update the project"
            raise StoreError(message) from None
        return None
    return config if folder.parts[-3:] == (config.dataset, config.architecture, config.key) else None


def _read_derived(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata of a file that `RunStore.cached` wrote under this name; raises `DamagedRun` for any other."""
    arrays, metadata = read_with_digest(path)
    if sha256(metadata.get("recipe", "").encode()) != path.stem:
        raise DamagedRun(f"{path.name} does not match its recipe")
    return arrays, metadata


def last_written(folder: Path) -> float:
    """Time of the last write to a file, or to any file below a folder, in seconds since the epoch."""
    return max((found.st_mtime for found in _below(folder)), default=0.0)


def folder_size(folder: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(found.st_size for found in _below(folder))


def _below(folder: Path) -> Iterator[os.stat_result]:
    for path in [folder, *folder.rglob("*")]:
        with suppress(OSError):  # deleted meanwhile, as the store may be in use
            if path.is_file():
                yield path.stat()
