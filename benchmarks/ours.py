"""Timing of our trainer on its default path: `train_ensemble` into a new store, members in parallel."""

import contextlib
import io
import tempfile
import time
from dataclasses import replace

from lib.config import Experiment
from lib.run.engines import usable_cores
from lib.training.ensemble import train_ensemble
from lib.training.trainer import Trajectory


def train(experiment: Experiment) -> tuple[float, list[Trajectory]]:
    """Seconds from the call until all trajectories are returned, and the trajectories."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as store, contextlib.redirect_stderr(io.StringIO()):
        start = time.perf_counter()
        trajectories = train_ensemble(experiment, store=store)
        return time.perf_counter() - start, trajectories


def warm_up(experiment: Experiment) -> None:
    """Start the workers, which end after an idle minute, and have them load the data: one epoch of SmallCNN."""
    train(replace(experiment, architecture="small_cnn", num_members=usable_cores(), epochs=1))
