"""The reference run: trained and executed once, in hours, and kept in book/reference/ for every build of the book.

notebooks/*.ipynb → _build/reference/{notebooks,claims} → slim → book/reference/{notebooks,claims}, run.json

`make reference` prints what is left to do and can be stopped at any time: the run store keeps every epoch, and a page
is executed again only if its code, its parameters or its settings in the preset have changed.
"""

import base64
import functools
import hashlib
import io
import itertools
import json
import shutil
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import nbformat
import pandas as pd
import typer
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.report import commit, machine, versions  # noqa: E402
from book.execute import execute  # noqa: E402
from book.figures import PNG  # noqa: E402
from lib.config import Experiment, canonical_json  # noqa: E402
from lib.data.datasets import load_dataset  # noqa: E402
from lib.errors import OneLineError  # noqa: E402
from lib.findings import FINDINGS, randomness  # noqa: E402
from lib.metrics import top_labels  # noqa: E402
from lib.metrics.intervals import interval, mean_over  # noqa: E402
from lib.models.predict import predict  # noqa: E402
from lib.notebook.parameters import NotebookSource, experiments_of  # noqa: E402
from lib.plots.downloads import CSV  # noqa: E402
from lib.presets import PRESETS  # noqa: E402
from lib.run.engines import usable_cores  # noqa: E402
from lib.run.store import RunStore  # noqa: E402
from lib.training.ensemble import train_ensemble  # noqa: E402
from lib.training.trainer import build_member_model  # noqa: E402

#: Its preset, the folder kept for the book, and the folder where pages are executed.
PRESET, KEPT, BUILD = "reference", Path("book/reference"), Path("_build/reference-run")

#: Parameters of pages in addition to the preset: with hundreds of networks, fewer images save hours.
PARAMETERS: dict[str, dict[str, Any]] = {
    "03_subspaces": {"num_images": 2000},
    "04_diversity": {"num_images": 2000},
    "05_radial": {"num_images": 5000, "exaggeration": 100.0},
    # At the page's default rate the path diverges with raw pixels; as many epochs as the runs that it joins.
    "06_tunnel": {"num_images": 5000, "curve_learning_rate": 0.003, "curve_epochs": 40},
    "07_ensemble": {"num_images": 5000},
    "08_shift": {"num_corrupted": 100},
    "09_harder": {"dataset": "data/tiny_imagenet_32.npz", "num_images": 2000, "num_corrupted": 100},
    "12_scoreboard": {"records_dir": str(KEPT / "claims")},
}

#: Executed last, as it reads what the other pages write.
SCOREBOARD = "12_scoreboard"

#: The paper's own split of CIFAR-10, with the first 1,000 of its test images; and the number of members trained on it.
OFFICIAL, OFFICIAL_MEMBERS = "data/cifar10_official_1000.npz", {"small_cnn": 2, "medium_cnn": 1}

#: Milliseconds per training image on one core with AVX2, forward and backward.
MILLISECONDS = {"small_cnn": 0.36, "medium_cnn": 4.5, "resnet20_v1": 5.7}

#: MIME types kept of an output; the most bytes of a notebook, and of the data behind a figure.
KINDS = {PNG, CSV, "text/html", "text/markdown", "text/plain"}
NOTEBOOK_BYTES, CSV_BYTES = 600_000, 120_000


def experiments(notebook: Path) -> list[Experiment]:
    """What a page trains in the reference run, and what it compares with; empty for the scoreboard."""
    name, own = notebook.stem.partition("_")[2], PARAMETERS.get(notebook.stem, {})
    if name not in FINDINGS:
        return []
    found = experiments_of(FINDINGS[name], NotebookSource.read(notebook).defaults | {"preset": PRESET} | own)
    if name == "randomness":  # families of runs at several rates
        ways = itertools.product(randomness.learning_rates(found[0], None), ("initialization", "order"))
        return [replace(found[0], learning_rate=rate, varied=way) for rate, way in ways]
    if name == "harder":  # beside the data of page 4
        found += [FINDINGS["diversity"].experiment(PRESET, architecture=one.architecture) for one in found]
    return found


def page_hash(notebook: Path) -> str:
    """SHA-256 of a notebook's code, parameters and settings, without prose and cells needed only by Colab."""
    cells, others = nbformat.read(notebook, as_version=4).cells, {"parameters", "injected-parameters", "remove-cell"}
    code = [one.source for one in cells if one.cell_type == "code" and not others & set(one.metadata.get("tags", []))]
    defaults = {name: value for name, value in NotebookSource.read(notebook).defaults.items() if value is not None}
    settings = {name: PRESETS[PRESET].get(name) for name in ("samples", "statistics_images", "num_images")}
    settings["experiments"] = [experiment.not_default() for experiment in experiments(notebook)]
    given = [defaults, PARAMETERS.get(notebook.stem, {}), settings]
    return hashlib.sha256("\n\n".join([*code, canonical_json(given)]).encode()).hexdigest()


