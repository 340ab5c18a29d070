"""Disturbances of a sweep for `faults.py`: kills, damaged files, a dead process that held locks, full disks.

Signals go only to processes started here and their children; mounts and folders are removed at the end.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from lib.run.store import DERIVED

ROOT = Path(__file__).resolve().parents[1]

#: What can be killed. A sweep dies with its workers; its kernels may live on for a moment, as after a real crash.
VICTIMS = ("worker", "kernel", "sweep")


class Sweeping:
    """One `python -m lib sweep` in a process group of its own.

    Args:
        notebook, grid, output: arguments of the sweep.
        log: the file to which its output is appended.
    """

    def __init__(self, notebook: Path, grid: Path, output: Path, log: Path):
        # Name the engine, as a single cell would otherwise be executed without a worker.
        options = ["--output", output, "--engine", "loky", "--jobs", "2"]
        command = [sys.executable, "-m", "lib", "sweep", notebook, grid, *options]
        # Temporary files of killed processes are deleted with the soak's own folder.
        temporary = log.with_name("temporary")
        temporary.mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                list(map(str, command)),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.seen: dict[int, psutil.Process] = {}

    def running(self) -> bool:
        """Whether it is still running; also records its child processes."""
        for child in self._children():
            self.seen[child.pid] = child
        return self.process.poll() is None

    def victims(self, victim: str) -> list[psutil.Process]:
        """Its processes of one kind of `VICTIMS`."""
        if victim == "sweep":
            return [psutil.Process(self.process.pid)] if self.process.poll() is None else []
        return [child for child in self._children() if _kind(child) == victim]

    def kill(self, victim: str, numbers: random.Random) -> bool:
        """Kill one of `VICTIMS` with -9; returns False if there is none at the moment."""
        if not self.running():
            return False
        if victim == "sweep":
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return True
        found = self.victims(victim)
        with suppress(psutil.NoSuchProcess):
            if found:
                numbers.choice(found).kill()
                return True
        return False

    def end(self) -> None:
        """Kill all of its processes that are left."""
        self.running()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for child in self.seen.values():
            with suppress(psutil.NoSuchProcess):
                child.kill()  # psutil checks that the id was not reused by another process
        psutil.wait_procs(self.seen.values(), timeout=10)

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _kind(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    if "ipykernel" in command:
        return "kernel"
    return "worker" if "loky" in command and "resource_tracker" not in command else ""


# Files


def files_by_kind(store: Path, outputs: list[Path]) -> dict[str, list[Path]]:
    """The files that a sweep reads again, by kind."""
    found = {
        "configuration": store.glob("*/*/*/config.json"),
        "checkpoint": store.glob("*/*/*/epoch_*.safetensors"),
        "history": store.glob("*/*/*/history.csv"),
        "manifest": store.glob("*/*/*/manifest.json"),
        "resume state": store.glob("*/*/*/resume.safetensors"),
        "derived arrays": store.glob(f"{DERIVED}/*/*.safetensors"),
        "executed notebook": (path for output in outputs for path in output.glob("notebooks/*.ipynb")),
        "verdict": (path for output in outputs for path in output.glob("claims/**/*.json")),
    }
    kept = {kind: sorted(path for path in paths if ".damaged" not in str(path)) for kind, paths in found.items()}
    return {kind: paths for kind, paths in kept.items() if paths}


def damage(path: Path, numbers: random.Random) -> str | None:
    """Flip one bit of a file, or truncate it; returns which, or None if the file is missing or empty."""
    try:
        content = bytearray(path.read_bytes())
        if not content:
            return None
        if numbers.random() < 0.5:
            os.truncate(path, numbers.randrange(len(content)))
            return "truncation"
        content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
        with path.open("r+b") as file:
            file.write(content)
        return "byte flip"
    except OSError:
        return None


def last_change(folders: list[Path]) -> float:
    """When an entry at any depth of the folders was last created, renamed or removed; 0 if there are no folders."""
    times = [0.0]
    for folder in folders:
        for below, _, _ in os.walk(folder):
            with suppress(OSError):
                times.append(os.stat(below).st_mtime)
    return max(times)


def leave_locks(store: Path) -> int:
    """Start a process that holds the locks of all runs of a store, and kill it; returns how many it held."""
    script = """
import sys
from contextlib import ExitStack
from lib.run.store import RunStore
with ExitStack() as stack:
    print(len([stack.enter_context(run.lock()) for run in RunStore(sys.argv[1]).runs()]), flush=True)
    sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(store)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        return int(holder.stdout.readline() or 0)
    finally:
        holder.kill()
        holder.communicate()


# Disks


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True).returncode == 0
    except OSError:
        return False


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system in memory of `size` bytes, mounted at a new folder."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        _unmount(folder)


def enlarge(folder: Path, size: int) -> None:
    """Give a `small_disk` a new size of `size` bytes."""
    _mount("-o", f"remount,size={size}", folder)


@contextmanager
def read_only(folder: Path, mounting: bool) -> Iterator[None]:
    """Make everything below a folder read-only: by a mount, or for users other than root by permissions."""
    if mounting:
        _mount("--bind", folder, folder)
        try:
            _mount("-o", "remount,bind,ro", folder)
            yield
        finally:
            _unmount(folder)
        return
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


def _unmount(folder: Path) -> None:
    # A process that still has a file open there is about to end.
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], capture_output=True).returncode == 0:
            return
        time.sleep(0.2)
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
