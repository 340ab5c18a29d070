"""What a sweep would train and how long that would take, with nothing executed.

Sweep, RunStore → forecast → table and summary
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from lib.config import Experiment
from lib.data.datasets import SOURCES, Dataset, default_data_root, load_dataset, locate
from lib.errors import ConfigError
from lib.run.engines import usable_cores
from lib.run.store import Run, StoreError
from lib.sweep.plan import Cell, Sweep, duration
from lib.training.cost import Plan, training_rate

#: Runs of the store that say how long an epoch takes.
RUNS_ASKED = 20

#: Images of more pixels than this a side are measured in steps of a few: a step of many would take minutes.
SMALL_SIDE = 64


@dataclass(frozen=True)
class Need:
    """The members of one experiment that the store does not have.

    Attributes:
        experiment: whose they are.
        dataset: its data, `None` where they are not on this machine.
        missing: their runs by key; of members whose data are not here the number is all that is known.
    """

    experiment: Experiment
    dataset: Dataset | None
    missing: dict[str, Run] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many they are."""
        return self.experiment.num_members if self.dataset is None else len(self.missing)

    def epochs(self, already: set[str]) -> int:
        """Epochs that are left to train, without the members in `already`."""
        if self.dataset is None:
            return self.experiment.num_members * self.experiment.epochs
        left = [run.config.epochs - run.finished_epochs() for key, run in self.missing.items() if key not in already]
        return sum(left)


class Forecast:
    """Which cells would be executed, what they would train, and for how long.

    Args:
        sweep: of `lib.sweep.plan.plan`.
    """

    def __init__(self, sweep: Sweep):
        self.sweep, self.store = sweep, sweep.store
        self.counted = sweep.source.trains_its_experiments()
        self.todo = [cell for cell in sweep.cells if sweep.results(cell) is None]
        jobs = 1 if sweep.options.get("engine") == "sequential" else sweep.options.get("jobs") or usable_cores()
        self.jobs = max(1, min(jobs, len(self.todo)))
        self.needs = {cell.name: list(self._needs(cell)) if self.counted else [] for cell in self.todo}
        self.members, self.sources = 0, {}
        self.seconds = {cell.name: 0.0 for cell in self.todo}
        already: set[str] = set()
        for cell in self.todo:
            for need in self.needs[cell.name]:
                self.members += len(need.missing.keys() - already) if need.dataset else need.count
                epochs = need.epochs(already)
                self.seconds[cell.name] += epochs * self._epoch(need) if epochs else 0.0
                already |= need.missing.keys()

    def _needs(self, cell: Cell) -> Iterator[Need]:
        for experiment in cell.experiments:
            root = Path(cell.given.get("data_dir") or default_data_root()).expanduser()
            if experiment.dataset in SOURCES and not locate(experiment.dataset, root):
                yield Need(experiment, None)
                continue
            dataset = load_dataset(experiment.dataset, root, experiment.validation_size)
            runs = map(self.store.run, experiment.members(dataset.name, dataset.content_hash))
            yield Need(experiment, dataset, {run.config.key: run for run in runs if not run.is_complete()})

    def _epoch(self, need: Need) -> float:
        """Seconds of one epoch of one member: nan where nothing tells; `sources` says how it is known."""
        name = f"{need.experiment.architecture} on {need.dataset.name if need.dataset else need.experiment.dataset}"
        if name not in self.sources:
            known = list(islice(self._histories(need), RUNS_ASKED)) if need.dataset else []
            if known:
                self.sources[name] = float(np.median(known)), f"as in {len(known)} runs of the store"
            else:
                self.sources[name] = _measured(need), "measured here"
        return self.sources[name][0]

    def _histories(self, need: Need) -> Iterator[float]:
        """Mean seconds an epoch of each complete run on the same data with the same network."""
        for run in self.store.runs():
            same = (run.config.dataset, run.config.architecture) == (need.dataset.name, need.experiment.architecture)
            if same and run.is_complete():
                try:
                    run.open()
                    yield float(run.read_history()["seconds"].mean())
                except (StoreError, ValueError, KeyError):
                    continue  # it is damaged, and will be trained again when it is wanted

    def rows(self) -> list[tuple]:
        """A row a cell: its name, its state, its missing members, and the time of training them."""
        rows = []
        for cell in self.sweep.cells:
            if cell not in self.todo:
                rows.append((cell.name, "complete", "", ""))
            elif not self.counted or not cell.experiments:
                rows.append((cell.name, "to execute", "not counted", ""))
            else:
                needs = self.needs[cell.name]
                wanted = sum(need.experiment.num_members for need in needs)
                members = f"{sum(need.count for need in needs)} of {wanted}"
                rows.append((cell.name, "to execute", members, _time(self.seconds[cell.name])))
        return rows

    def summary(self) -> list[str]:
        """What all cells together would take, and what is not in these numbers."""
        lines = [f"{len(self.todo)} of {len(self.sweep.cells)} cells would be executed, {self.jobs} at a time"]
        if self.todo and self.counted:
            total = sum(self.seconds.values()) / self.jobs
            lines.append(f"{self.members} members would be trained, in {_time(total)}; evaluation comes on top")
            lines += [
                f"an epoch of {name}: {'not known' if math.isnan(seconds) else f'{seconds:.2g} s, {how}'}"
                for name, (seconds, how) in self.sources.items()
            ]
        elif self.todo:
            lines.append("members are not counted: this notebook trains others than those of its experiments alone")
        if self.todo and self.sweep.source.trains_paths():
            lines.append("paths between members, which this notebook trains too, are not counted")
        absent = {need.experiment.dataset for needs in self.needs.values() for need in needs if need.dataset is None}
        if absent:
            names = ", ".join(sorted(absent))
            lines.append(f"not on this machine, and downloaded when a cell is executed: {names}")
        return lines


def _measured(need: Need) -> float:
    """Seconds of an epoch by a few steps of training, made now; nan where the data or a package are not there."""
    if need.dataset is None:
        return math.nan
    shape = need.dataset.image_shape
    images = len(need.dataset.train.labels)
    plan = Plan(need.experiment, shape, need.dataset.num_classes, images)
    try:
        return images / training_rate(plan, batch_size=None if max(shape[:2]) <= SMALL_SIDE else 4, steps=1)
    except ConfigError:
        return math.nan


def _time(seconds: float) -> str:
    return "a time not known" if math.isnan(seconds) else f"about {duration(seconds)}"