def read_run(kept: Path = KEPT) -> dict[str, dict]:
    """How each notebook was made: `hash`, `parameters`, `minutes`, `finished`, `commit`, `machine`, `versions`."""
    path = kept / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def left(experiment: Experiment, store: RunStore) -> dict[str, float]:
    """The members missing in a store, by key, and how many hours on one core each still takes."""
    data = load_dataset(experiment.dataset, None, experiment.validation_size)
    hours = len(data.train.labels) * MILLISECONDS[experiment.architecture] / 3.6e6  # per epoch
    runs = [store.run(member) for member in experiment.members(data.name, data.content_hash)]
    lacking = [run for run in runs if not run.is_complete()]
    return {run.config.key: (experiment.epochs - run.finished_epochs()) * hours for run in lacking}


def to_train(source: Path, store: RunStore) -> dict[str, float]:
    """The members that a page needs and the store lacks, as in `left`."""
    return {key: hours for one in experiments(source) for key, hours in left(one, store).items()}


def slim(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook as it is kept: figures as PNG with 256 colours, and their data if small.

    Progress, which went to stderr, is dropped.
    """
    notebook.metadata.papermill = {"duration": notebook.metadata.papermill.duration}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    outputs = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    for data in outputs:
        for kind in set(data) - KINDS | ({CSV} if len(data.get(CSV, "")) > CSV_BYTES else set()):
            del data[kind]
        if PNG in data:
            data[PNG] = _smaller(data[PNG])
    while len(nbformat.writes(notebook)) > NOTEBOOK_BYTES:
        largest = max(outputs, key=lambda data: len(data.get(PNG, "")))
        largest[PNG] = _smaller(largest[PNG], 2)
    return notebook


def _smaller(picture: str, shrink: int = 1) -> str:
    """A base64 PNG with 256 colours, `shrink` times smaller in pixels; a page shows it at the same size."""
    whole, stream = Image.open(io.BytesIO(base64.b64decode(picture))), io.BytesIO()
    dots = [dots / shrink for dots in whole.info.get("dpi", (72, 72))]  # dots per inch, which decide the size of type
    smaller = whole.convert("RGBA").reduce(shrink).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    smaller.save(stream, "png", optimize=True, dpi=dots)
    return base64.b64encode(stream.getvalue()).decode()


def make(source: Path, parameters: dict[str, Any]) -> None:
    """Execute a page, and keep its outputs, its records, and how it was made."""
    target, given, started = BUILD / "notebooks" / source.name, BUILD / f"{source.stem}.yaml", time.monotonic()
    given.parent.mkdir(parents=True, exist_ok=True)
    given.write_text(yaml.safe_dump(parameters), encoding="utf-8")
    execute(source, target, PRESET, given)
    for folder in ("notebooks", "claims"):
        (KEPT / folder).mkdir(parents=True, exist_ok=True)
    nbformat.write(slim(nbformat.read(target, as_version=4)), KEPT / "notebooks" / source.name)
    shutil.rmtree(KEPT / "claims" / source.stem, ignore_errors=True)
    shutil.copytree(BUILD / "claims" / source.stem, KEPT / "claims" / source.stem)
    how = {"hash": page_hash(source), "parameters": parameters, "minutes": round((time.monotonic() - started) / 60, 1)}
    how |= {
        "finished": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }
    every = dict(sorted((read_run() | {source.stem: how}).items()))
    (KEPT / "run.json").write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")


def official(store: RunStore) -> None:
    """Write mean test accuracies on the paper's own split, with intervals over images, to `claims/official.csv`."""
    rows = []
    for network, members in OFFICIAL_MEMBERS.items():
        given = {"architecture": network, "num_members": members, "dataset": OFFICIAL}
        experiment = Experiment.from_preset(PRESET, **given)
        runs, data = train_ensemble(experiment, store=store), load_dataset(OFFICIAL, None, experiment.validation_size)
        right = top_labels(predict(build_member_model(runs[0].member, data), runs.final, data.test.images))
        found = interval(functools.partial(mean_over, (right == data.test.labels).mean(axis=0)), images=right.shape[1])
        rows.append([network, "accuracy", found.value, found.low, found.high])
    (KEPT / "claims").mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=["network", "number", "value", "low", "high"])
    table.to_csv(KEPT / "claims" / "official.csv", index=False, float_format="%.4f")


def main(
    only: Annotated[str, typer.Option(help='Numbers of pages, such as "01 02"; default: all.')] = "",
) -> None:
    """Make the missing parts of the reference run, in this checkout, with the run store of $RUNS_DIR."""
    done, store, todo, hours = read_run(), RunStore(), {}, {}
    for source in sorted(Path("notebooks").glob("*.ipynb")):
        if only and source.stem[:2] not in only.split():
            continue
        last, parameters = done.get(source.stem, {}), PARAMETERS.get(source.stem, {})
        fresh = last.get("hash") == page_hash(source)
        if not (todo or only) if source.stem == SCOREBOARD else fresh:
            said = "is there"
        else:
            lacking = to_train(source, store)
            todo[source], hours = parameters, hours | lacking
            said = f"to be made, {len(lacking)} members to train; last time {last.get('minutes', '?')} minutes"
        print(f"{source.stem}: {said}")
    cores, work = usable_cores(), sum(hours.values())
    print(f"{len(hours)} members to train, about {work / cores:.1f} hours on {cores} cores; then the pages", flush=True)
    try:
        for source, parameters in todo.items():
            make(source, parameters)
        if not only:
            official(store)
    except OneLineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    typer.run(main)
