"""Kill, damage and starve a sweep until it is complete: are its results the same as those of an undisturbed sweep?

    python benchmarks/faults.py

An undisturbed sweep of a small page comes first. Then a process that holds all locks is killed, and a file of every run
and all other results are damaged. The same sweep, with two workers, is now killed with -9 again and again, half of the
time at a random moment and half of the time just after a file was written. The victim is a worker, a kernel, or the
sweep with all of its workers; often a second sweep uses the same run store. Files are damaged in between. At last the
sweep runs to its end beside a new one; another sweep reads a store that cannot be written, and one writes to a disk
that is full for a while.

Results are compared bit by bit: all checkpoints, the verdicts as JSON, and `results.csv`.
"""

import hashlib
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import nbformat
import pandas as pd
import typer
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import disturbance
from benchmarks.disturbance import VICTIMS, Sweeping
from benchmarks.report import Report, say
from lib.config import canonical_json
from lib.run.store import RunStore, StoreError

#: The page that is swept: it trains, stores derived arrays and judges claims. The values judged are arbitrary, but
#: depend on everything computed before.
PAGE = (
    """preset: str = "smoke"  # size of everything
dataset: str = None  # None: by preset
architecture: str = None  # None: by preset
num_members: int = None  # None: by preset
epochs: int = None  # None: by preset
seed: int = None  # None: 0
num_images: int = None  # None: all
rank: int = None  # None: by epochs
standardized: bool = True  # directions of the subspaces
runs_dir: str = None  # the run store
results_dir: str = None  # for the verdicts
data_dir: str = None  # of datasets
engine: str = None  # of training
scheduler: str = None  # of training
jobs: int = None  # of training""",
    """import numpy as np
from lib import metrics
from lib.notebook import open_page
page = open_page("trajectories")
runs = page.train()""",
    """labels = metrics.top_labels(page.predict_final(runs))
page.judge("independent/disagree", labels=labels, targets=page.test.labels)""",
    """sampler = page.sampler(runs, "modes")
scales = np.linspace(0.1, 1, 4)
accuracies = np.stack([sampler.samples(run, "random", scales).val_accuracies for run in runs])
page.judge("independent/equidistant", labels=np.round(100 * accuracies).astype(int))""",
)

#: Seconds after which an undisturbed sweep counts as hanging.
PATIENCE = 900


def write_page(path: Path) -> None:
    """Write `PAGE` as a notebook."""
    cells = [nbformat.v4.new_code_cell(source, id=str(number)) for number, source in enumerate(PAGE)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def results(store: Path, output: Path) -> dict[str, str]:
    """Checksums of all results of a sweep, by name; the place and time at which they were made are left out."""
    found = {}
    for run in RunStore(store).runs():
        try:
            run.open()
            for epoch in range(run.config.epochs + 1):
                arrays = run.read_epoch(epoch)
                content = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))
                found[f"checkpoint {run.config.key} {epoch}"] = hashlib.sha256(content).hexdigest()
        except StoreError as error:
            found[f"checkpoints of {run.config.key}"] = str(error)
    for path in sorted((output / "claims").rglob("*.json")):
        cell, *rest = path.relative_to(output / "claims").parts
        record = json.loads(path.read_bytes())
        record.pop("made", None)
        # A cell's key also depends on the folder of the store.
        found[f"verdict {cell.rpartition('-')[0]} {'/'.join(rest)}"] = canonical_json(record)
    table = pd.read_csv(output / "results.csv", dtype=str).drop(columns="cell")
    found["results.csv"] = table.sort_values(list(table.columns)).to_csv(index=False)
    return found


