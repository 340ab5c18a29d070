"""Parts of pages that are computed from the code, its settings, the notebooks and the benchmarks."""

import ast
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import papermill

from benchmarks.report import circumstances, number, table
from book.verdicts import FINDINGS, code, markdown_table
from lib.config import Experiment
from lib.plots import coverage as plots
from lib.plots.downloads import svg
from lib.plots.style import use_style
from lib.presets import PRESETS, PROTOCOLS
from lib.subspaces.methods import METHOD_NAMES
from lib.training.schedules import SCHEDULES


def fragments(root: Path, notebooks: list[Path], seconds: dict[str, float]) -> dict[str, str]:
    """Every fragment by file name; `seconds` is how long each notebook took."""
    return {
        "presets.md": presets(),
        "settings.md": settings(),
        "parameters.md": parameters(notebooks),
        "api.md": api(root),
        "times.md": times(seconds),
        "coverage.svg": coverage(root),
        **{
            f"performance_{name}.md": measured(root / "benchmarks" / "results" / f"{name}.json")
            for name in re.findall(r"performance_(\w+)\.md", (root / "book" / "performance.md").read_text("utf-8"))
        },
    }


def coverage(root: Path) -> str:
    """The figure of the study of intervals, as SVG."""
    study = json.loads((root / "benchmarks" / "results" / "intervals.json").read_text(encoding="utf-8"))
    use_style()
    return svg(plots.coverage(study["rows"]))


# The protocol page


def presets() -> str:
    """A table of the choices of each preset, one column per preset."""

    def epochs(preset: dict, architecture: str) -> int:
        return preset["epochs"].get(architecture, PROTOCOLS[architecture]["epochs"])

    def ours(preset: dict, name: str) -> str:
        return code(preset[name]) if name in preset else "the paper's, by network"

    def sampled(study: str) -> Callable[[dict], str]:
        return lambda preset: samples_in_words(**preset["samples"][study])

    choices = {
        "for": lambda preset: preset["purpose"],
        "dataset": lambda preset: code(preset["dataset"]),
        "networks compared": lambda preset: ", ".join(map(code, preset["architectures"])),
        "networks sampled around": lambda preset: ", ".join(map(code, preset["sampled_architectures"])),
        "members": lambda preset: preset["num_members"],
        "other settings of some networks": other_settings,
        "images for BatchNorm statistics": lambda preset: f"{preset['statistics_images']:,}",
        "samples of a method around a run, page 3": sampled("modes"),
        "the same, pages 4 and 9; largest scales": sampled("plane"),
        "the same, pages 5, 7 and 8; largest scales": sampled("ensemble"),
        "validation images": lambda preset: preset.get("validation_size", "the dataset's rule, see below"),
        "pixel scaling": lambda preset: ours(preset, "pixel_scaling"),
        "sampling": lambda preset: ours(preset, "sampling"),
    }
    rows = [[name, *map(choice, PRESETS.values())] for name, choice in choices.items()]
    rows += [[f"epochs of {code(name)}", *(epochs(preset, name) for preset in PRESETS.values())] for name in PROTOCOLS]
    for finding, name in {"randomness": "appendix B", "sgmcmc": "appendix C"}.items():
        runs = [FINDINGS[finding].experiment(preset) for preset in PRESETS]
        rows.append(
            [f"{name}: members, epochs", *(f"{code(r.architecture)}: {r.num_members}, {r.epochs}" for r in runs)]
        )
    return markdown_table(["", *map(code, PRESETS)], rows)


def other_settings(preset: dict) -> str:
    """Settings that a preset changes for some networks only."""
    every = preset.get("by_network", {}).items()
    told = [
        f"{code(name)}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in own.items())
        for name, own in every
    ]
    return "; ".join(told) or "–"


def samples_in_words(count: int, scales: Mapping[str, float] | None = None, **others: object) -> str:
    """The samples of a preset around a run in words: their number, and settings other than `Sampler`'s defaults."""
    words = [f"{name} {value}" for name, value in others.items()]
    words += [f"{METHOD_NAMES[method]} {scale:g}" for method, scale in (scales or {}).items()]
    return ", ".join([str(count), *words])


def settings() -> str:
    """One tab per preset: the training settings of every network; bold if the paper's value is different."""
    tabs = []
    for preset in PRESETS:
        experiments = [Experiment.from_preset(preset, architecture=name) for name in PROTOCOLS]
        rows = [
            [name.replace("_", " "), *(_setting(experiment, name) for experiment in experiments)]
            for name in PROTOCOLS["small_cnn"]
            if name != "learning_rate"
        ]
        rows.append(["learning rate", *map(learning_rates, experiments)])
        content = markdown_table(["", *map(code, PROTOCOLS)], rows)
        tabs.append(f":::{{tab-item}} {preset}\n:sync: {preset}\n\n{content}\n:::\n")
    return "::::{tab-set}\n\n" + "\n".join(tabs) + "\n::::\n"


