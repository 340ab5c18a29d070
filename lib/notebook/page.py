"""One run of one notebook: checks its parameters, trains its experiments, judges its claims and shows them.

page = open_page("trajectories")
runs = page.train()
probs = page.predict(runs)  # (M, T, n, K)
page.judge("trajectories/modes", probs=probs)
"""

import tempfile
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython import get_ipython
from matplotlib.figure import Figure

from lib.config import Experiment
from lib.data.datasets import Dataset, Split, load_dataset
from lib.errors import ConfigError
from lib.findings import FINDINGS
from lib.findings.claim import Finding
from lib.findings.judging import Result, judge
from lib.findings.records import numbers, read_results, write_result
from lib.models.networks import Network
from lib.models.predict import STATISTICS_VERSION, fresh_statistics, predict
from lib.models.weights import batch_norms
from lib.notebook.parameters import check_parameters, experiments_of
from lib.notebook.tables import circumstances, claims_table, settings_of, settings_table, show, show_rows
from lib.plots.downloads import take_away
from lib.plots.style import use_style
from lib.presets import PRESETS
from lib.run.engines import check_engine, default_device
from lib.run.files import array_digest, check_writable, local_path, write_atomically
from lib.run.provenance import commit, others
from lib.run.store import CLAIMS, Run, RunStore
from lib.subspaces.methods import RANK
from lib.subspaces.samples import Sampler, given_scales
from lib.training.ensemble import Runs, check_training, train_ensemble
from lib.training.trainer import build_member_model


