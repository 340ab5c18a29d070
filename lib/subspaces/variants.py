"""Old names of what is in `lib.subspaces.around` and `lib.metrics.ensembles`; goes once no page uses it."""

from lib.errors import ConfigError
from lib.metrics.ensembles import METRICS, of_distinct, scores_by_example, scores_by_size, subsets
from lib.subspaces.around import (
    across_runs,
    checkpoints,
    complete,
    samples_of_runs,
    samples_table,
    spread_of_runs,
    within_runs,
)

__all__ = [
    "METRICS",
    "across_runs",
    "checkpoints",
    "complete",
    "of_distinct",
    "samples_of_runs",
    "samples_table",
    "scores_by_example",
    "scores_by_size",
    "spread_of_runs",
    "subsets",
    "within_runs",
]


def check_counts(**counts: int | None) -> None:
    """Raise `ConfigError`, one line, for a parameter that counts something and is below one; None passes."""
    for name, value in counts.items():
        if value is not None and not value >= 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def check_shares(**shares: float | None) -> None:
    """Raise `ConfigError`, one line, for a parameter that is a share of something and not from 0 to 1; None passes."""
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} must be from 0 to 1, got {value}")