class Soak:
    """The sweeps of one soak test, below one folder.

    Args:
        folder: an empty folder.
        seed: of all random choices.
        grid: of the sweep, without its store.
        gap: mean seconds between kills at random moments.
        deadline: when to stop killing, as `time.monotonic`.
    """

    def __init__(self, folder: Path, seed: int, grid: dict, gap: float, deadline: float):
        self.folder, self.numbers, self.grid = folder, random.Random(seed), grid
        self.gap, self.deadline = gap, deadline
        self.store, self.log, self.page = folder / "runs", folder / "log", folder / "page.ipynb"
        self.kills, self.damages, self.ended = Counter(), Counter(), Counter()
        self.started: list[Sweeping] = []
        self.expected: dict[str, str] = {}
        self.wrong: list[str] = []
        write_page(self.page)

    def sweeping(self, output: str, store: Path | None = None, **changes: object) -> Sweeping:
        """Start a sweep into the folder `output`."""
        grid = self.folder / f"{output}.yaml"
        grid.write_text(yaml.safe_dump(self.grid | changes | {"runs_dir": str(store or self.store)}))
        self.started.append(Sweeping(self.page, grid, self.folder / output, self.log))
        return self.started[-1]

    def end(self) -> None:
        """Kill remaining processes of all sweeps that have ended."""
        for sweep in self.started:
            if not sweep.running():
                sweep.end()

    def undisturbed(self, outputs: dict[str, dict], store: Path | None = None) -> list[int]:
        """Run sweeps to their end, at the same time if there are several; returns their exit codes.

        Args:
            outputs: for each output folder, by name, the changes to the grid.
            store: of all of them.
        """
        with ExitStack() as stack:
            sweeps = [self.sweeping(output, store, **changes) for output, changes in outputs.items()]
            for sweep in sweeps:
                stack.callback(sweep.end)
            end = time.monotonic() + PATIENCE
            while any([sweep.running() for sweep in sweeps]) and time.monotonic() < end:
                time.sleep(0.1)
            return [124 if sweep.running() else sweep.process.returncode for sweep in sweeps]

    def disturb(self, kills: int) -> None:
        """Kill sweeps again and again until there were `kills` kills, and damage files in between."""
        slots: dict[str, Sweeping] = {}
        with ExitStack() as stack:
            while self.kills.total() < kills and time.monotonic() < self.deadline:
                self._begin(slots, stack)
                victim = self.numbers.choice(VICTIMS)
                self._wait(slots, victim)
                running = {name: sweep for name, sweep in slots.items() if sweep.running()}
                for name in set(slots) - set(running):
                    self._ended(name, slots.pop(name), alone=not running and len(slots) == 0)
                if not running:
                    continue
                if running[self.numbers.choice(sorted(running))].kill(victim, self.numbers):
                    self.kills[victim] += 1
                    say(f"kill {self.kills.total()} of {kills}: {victim}")
                    self._damage()

    def _begin(self, slots: dict[str, Sweeping], stack: ExitStack) -> None:
        for name, chance in (("first", 1.0), ("second", 0.25)):
            if name not in slots and self.numbers.random() < chance:
                slots[name] = self.sweeping(name)
                stack.callback(slots[name].end)

    def _wait(self, slots: dict[str, Sweeping], victim: str) -> None:
        """Wait until the next kill of a victim that exists, or until a sweep has ended."""
        after_a_write = self.numbers.random() < 0.5
        folders = [self.store, *(self.folder / name / part for name in slots for part in ("claims", "notebooks"))]
        before = disturbance.last_change(folders)
        # Wait for a write at most as long as it takes for everything to start.
        end = time.monotonic() + (60 if after_a_write else self.numbers.expovariate(1 / self.gap))
        while all([sweep.running() for sweep in slots.values()]):
            if after_a_write and disturbance.last_change(folders) != before:
                time.sleep(self.numbers.expovariate(10))
                end = 0
            if time.monotonic() > end and any(sweep.victims(victim) for sweep in slots.values()):
                return
            time.sleep(0.05)

    def _ended(self, name: str, sweep: Sweeping, alone: bool) -> None:
        """Clean up after a sweep that has ended; if it was complete, delete results so that there is work again."""
        code = sweep.process.returncode
        self.ended["killed" if code < 0 else "complete" if code == 0 else "failed"] += 1
        # Kernels of a killed sweep live on for a moment, and may overlap with those of the next sweep.
        if code >= 0 or self.numbers.random() < 0.5:
            sweep.end()
        if code == 0:
            shutil.rmtree(self.folder / name)
            if alone:
                self.end()
                shutil.rmtree(self.store)

    def _files(self) -> dict[str, list[Path]]:
        return disturbance.files_by_kind(self.store, [self.folder / "first", self.folder / "second"])

    def damage_all(self) -> None:
        """Damage one file of every run, and all files of every other kind, so that nothing is complete."""
        found = self._files()
        kinds = itertools.cycle(("configuration", "checkpoint", "history", "manifest"))
        for run, kind in zip(list(RunStore(self.store).runs()), kinds, strict=False):
            self._damage_one(kind, [path for path in found[kind] if path.parent == run.folder])
        for kind in ("derived arrays", "executed notebook", "verdict"):
            for path in found[kind]:
                self._damage_one(kind, [path])

    def _damage(self) -> None:
        found = self._files()
        if found:
            kind = self.numbers.choice(sorted(found))
            self._damage_one(kind, found[kind])

    def _damage_one(self, kind: str, paths: list[Path]) -> None:
        if how := disturbance.damage(self.numbers.choice(paths), self.numbers):
            self.damages[kind, how] += 1

    def check(self, report: Report, case: str, codes: list[int], output: str, store: Path | None = None) -> None:
        """Report whether sweeps succeeded, and how the results of one differ from those of the undisturbed sweep."""
        report.target(f"{case}: sweeps with failed cells", sum(code != 0 for code in codes), at_most=0)
        found = results(store or self.store, self.folder / output)
        names = sorted(self.expected.keys() | found.keys())
        wrong = [name for name in names if self.expected.get(name) != found.get(name)]
        report.target(f"{case}: results that differ, of {len(self.expected)}", len(wrong), at_most=0)
        self.wrong += wrong