@dataclass
class Page:
    """One run of one notebook: its experiments, one per network, its parameters as given, and the claims judged so far.

    `keys` are those of the members that `train` returned, by network; `trained` has their runs, by key.
    """

    finding: Finding
    experiments: list[Experiment]
    parameters: dict[str, Any]
    store: RunStore
    results: list[Result] = field(default_factory=list)
    keys: dict[str, list[str]] = field(default_factory=dict)
    trained: dict[str, Run] = field(default_factory=dict)
    commit: str = field(default_factory=commit)
    started: float = field(default_factory=time.monotonic)

    @property
    def networks(self) -> list[str]:
        """The names of the networks that the page compares, or of its only network."""
        return [experiment.architecture for experiment in self.experiments]

    @property
    def experiment(self) -> Experiment:
        """The page's only experiment."""
        (experiment,) = self.experiments
        return experiment

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset of the page's experiments, which all use the same one."""
        first, workers = self.experiments[0], self.parameters.get("batch_workers")
        return load_dataset(first.dataset, self.parameters["data_dir"], first.validation_size, workers)

    @cached_property
    def test(self) -> Split:
        """The test images that the page evaluates: the first `num_images`, or the preset's number; otherwise all."""
        whole, given = self.dataset.test, self.parameters.get("num_images")
        available = len(whole.labels)
        if given is not None and given > available:
            raise ConfigError(f"num_images must be from 1 to {available} for {self.dataset.name}, got {given}")
        if "num_images" in self.parameters:
            given = given or self._preset.get("num_images", available)
        return Split(whole.images[:given], whole.labels[:given])

    @property
    def statistics_images(self) -> np.ndarray:
        """The training images that BatchNorm statistics come from: the first ones, as many as the preset says."""
        return self.dataset.train.images[: self._preset["statistics_images"]]

    @property
    def _preset(self) -> dict[str, Any]:
        return PRESETS[self.parameters["preset"]]

    def num_samples(self, study: str) -> int:
        """How many samples each method draws around a run: the parameter `num_samples`, or the preset's number.

        `study` is one of a preset's `samples`: `modes`, `plane` or `ensemble`.
        """
        return self.parameters["num_samples"] or self._preset["samples"][study]["count"]

    def settings(self) -> None:
        """Show the settings of this run beside the paper's."""
        show(settings_table(self.finding, self.experiments, self.dataset.name), "settings")

    def train(self, network: str | None = None, **changes: Any) -> Runs:
        """The runs of all members of a network's experiment, or of the page's only one: from the store, or trained now.

        `changes` override settings of the experiment, such as `learning_rate` or `varied`.
        """
        experiment = replace(self._of(network), **changes)
        runs = self._train(experiment, self.store)
        self.trained |= {run.member.key: self.store.run(run.member) for run in runs}
        keys = [*self.keys.get(experiment.architecture, []), *runs.keys]
        self.keys[experiment.architecture] = list(dict.fromkeys(keys))
        return runs

    def train_again(self, **changes: Any) -> Runs:
        """As `train`, but always from scratch, whatever is in the store; the new runs are not kept."""
        # The temporary folder is in the store, which all workers of a cluster can see.
        self.store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".again-", dir=self.store.root) as folder:
            return self._train(replace(self.experiment, **changes), RunStore(folder))

    def beside(self, finding: str) -> "Page":
        """The page of another finding, with this one's preset, network and seed, but its own dataset."""
        other, mine = FINDINGS[finding], self.experiment
        experiment = other.experiment(mine.preset, architecture=mine.architecture, seed=mine.seed)
        return replace(self, finding=other, experiments=[experiment], keys={})

    def _of(self, network: str | None) -> Experiment:
        if network is None:
            return self.experiment
        return self.experiments[self.networks.index(network)]

    def _train(self, experiment: Experiment, store: RunStore) -> Runs:
        given = {name: self.parameters.get(name) for name in ("engine", "scheduler", "jobs", "batch_workers")}
        return train_ensemble(experiment, **given, store=store, data_root=self.parameters["data_dir"])

    def model(self, runs: Runs) -> Network:
        """The network of these runs, on the device that evaluates them."""
        return build_member_model(runs[0].member, self.dataset).to(default_device())

    def predict(self, runs: Runs) -> np.ndarray:
        """Probabilities `(M, T, n, K)` of every checkpoint of every run on the page's test images."""
        return np.stack([self.predict_weights(runs, run.weights) for run in runs])

    def predict_final(self, runs: Runs, images: np.ndarray | None = None) -> np.ndarray:
        """Probabilities `(M, n, K)` of the final solution of every run, on `images` or the page's test images."""
        return self.predict_weights(runs, runs.final, images)

    def predict_weights(self, runs: Runs, weights: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Probabilities `(N, n, K)` of weights `(N, P)` of these runs' network, on `images` or the page's test images.

        BatchNorm statistics always come from the page's `statistics_images`, and are kept in the store.
        """
        model, images = self.model(runs), self.test.images if images is None else images
        if not batch_norms(model):
            return predict(model, weights, images)
        recipe = {
            "version": STATISTICS_VERSION,
            "member": runs[0].member.key,
            "weights": array_digest(weights),
            "images": len(self.statistics_images),
        }

        def fresh() -> dict[str, np.ndarray]:
            return {"statistics": fresh_statistics(model, weights, self.statistics_images)}

        return predict(model, weights, images, self.store.cached("statistics", recipe, fresh)["statistics"])

    def sampler(self, runs: Runs, study: str) -> Sampler:
        """A sampler around these runs, set by the page's parameters, or else by the preset for a `study`."""
        names = ("rank", "standardized", "margin")
        given = {name: self.parameters.get(name) for name in names}
        settings = {name: value for name, value in self._preset["samples"][study].items() if name != "count"}
        settings |= {name: value for name, value in given.items() if value is not None}
        settings["scales"] = settings.get("scales", {}) | given_scales(self.parameters.get("scales"))
        # A run of few epochs has few late iterates, and they span fewer directions than the authors'.
        settings["rank"] = max(1, min(settings.get("rank", RANK), runs[0].member.epochs - 1))
        seed, count = runs[0].member.seed, len(self.statistics_images)
        return Sampler(self.model(runs), self.dataset, count, seed=seed, store=self.store, **settings)

    def judge(self, claim: str, network: str | None = None, **arrays: Any) -> None:
        """Judge a claim and write its record; `arrays` are the arguments of the claim's statistic in `lib.findings`."""
        experiment = self._of(network)
        context = settings_of(experiment) | {"dataset": self.dataset.name, "architecture": experiment.architecture}
        context |= {"preset": experiment.preset, "members": self.keys.get(experiment.architecture, [])}
        judged = judge(claim, context, self.commit, **arrays)
        made = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"} | circumstances()
        write_result(judged, self.folder, made)
        self.results.append(judged)

    @property
    def folder(self) -> Path:
        """The folder of verdicts and tables of numbers."""
        return local_path(self.parameters["results_dir"] or self.store.root / CLAIMS, "results_dir")

    def record(self, name: str, table: pd.DataFrame) -> None:
        """Write a table of numbers, with its dataset and preset, beside the verdicts as `<finding>/<name>.csv`."""
        run = {"dataset": self.dataset.name, "preset": self.experiments[0].preset}
        run |= {"network": self.networks[0]} if len(self.networks) == 1 else {}
        text = table.assign(**run).to_csv(index=False, float_format="%.6g")
        write_atomically(self.folder / self.finding.name / f"{name}.csv", text.encode())

    def verdicts(self) -> None:
        """Show the claims of this page with verdicts and intervals; the wording of a verdict shows the claim's kind."""
        left_out = ["claim", "class", *(["architecture"] if len(self.experiments) == 1 else [])]
        show(claims_table(self.results).drop(columns=left_out), "claims", verdicts=True)

    def provenance(self) -> None:
        """Show where these results come from, and how many were made by commits other than this one."""
        runs = [run.open().get("commit", "") for run in self.trained.values()]
        mixed = [others(runs, "runs"), others(list(self.store.commits.values()), "derived arrays")]
        given = {name: value for name, value in self.parameters.items() if value is not None and "_dir" not in name}
        rows = {
            "preset": self.experiments[0].preset,
            "parameters given": ", ".join(f"{name} = {value}" for name, value in given.items()),
            "data": f"{self.dataset.name}, SHA-256 {self.dataset.content_hash[:12]}",
            "seeds": self._seeds(),
            **{f"{name} runs, by key": ", ".join(key[:8] for key in keys) for name, keys in self.keys.items()},
            **circumstances(),
            "made by other commits": "; ".join(filter(None, mixed)) or "nothing",
            "run": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {(time.monotonic() - self.started) / 60:.1f} minutes",
        }
        show_rows(rows)

    def _seeds(self) -> str:
        """The seed, and the numbers that differ between runs: those of their first weights and of their data order."""
        members = [run.config for run in self.trained.values()]
        kinds = {
            "": [experiment.seed for experiment in self.experiments],
            "first weights ": [member.initialization for member in members],
            "order of the data ": [member.order for member in members],
        }
        return "; ".join(f"{kind}{', '.join(map(str, sorted(set(own))))}" for kind, own in kinds.items() if own)


def open_page(name: str) -> Page:
    """Check the parameters of the calling notebook, and set up the experiments and plots of a finding.

    Raises:
        ConfigError: a parameter is unknown, has the wrong type, or is not allowed; the message is one line.
    """
    given, finding = _given(), FINDINGS[name]
    check_engine(given["engine"], given["jobs"], given["scheduler"])
    page = Page(finding, experiments_of(finding, given), given, RunStore(given["runs_dir"]))
    # Fail here, not later, if data cannot be loaded, networks cannot be trained on them, or a folder cannot be written.
    _ = page.test
    for experiment in page.experiments:
        check_training(experiment, page.dataset)
    check_writable(page.folder, "results_dir")
    return page


def open_records() -> list[Result]:
    """Check the parameters of the calling notebook, read all verdicts below `records_dir`, and write `csv`.

    Raises:
        ConfigError: a parameter is unknown or has the wrong type, no record was found, or a record is broken or was
            judged by another criterion.
        StoreError: `csv` cannot be written.
    """
    given = _given()
    folder = local_path(given["records_dir"] or RunStore(given["runs_dir"]).root / CLAIMS, "records_dir")
    try:
        results = read_results(folder)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not results:
        raise ConfigError(f"no verdicts in {folder}: run the other notebooks first, or set records_dir")
    if given.get("csv"):
        write_atomically(local_path(given["csv"], "csv"), numbers(results).to_csv(index=False).encode())
    return results


def _given() -> dict[str, Any]:
    """The checked parameters of the running notebook; also sets up its plots."""
    shell = get_ipython()
    given = check_parameters(shell.user_ns["In"], shell.user_ns)
    use_style()
    shell.run_line_magic("config", "InlineBackend.figure_formats = ['retina']")
    shell.display_formatter.mimebundle_formatter.for_type(Figure, take_away)
    return given
