"""What a notebook needs around its science: checked parameters, settings, verdicts and provenance as tables."""

import ast
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython import get_ipython
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from lib import plots
from lib.config import PRESETS, Experiment
from lib.data.datasets import Dataset, Split, load_dataset
from lib.errors import ConfigError
from lib.findings import claims
from lib.models.networks import Network
from lib.models.weights import predict
from lib.notebook.parameters import annotations_of, check_names, check_types, experiments_of
from lib.run.engines import check_engine, default_device
from lib.run.provenance import commit, others
from lib.run.store import Run, RunStore, StoreError
from lib.subspaces.methods import RANK
from lib.subspaces.samples import Sampler, given_scales
from lib.subspaces.variants import check_counts
from lib.training.ensemble import train_ensemble
from lib.training.trainer import Trajectory, build_member_model

#: Rows of the settings table: field of `Experiment`, in words.
SETTINGS = {
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
}

#: The page of each claim, by the first part of its name.
PAGES = {
    "trajectories": "01_trajectories",
    "independent": "02_independent",
    "subspaces": "03_subspaces",
    "diversity": "04_diversity",
    "limits": "04_diversity",
    "radial": "05_radial",
    "tunnel": "06_tunnel",
    "ensemble": "07_ensemble",
    "shift": "08_shift",
    "randomness": "10_randomness",
    "sgmcmc": "11_sgmcmc",
}

#: More rows of the settings table, where runs are chains of `lib.training.sgmcmc`.
CHAIN_SETTINGS = {"cycles": "cycles", "noise_epochs": "noisy epochs of a cycle", "temperature": "temperature"}

VERDICT_SIGNS = {claims.REPRODUCED: "✓", claims.NOT_REPRODUCED: "✗", claims.INCONCLUSIVE: "?"}


def _is_parameters_cell(source: str) -> bool:
    try:
        return "runs_dir" in annotations_of(source)
    except SyntaxError:  # a cell with IPython magic
        return False


