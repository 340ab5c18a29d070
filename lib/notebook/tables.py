"""Tables of a page: numbers, settings, verdicts, provenance."""

import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, display

from lib.config import Experiment
from lib.findings.claim import Finding
from lib.findings.judging import (
    FAILS,
    HOLDS,
    IDENTICAL,
    INCONCLUSIVE,
    MET,
    NOT_MET,
    NOT_REPRODUCED,
    REPRODUCED,
    Result,
)
from lib.metrics.intervals import Estimate
from lib.metrics.power import power
from lib.run.engines import default_device
from lib.run.provenance import commit

#: Rows of the settings table: field of `Experiment`, and its label; the last ones apply only to chains.
SETTING_LABELS = {
    "dataset": "dataset",
    "num_members": "members (runs)",
    "epochs": "epochs",
    "batch_size": "batch size",
    "optimizer": "optimiser",
    "learning_rate": "learning rate",
    "schedule": "schedule",
    "dropout": "dropout",
    "weight_decay": "weight decay",
    "augmentation": "augmentation",
    "pixel_scaling": "pixel scaling",
    "sampling": "batches by",
    "precision": "precision",
    "seed": "seed",
    "cycles": "cycles",
    "noise_epochs": "noisy epochs of a cycle",
    "temperature": "temperature",
}
CHAIN_SETTINGS = ("cycles", "noise_epochs", "temperature")

SIGNS = {
    REPRODUCED: "✓",
    HOLDS: "✓",
    INCONCLUSIVE: "?",
    FAILS: "✗",
    NOT_REPRODUCED: "✗",
    MET: "·",
    NOT_MET: "·",
    IDENTICAL: "=",
}


def show(table: pd.DataFrame, name: str, verdicts: bool = False) -> None:
    """Display a table without its index; `name` keeps the HTML the same from run to run."""
    style = table.style.hide(axis="index").format({"verdict": _badge} if verdicts else None, escape="html")
    style = style.set_uuid(name).set_table_attributes(f'class="dataframe {name}"')
    display(HTML(f'<div class="table-scroll" tabindex="0">{style.to_html()}</div>'))


def _badge(verdict: str) -> str:
    return f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{SIGNS[verdict]} {verdict}</span>'


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """The settings of an experiment in the settings table, by field."""
    names = [name for name in SETTING_LABELS if experiment.cycles or name not in CHAIN_SETTINGS]
    return {name: getattr(experiment, name) for name in names}


def settings_table(finding: Finding, experiments: Sequence[Experiment], dataset: str) -> pd.DataFrame:
    """The settings of this run, one column per network, with the paper's in brackets where it differs.

    `dataset` is the name of the data; a folder's path would be specific to this machine.
    """
    columns: dict[str, list] = {"setting": [SETTING_LABELS[name] for name in settings_of(experiments[0])]}
    for experiment in experiments:
        paper = finding.experiment("paper", architecture=experiment.architecture)
        here = settings_of(experiment) | {"dataset": dataset}
        columns[experiment.architecture] = [_beside(value, getattr(paper, name)) for name, value in here.items()]
    return pd.DataFrame(columns)


def _beside(here: Any, paper: Any) -> str:
    """A setting, with the paper's in brackets if it differs."""
    own, theirs = (f"{value:g}" if isinstance(value, float) else str(value) for value in (here, paper))
    return own if own == theirs else f"{own} (paper: {theirs})"


def claims_table(results: Iterable[Result]) -> pd.DataFrame:
    """Judged claims as text for a page, one row per result; empty columns are left out."""
    rows = [
        {
            "verdict": judged.verdict,
            "claim": judged.claim.id,
            "the paper says": judged.claim.sentence,
            "architecture": judged.context["architecture"],
            "value": number_text(judged.estimate.value),
            "95 % interval": interval_text(judged.estimate),
            "criterion": str(judged.claim.criterion),
            "class": judged.claim.kind,
            "in size": size_text(judged),
            "to decide": power(judged.estimate, judged.claim.criterion.threshold) * (judged.verdict == INCONCLUSIVE),
        }
        for judged in results
    ]
    table = pd.DataFrame(rows)
    return table.loc[:, (table != "").any()]


def size_text(judged: Result) -> str:
    """Whether the paper's number lies in the interval, in words; empty if the paper has none for this network."""
    return {None: "", True: "agrees with the paper's number", False: "another size than the paper's"}[judged.in_size]


def number_text(value: float) -> str:
    """Three decimals; fewer for whole and large numbers, two significant digits for small ones."""
    if not math.isfinite(value):
        return "–"
    if value == round(value) or abs(value) >= 100:
        return f"{value + 0.0:.0f}"  # + 0.0 removes the sign of a negative zero
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def interval_text(estimate: Estimate) -> str:
    """Both ends of an interval; a dash for a count, and if there is no interval."""
    if not estimate.method or not math.isfinite(estimate.low + estimate.high):
        return "–"
    return f"{number_text(estimate.low)} to {number_text(estimate.high)}"


def device_name() -> str:
    """The device on which networks are trained and evaluated."""
    return torch.cuda.get_device_name() if default_device().type == "cuda" else f"CPU, {platform.machine()}"


def circumstances() -> dict[str, str]:
    """Device, versions and commit of this process, by row of the provenance table."""
    return {
        "device": device_name(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
        "commit": commit() or "not known",
    }


def show_rows(rows: Mapping[str, Any]) -> None:
    """Display the provenance table."""
    show(pd.DataFrame({"": list(rows), "value": list(rows.values())}), "provenance")