def settle(soak: Soak, report: Report) -> None:
    """After all kills, run two sweeps at the same time: one resumes, one starts from nothing."""
    codes = soak.undisturbed({"first": {}, "third": {}})
    for output, case in (("first", "after all faults"), ("third", "a second sweep at the same time, from nothing")):
        soak.check(report, case, codes, output)


def read_only(soak: Soak, report: Report, mounting: bool) -> None:
    """On a read-only store: results in it are read, missing ones fail, and nothing changes."""
    with disturbance.read_only(soak.store, mounting):
        before = {path: path.stat().st_mtime_ns for path in soak.store.rglob("*")}
        said = soak.log.stat().st_size
        good, bad = soak.undisturbed({"fourth": {}, "fifth": {"seed": [10**6]}})
        soak.check(report, "read-only store", [good], "fourth")
        refused = bad == 1 and "cannot write" in soak.log.read_text()[said:]
        report.target("read-only store: a sweep of what it has not fails with one line", refused, at_least=1)
        changed = before != {path: path.stat().st_mtime_ns for path in soak.store.rglob("*")}
        report.target("read-only store: changed files", changed, at_most=0)


def full_disk(soak: Soak, report: Report, pages: int) -> None:
    """On a disk with room for half of the store, which needs `pages` pages of 4 KiB, and later for all of it."""
    disk = soak.folder / "disk"
    with disturbance.small_disk(disk, 4096 * pages // 2):
        said = soak.log.stat().st_size
        (code,) = soak.undisturbed({"sixth": {}}, disk / "runs")
        refused = code == 1 and "No space left on device" in soak.log.read_text()[said:]
        report.target("full disk: a sweep fails with one line", refused, at_least=1)
        disturbance.enlarge(disk, 4096 * pages * 4 + 2**26)
        codes = soak.undisturbed({"sixth": {}}, disk / "runs")
        soak.check(report, "full disk, enlarged", codes, "sixth", disk / "runs")


def count(soak: Soak, report: Report) -> None:
    """Add a row for every kind of event."""
    for victim in VICTIMS:
        report.add("killed with -9", victim, "times", [soak.kills[victim]])
    for (kind, how), times in sorted(soak.damages.items()):
        report.add(how, kind, "times", [times])
    for how, times in sorted(soak.ended.items()):
        report.add("sweeps meanwhile", how, "times", [times])


def main(
    kills: Annotated[int, typer.Option(help="Number of kills.")] = 100,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    seeds: Annotated[int, typer.Option(help="Seeds: cells per number of epochs.")] = 2,
    epochs: Annotated[list[int], typer.Option(help="Epochs of the members, one number per cell.")] = (4, 6),
    members: Annotated[int, typer.Option(help="Members per cell.")] = 2,
    gap: Annotated[float, typer.Option(help="Mean seconds between kills at random moments.")] = 3.0,
    minutes: Annotated[float, typer.Option(help="Minutes after which the kills stop.")] = 30,
    disks: Annotated[bool, typer.Option(help="Also a read-only store and, as root, a full disk.")] = True,
    output: Annotated[Path | None, typer.Option(help="File of the results; default: results/faults.json.")] = None,
) -> None:
    """Kill, damage and starve a sweep, and compare its results with those of an undisturbed one."""
    # Clean up mounts and processes on SIGTERM as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = {"kills": kills, "seed": seed, "seeds": seeds, "epochs": list(epochs), "members": members, "gap": gap}
    report = Report("faults", "faults", options, 1)
    # This benchmark counts events; no round is repeated.
    report.content["command"] = report.content["command"].removesuffix(" --rounds 1")
    grid = {"preset": "smoke", "num_members": members, "epochs": list(epochs), "seed": list(range(seeds))}
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name).resolve()
        soak = Soak(folder, seed, grid, gap, time.monotonic() + 60 * minutes)
        say("an undisturbed sweep")
        if soak.undisturbed({"first": {}}) != [0]:
            sys.exit(f"the undisturbed sweep failed:\n{soak.log.read_text()}")
        soak.expected = results(soak.store, folder / "first")
        pages = sum(-(-path.stat().st_size // 4096) for path in soak.store.rglob("*") if path.is_file())
        locks = disturbance.leave_locks(soak.store)
        soak.damage_all()
        soak.disturb(kills)
        say("to the end, undisturbed")
        settle(soak, report)
        mounting = disks and disturbance.can_mount()
        if disks:
            say("on a store that cannot be written")
            read_only(soak, report, mounting)
        if mounting:
            say("on a full disk")
            full_disk(soak, report, pages)
        else:
            report.note("No disk was filled, which needs the right to mount one.")
        count(soak, report)
        report.add("left by a dead process", "lock", "times", [locks])
        report.target("kills", soak.kills.total(), at_least=kills)
        if soak.wrong:
            say(soak.log.read_text()[-20_000:])
            say("\n".join(soak.wrong[:40]))
    report.finish(output)
    if not all(target["met"] for target in report.content["targets"]):
        sys.exit("not all results are what they were to be")


if __name__ == "__main__":
    typer.run(main)