def check_parameters(cells: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    """The notebook's parameters, once every name and type is right.

    Args:
        cells: sources of the cells run so far: the last one that declares `runs_dir` is the parameters cell, and the
            one after it is papermill's if it begins with `# Parameters`.
        values: what the names are now.

    Raises:
        ConfigError: a name that papermill passed and the notebook does not know, or a value of another type than its
            annotation; `None` is always allowed.
    """
    position = max((number for number, cell in enumerate(cells) if _is_parameters_cell(cell)), default=None)
    if position is None:
        raise ConfigError("this notebook has no parameters cell before its set-up: run the cells from the top")
    annotations = annotations_of(cells[position])
    injected = [cell for cell in cells[position + 1 :] if cell.startswith("# Parameters\n")]
    passed = ast.parse(injected[-1]).body if injected else []
    # A parameter's name that is no name, which papermill writes as it is, may have made any statement.
    names = [ast.unparse(target) for statement in passed for target in getattr(statement, "targets", [statement])]
    check_names(names, annotations)
    given = {name: values[name] for name in annotations}
    check_types(given, annotations)
    return given


def device_name() -> str:
    """What networks are trained and evaluated on."""
    return torch.cuda.get_device_name() if default_device().type == "cuda" else f"CPU, {platform.machine()}"


def show(table: pd.DataFrame, name: str, verdicts: bool = False) -> None:
    """Display a table without its index; `name` keeps the HTML the same from run to run."""
    style = table.style.hide(axis="index").format({"verdict": _badge} if verdicts else None, escape="html")
    style = style.set_uuid(name).set_table_attributes(f'class="dataframe {name}"')
    display(HTML(f'<div class="table-scroll" tabindex="0">{style.to_html()}</div>'))


def _badge(verdict: str) -> str:
    return f'<span class="verdict verdict-{verdict.replace(" ", "-")}">{VERDICT_SIGNS[verdict]} {verdict}</span>'


@dataclass
class Page:
    """One run of one notebook: its experiments, and the claims judged so far.

    Attributes:
        experiments: one an architecture of the page.
        parameters: the notebook's parameters as they were given.
        study: the page's name in `lib.config.STUDIES`, where it is one of them.
        keys: of the members that `train` returned, by architecture.
        trained: the runs of these members, by key.
    """

    experiments: list[Experiment]
    parameters: dict[str, Any]
    store: RunStore
    study: str | None = None
    results: list[claims.Result] = field(default_factory=list)
    keys: dict[str, list[str]] = field(default_factory=dict)
    trained: dict[str, Run] = field(default_factory=dict)
    commit: str = field(default_factory=commit)
    started: float = field(default_factory=time.monotonic)

    @property
    def experiment(self) -> Experiment:
        """The page's experiment where it has a single one."""
        (experiment,) = self.experiments
        return experiment

    @cached_property
    def dataset(self) -> Dataset:
        """The data of the page's experiments; they share them."""
        first, workers = self.experiments[0], self.parameters.get("batch_workers")
        return load_dataset(first.dataset, self.parameters["data_dir"], first.validation_size, workers)

    @cached_property
    def test(self) -> Split:
        """The test images on which this page evaluates many networks: the first `num_images`, or as the preset says."""
        whole, given = self.dataset.test, self.parameters["num_images"]
        available = len(whole.labels)
        if given is not None and not 1 <= given <= available:
            raise ConfigError(f"num_images must be from 1 to {available} for {self.dataset.name}, got {given}")
        count = PRESETS[self.parameters["preset"]].get("num_images", available) if given is None else given
        return Split(whole.images[:count], whole.labels[:count])

    def num_samples(self, study: str) -> int:
        """How many samples each method has around a run: the parameter of that name, or as the preset says.

        `study` is `ensemble` or `plane`. Raises `ConfigError` for fewer than one.
        """
        given = self.parameters["num_samples"]
        check_counts(num_samples=given)
        return PRESETS[self.parameters["preset"]]["num_samples"][study] if given is None else given

    def sampler(self, trajectories: Sequence[Trajectory]) -> Sampler:
        """What draws samples around these runs, by the page's parameters."""
        rank, epochs = self.parameters["rank"], trajectories[0].member.epochs
        # A run of few epochs has few late iterates, and they span fewer directions than the authors'.
        rank = max(1, min(RANK, epochs - 1)) if rank is None else rank
        return Sampler(
            self.model(trajectories),
            self.dataset,
            rank,
            self.parameters["standardized"],
            trajectories[0].member.seed,
            given_scales(self.parameters.get("scales")),
            self.store,
        )

    def settings(self) -> None:
        """Show what was run beside what the paper ran, one pair of columns an architecture."""
        names = _settings(self.experiments[0])
        columns: dict[str, list] = {"setting": list(names.values())}
        for experiment in self.experiments:
            paper = Experiment.from_preset("paper", self.study, architecture=experiment.architecture)
            # The name, as a folder says more of the machine than of the data.
            here = {name: getattr(experiment, name) for name in names} | {"dataset": self.dataset.name}
            columns[f"{experiment.architecture}, here"] = list(here.values())
            columns[f"{experiment.architecture}, the paper"] = [getattr(paper, name) for name in names]
        show(pd.DataFrame(columns).map(lambda value: f"{value:g}" if isinstance(value, float) else value), "settings")

    def train(self, experiment: Experiment) -> list[Trajectory]:
        """The trajectories of all members: from the store, or trained now."""
        trajectories = self._train(experiment, self.store)
        self.trained |= {run.member.key: self.store.run(run.member) for run in trajectories}
        keys = [*self.keys.get(experiment.architecture, []), *(run.member.key for run in trajectories)]
        self.keys[experiment.architecture] = list(dict.fromkeys(keys))
        return trajectories

    def train_again(self, experiment: Experiment) -> list[Trajectory]:
        """The trajectories of all members trained from nothing, whatever the store has; they are not kept."""
        # In the store, which all workers of a cluster see.
        self.store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".again-", dir=self.store.root) as folder:
            return self._train(experiment, RunStore(folder))

    def _train(self, experiment: Experiment, store: RunStore) -> list[Trajectory]:
        given = {name: self.parameters.get(name) for name in ("engine", "scheduler", "jobs", "batch_workers")}
        return train_ensemble(experiment, **given, store=store, data_root=self.parameters["data_dir"])

    def model(self, trajectories: Sequence[Trajectory]) -> Network:
        """The network of these runs, on the device that evaluates them."""
        return build_member_model(trajectories[0].member, self.dataset).to(default_device())

    def predict(self, trajectories: Sequence[Trajectory], images: np.ndarray) -> np.ndarray:
        """Probabilities `(M, T, n, K)` of every checkpoint of every run."""
        model = self.model(trajectories)
        return np.stack([predict(model, run.weights, images, run.statistics) for run in trajectories])

    def predict_final(self, trajectories: Sequence[Trajectory], images: np.ndarray) -> np.ndarray:
        """Probabilities `(M, n, K)` of the final solution of every run."""
        model = self.model(trajectories)
        final = np.stack([run.final for run in trajectories])
        return predict(model, final, images, np.stack([run.final_statistics for run in trajectories]))

    def judge(self, claim: str, estimate: claims.Estimate, experiment: Experiment) -> None:
        """Judge a claim by its estimate and write the record."""
        settings = {name: getattr(experiment, name) for name in _settings(experiment)}
        context = settings | {"dataset": self.dataset.name, "architecture": experiment.architecture}
        context |= {"preset": experiment.preset, "members": self.keys.get(experiment.architecture, [])}
        result = claims.judge(claim, estimate, context, self.commit)
        folder = self.parameters["results_dir"] or self.store.root / "claims"
        try:
            claims.write_result(result, Path(folder))
        except StoreError as error:
            raise StoreError(f"{error}; the parameter results_dir says where verdicts go") from None
        self.results.append(result)

    def verdicts(self) -> None:
        """Show the claims of this page with their verdicts and intervals."""
        columns = ["verdict", "the paper says", "architecture", "value", "95 % interval", "criterion"]
        show(claims.table(self.results)[columns], "claims", verdicts=True)

    def provenance(self) -> None:
        """Show where these results come from, and how much of them other commits than this page's have made."""
        runs = [run.read_environment().get("commit", "") for run in self.trained.values()]
        mixed = [others(runs, "runs"), others(list(self.store.commits.values()), "derived arrays")]
        rows = {
            "preset": self.experiments[0].preset,
            # Folders say more of the machine than of the result.
            "parameters given": ", ".join(
                f"{name} = {value}"
                for name, value in self.parameters.items()
                if value is not None and "_dir" not in name
            ),
            "data": f"{self.dataset.name}, SHA-256 {self.dataset.content_hash[:12]}",
            "seeds": self._seeds(),
            **{keys_row(name): ", ".join(key[:8] for key in keys) for name, keys in self.keys.items()},
            **_circumstances(),
            "made by other commits": "; ".join(filter(None, mixed)) or "nothing",
            "run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {(time.monotonic() - self.started) / 60:.1f} minutes",
        }
        _show_rows(rows)

    def _seeds(self) -> str:
        """The seed, and the numbers that tell runs apart: of their first weights, and of the order of their data."""
        members = [run.config for run in self.trained.values()]
        seeds = {experiment.seed for experiment in self.experiments} | {member.seed for member in members}
        numbers = {
            "first weights": {member.initialization for member in members},
            "order of the data": {member.order for member in members},
        }
        parts = [f"{what} {_numbers(own)}" for what, own in numbers.items() if own]
        return "; ".join([_numbers(seeds), *parts])