def _setting(experiment: Experiment, name: str) -> str:
    value = getattr(experiment, name)
    return f"{value}" if value == PROTOCOLS[experiment.architecture][name] else f"**{value}**"


def learning_rates(experiment: Experiment) -> str:
    """The learning rate in words: the first value, and each later one with the epoch (from 1) at which it begins."""
    factor = SCHEDULES[experiment.schedule]
    rates = [f"{experiment.learning_rate * factor(epoch, experiment.epochs):.3g}" for epoch in range(experiment.epochs)]
    changes = [
        f"{rate} from epoch {epoch}" for epoch, rate in enumerate(rates, 1) if epoch > 1 and rate != rates[epoch - 2]
    ]
    if len(changes) > 4:
        return f"{rates[0]}, less every epoch, to {rates[-1]}"
    return "; ".join([rates[0], *changes])


# The rerun page and the API reference


def parameters(notebooks: list[Path]) -> str:
    """The parameters in the notebooks' parameters cells, with the numbers of their pages if not all have the same."""
    having: dict[tuple[str, str, str, str], list[str]] = {}
    for path in notebooks:
        for name, said in papermill.inspect_notebook(str(path)).items():
            row = (name, said["help"], said["inferred_type_name"], said["default"])
            having.setdefault(row, []).append(str(int(path.stem.partition("_")[0])))
    # The scoreboard trains nothing and has hardly any of them.
    training = {page for (name, *_), pages in having.items() if name == "preset" for page in pages}
    rows = [
        [code(name), text, code(kind), code(default), "all" if training <= set(pages) else ", ".join(pages)]
        for (name, text, kind, default), pages in having.items()
    ]
    return markdown_table(["parameter", "meaning", "type", "default", "pages"], rows)


def folders(root: Path) -> list[Path]:
    """The folders of `lib`, and its modules outside of them, in order of allowed imports: the lowest layer first."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    paths = [root.joinpath(*layer.split(".")) for layer in reversed(layers) if not layer.endswith("__main__")]
    return [path if path.is_dir() else path.with_suffix(".py") for path in paths]


def api(root: Path) -> str:
    """A table of the parts of `lib`, one row per folder, then one section per folder with its modules."""
    rows, parts = [], []
    for place in folders(root):
        top = (place / "__init__.py" if place.is_dir() else place).read_text(encoding="utf-8")
        rows.append([f"[{code(place.stem)}](#lib-{place.stem})", ast.get_docstring(ast.parse(top)).splitlines()[0]])
        modules = sorted(path.stem for path in place.glob("[!_]*.py"))
        if place.stem == "metrics":  # its names are imported from the folder and documented there
            modules = [module for module in modules if f"from lib.metrics.{module} import" not in top]
        members = not place.is_dir() or place.stem == "metrics"  # others only re-export what their modules document
        parts.append(f"(lib-{place.stem})=\n## {place.stem}\n\n{_automodule(place.stem, members)}")
        parts += [f"### {place.stem}.{module}\n\n{_automodule(f'{place.stem}.{module}')}" for module in modules]
    return markdown_table(["", ""], rows) + "\n" + "\n".join(parts)


def _automodule(name: str, members: bool = True) -> str:
    options = "" if members else "   :no-members:\n"
    return f"```{{eval-rst}}\n.. automodule:: lib.{name}\n{options}```\n"


# The cluster page


def times(seconds: dict[str, float]) -> str:
    """How long each notebook of this copy took, as a table."""
    return markdown_table(["notebook", "seconds"], [[code(stem), f"{spent:.0f}"] for stem, spent in seconds.items()])


def measured(path: Path) -> str:
    """The results of a benchmark: its run, rounds, notes and targets; or "not measured" if the file is missing."""
    if not path.exists():
        return f"{code(path.stem)}: **not measured**.\n"
    content = json.loads(path.read_text(encoding="utf-8"))
    verdicts = [
        f"{'✓ met' if target['met'] else '✗ not met'}: {target['what']}, {target['wanted']}; "
        f"here **{number(target['value'])}**"
        for target in content["targets"]
    ]
    lines = "".join(f"- {line}\n" for line in [*verdicts, *content["notes"]])
    return f"{code(content['command'])}  \n{circumstances(content)}.\n\n{markdown_table(*table(content))}\n{lines}"