def keys_row(architecture: str) -> str:
    """The row of the table of provenance that has the keys of a network's members in the run store."""
    return f"{architecture} runs, by key"


def _numbers(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def _circumstances() -> dict[str, str]:
    """Where, with which versions and from which commit this process runs, by row of the table of provenance."""
    return {
        "device": device_name(),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
        "commit": commit() or "not known",
    }


def _show_rows(rows: dict[str, Any]) -> None:
    show(pd.DataFrame({"": list(rows), "value": list(rows.values())}), "provenance")


def show_origins(results: Sequence[claims.Result]) -> None:
    """Display where these verdicts come from: their presets, and how many another commit than this one has judged."""
    presets = dict.fromkeys(result.context["preset"] for result in results)
    rows = {"presets": ", ".join(presets), "verdicts": len(results), **_circumstances()}
    rows["made by other commits"] = others([result.commit for result in results], "verdicts") or "nothing"
    _show_rows(rows | {"run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"})


def remarks(page: Path) -> list[str]:
    """What a page says of how to read it: the items of that section, as Markdown, in their order."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    sections = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    section = next((text for text in sections if text.startswith("## How to read it")), "")
    _, *items = section.split("\n- ")
    return [" ".join(item.split()) for item in items]


def show_remarks(results: Sequence[claims.Result]) -> None:
    """Display, for each page with a claim that was not reproduced, these claims and what the page says of them.

    The pages are those of the checkout that this package lies in; without one their names stand alone.
    """
    folder = Path(__file__).parents[2] / "notebooks"
    unmet: dict[str, list[str]] = {}
    for result in results:
        if result.verdict != claims.REPRODUCED:
            unmet.setdefault(PAGES[result.claim.id.split("/")[0]], []).append(result.claim.id)
    parts = []
    for page, ids in unmet.items():
        source = folder / f"{page}.ipynb"
        items = remarks(source) if source.is_file() else []
        named = ", ".join(f"`{claim}`" for claim in dict.fromkeys(ids))
        parts.append(f"**Page {int(page[:2])}**: {named}\n\n" + "".join(f"- {item}\n" for item in items))
    display(Markdown("\n".join(parts) or "All claims were reproduced."))


def open_records() -> list[claims.Result]:
    """Check the parameters of the notebook that calls this, and read all verdicts below its `records_dir`.

    Raises:
        ConfigError: a parameter that is not known or of the wrong type, no record where they are looked for, or one
            that is broken or was judged by another criterion.
    """
    given = _given()
    folder = Path(given["records_dir"] or RunStore(given["runs_dir"]).root / "claims").expanduser()
    try:
        results = claims.read_results(folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not results:
        raise ConfigError(f"no verdicts in {folder}: run the other notebooks first, or say where with records_dir")
    return results


def _given() -> dict[str, Any]:
    """The checked parameters of the notebook that is running, whose plots are set up too."""
    shell = get_ipython()
    given = check_parameters(shell.user_ns["In"], shell.user_ns)
    plots.use_style()
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
    shell.display_formatter.mimebundle_formatter.for_type(Figure, plots.take_away)
    return given


def _settings(experiment: Experiment) -> dict[str, str]:
    """The rows of the settings table that an experiment has."""
    return SETTINGS | CHAIN_SETTINGS if experiment.cycles else SETTINGS


def open_page(min_members: int = 1, networks: str = "architectures", study: str | None = None) -> Page:
    """Check the parameters of the notebook that calls this, and set up its experiments and its plots.

    Args:
        min_members: how many members the page's statistics need.
        networks: which ones of the preset a page has whose parameter `architectures` is not given: `architectures`, or
            `sampled_architectures`.
        study: the name of a page of `lib.config.STUDIES`, whose networks are trained for it alone.

    Raises:
        ConfigError: a parameter that is not known, of the wrong type, or not allowed; one line.
    """
    given = _given()
    experiments = experiments_of(given, min_members, networks, study)
    check_engine(given["engine"], given["jobs"], given.get("scheduler"))
    page = Page(experiments, given, RunStore(given["runs_dir"]), study)
    _ = page.dataset  # so that data that cannot be had stop the notebook here
    return page
