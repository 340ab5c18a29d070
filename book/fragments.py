"""The parts of pages that are computed: Markdown from the configuration, the notebooks and the verdicts."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import papermill

from benchmarks.report import circumstances, machine, number, table
from lib.config import PRESETS, PROTOCOLS, Experiment
from lib.findings.claims import CLAIMS, INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, Result
from lib.findings.claims import numbers as claims_numbers
from lib.findings.claims import table as claims_table
from lib.notebook.page import CHAIN_SETTINGS, SETTINGS, VERDICT_SIGNS, device_name, remarks
from lib.run.engines import default_device
from lib.training.cost import preset_plans, training_rate
from lib.training.trainer import SCHEDULES

#: The modules of the API reference, in the order of the way of the data; others follow in the order of the alphabet.
MODULES = (
    "config",
    "data",
    "formats",
    "models",
    "kernels",
    "weights",
    "training",
    "sgmcmc",
    "lockstep",
    "engines",
    "progress",
    "ensemble",
    "store",
    "files",
    "streaming",
    "subspaces",
    "samples",
    "modes",
    "diversity",
    "variants",
    "landscape",
    "connectors",
    "surveys",
    "pairs",
    "corruptions",
    "shift",
    "cost",
    "metrics",
    "criteria",
    "claims",
    "embedding",
    "plots.style",
    "plots.downloads",
    "plots.similarity",
    "plots.subspaces",
    "plots.diversity",
    "plots.landscape",
    "plots.ensembles",
    "plots.appendix",
    "plots.scoreboard",
    "plots.sweep",
    "parameters",
    "notebook",
    "grid",
    "sweep",
    "cell",
    "execution",
    "forecast",
    "sweep_page",
)

#: Seconds that a notebook may take of `make book` at preset quick, on two cores with another notebook beside it; the
#: first two train what the others read.
BUDGETS = {
    "01_trajectories": 75,
    "02_independent": 190,
    "03_subspaces": 45,
    "04_diversity": 35,
    "05_radial": 40,
    "06_tunnel": 55,
    "07_ensemble": 45,
    "08_shift": 60,
    "09_harder": 45,
    "10_randomness": 70,
    "11_sgmcmc": 60,
    "12_scoreboard": 15,
}

#: The sections of the performance page, and the results that each shows.
BENCHMARKS = {
    "training": ("training_small_cnn", "training_medium_cnn"),
    "evaluation": ("evaluation",),
    "growth": ("growth",),
    "lockstep": ("lockstep",),
    "faults": ("faults",),
}


def all_fragments(
    root: Path, verdicts: dict[Path, list[Result]], seconds: dict[str, dict[str, float]]
) -> dict[str, str]:
    """Every fragment by the name of its file.

    `verdicts` holds the results of each notebook, in the book's order, `seconds` what each spent on which work.
    """
    results = [result for mine in verdicts.values() for result in mine]
    modules = [path for path in (root / "lib").rglob("*.py") if not path.stem.startswith("_")]
    links, pages = {}, {}
    for place, (notebook, mine) in enumerate(verdicts.items(), 1):
        for result in mine:
            links[result.claim.id] = page_link(notebook, page_title(notebook))
            pages[result.claim.id] = page_link(notebook, str(place))
    return {
        "presets.md": presets(),
        "settings.md": settings(),
        "glance.md": glance(results, links),
        "scoreboard.md": scoreboard(results, pages),
        "scoreboard.csv": claims_numbers(results).to_csv(index=False),
        "claims.md": claims_list(results, links),
        "reproduced.md": summary(verdicts, REPRODUCED),
        "not_reproduced.md": summary(verdicts, NOT_REPRODUCED),
        "inconclusive.md": summary(verdicts, INCONCLUSIVE),
        "changed.md": changed(results),
        "parameters.md": parameters(list(verdicts)),
        "api.md": api(".".join(path.relative_to(root / "lib").with_suffix("").parts) for path in modules),
        "times.md": times(seconds),
        "sizing.md": sizing(),
        **{f"performance_{name}.md": measured(root / "benchmarks" / "results", name) for name in BENCHMARKS},
    }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; a `|` in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def code(value: Any) -> str:
    """A value as code."""
    return f"`{value}`"


# The protocol page


def presets() -> str:
    """What each preset chooses, one column a preset."""

    def epochs(preset: dict, architecture: str) -> int:
        return preset["epochs"].get(architecture, PROTOCOLS[architecture]["epochs"])

    def ours(preset: dict, name: str) -> str:
        return code(preset[name]) if name in preset else "the paper's, by network"

    choices = {
        "for": lambda preset: preset["purpose"],
        "dataset": lambda preset: code(preset["dataset"]),
        "networks compared": lambda preset: ", ".join(map(code, preset["architectures"])),
        "networks sampled around": lambda preset: ", ".join(map(code, preset["sampled_architectures"])),
        "members": lambda preset: preset["num_members"],
        "samples of a method around a run": lambda preset: preset["num_samples"]["ensemble"],
        "the same, diversity–accuracy plane": lambda preset: preset["num_samples"]["plane"],
        "validation images": lambda preset: preset.get("validation_size", "the dataset's rule, see below"),
        "pixel scaling": lambda preset: ours(preset, "pixel_scaling"),
        "sampling": lambda preset: ours(preset, "sampling"),
    }
    rows = [[name, *map(choice, PRESETS.values())] for name, choice in choices.items()]
    rows += [[f"epochs of {code(name)}", *(epochs(preset, name) for preset in PRESETS.values())] for name in PROTOCOLS]
    for study, name in {"randomness": "appendix B", "chains": "appendix C"}.items():
        runs = [Experiment.from_preset(preset, study) for preset in PRESETS]
        rows.append(
            [f"{name}: members, epochs", *(f"{code(r.architecture)}: {r.num_members}, {r.epochs}" for r in runs)]
        )
    return markdown_table(["", *map(code, PRESETS)], rows)


def settings() -> str:
    """A tab for each preset: what a member of every network is trained with; bold where the paper has another value."""
    tabs = []
    for preset in PRESETS:
        experiments = [Experiment.from_preset(preset, architecture=name) for name in PROTOCOLS]
        rows = [
            [name.replace("_", " "), *(_setting(experiment, name) for experiment in experiments)]
            for name in PROTOCOLS["small_cnn"]
            if name != "learning_rate"
        ]
        rows.append(["learning rate", *map(learning_rates, experiments)])
        table = markdown_table(["", *map(code, PROTOCOLS)], rows)
        tabs.append(f":::{{tab-item}} {preset}\n:sync: {preset}\n\n{table}\n:::\n")
    return "::::{tab-set}\n\n" + "\n".join(tabs) + "\n::::\n"


def _setting(experiment: Experiment, name: str) -> str:
    value = getattr(experiment, name)
    return f"{value}" if value == PROTOCOLS[experiment.architecture][name] else f"**{value}**"


def learning_rates(experiment: Experiment) -> str:
    """The learning rate in words: the first one, and each later one with the epoch (from 1) that it begins at."""
    factor = SCHEDULES[experiment.schedule]
    rates = [f"{experiment.learning_rate * factor(epoch, experiment.epochs):.3g}" for epoch in range(experiment.epochs)]
    changes = [
        f"{rate} from epoch {epoch}" for epoch, rate in enumerate(rates, 1) if epoch > 1 and rate != rates[epoch - 2]
    ]
    if len(changes) > 4:
        return f"{rates[0]}, less every epoch, to {rates[-1]}"
    return "; ".join([rates[0], *changes])


# Verdicts


def badge(verdict: str) -> str:
    """A verdict as a sign and a coloured word, as in the notebooks."""
    return f"[{VERDICT_SIGNS[verdict]} {verdict}]{{.verdict .verdict-{verdict.replace(' ', '-')}}}"


def page_title(notebook: Path) -> str:
    """The first heading of a notebook, or its name."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return next((line[2:].strip() for line in prose.splitlines() if line.startswith("# ")), notebook.stem)


def page_link(notebook: Path, text: str) -> str:
    """A link from a page of the book to that of a notebook."""
    return f"[{text}](../notebooks/{notebook.name})"


def glance(results: Sequence[Result], links: dict[str, str]) -> str:
    """One table a dataset and page: claims down, networks across."""
    parts = []

    def run(result: Result) -> tuple[str, str]:
        return result.context["dataset"], result.context["preset"]

    for (dataset, preset), group in groupby(sorted(results, key=run), run):
        parts.append(f"Computed on {code(dataset)} with preset {code(preset)}:")
        group = list(group)
        for link in dict.fromkeys(links[result.claim.id] for result in group):
            parts += [f"**{link}**", _at_a_glance([result for result in group if links[result.claim.id] == link])]
    return "\n\n".join(parts) + "\n"


def _at_a_glance(results: Sequence[Result]) -> str:
    """One table of the claims of one page, on one dataset."""
    cells = {
        (result.claim.id, result.context["architecture"]): verdict_cell(result, row)
        for result, row in zip(results, _numbers(results), strict=True)
    }
    networks = sorted({network for _, network in cells}, key=list(PROTOCOLS).index)
    claims = {result.claim.id: result.claim for result in results}.values()
    rows = [
        [
            f"[{claim.sentence}](#{anchor(claim.id)})",
            claim.figure,
            claim.criterion,
            *(cells.get((claim.id, network), "–") for network in networks),
        ]
        for claim in claims
    ]
    return markdown_table(["the paper says", "figure", "criterion", *map(code, networks)], rows)


def verdict_cell(result: Result, row: dict[str, str]) -> str:
    """A verdict, and below it the value with its interval."""
    return f"{badge(result.verdict)}<br>{found(row)}"


def found(row: dict[str, str]) -> str:
    """A value of the claims' table with its interval, where it has one."""
    interval = row["95 % interval"]
    return row["value"] if interval == "–" else f"{row['value']} ({interval})"


def anchor(claim_id: str) -> str:
    """The label of a claim's section on the scoreboard page."""
    return "claim-" + claim_id.replace("/", "-")


def _numbers(results: Sequence[Result]) -> list[dict[str, str]]:
    return claims_table(results).to_dict("records")


def scoreboard(results: Sequence[Result], pages: dict[str, str]) -> str:
    """Every verdict, one row each; the dataset is named where there are several."""
    several = len({result.context["dataset"] for result in results}) > 1
    rows = [
        [
            f"[{result.claim.sentence}](#{anchor(result.claim.id)})",
            result.claim.figure,
            code(result.context["architecture"]) + (f" on {code(result.context['dataset'])}" if several else ""),
            verdict_cell(result, row),
            row["criterion"],
            pages[result.claim.id],
        ]
        for result, row in zip(results, _numbers(results), strict=True)
    ]
    return markdown_table(["the paper says", "figure", "network", "verdict", "criterion", "page"], rows)


def claims_list(results: Sequence[Result], links: dict[str, str]) -> str:
    """Every claim with its sentence, statistic, criterion and verdicts: a section each."""
    parts = []
    for claim in CLAIMS.values():
        mine = [result for result in results if result.claim.id == claim.id]
        here = [
            f"{badge(result.verdict)} for {code(result.context['architecture'])} on {code(result.context['dataset'])}: "
            f"{found(row)}"
            for result, row in zip(mine, _numbers(mine), strict=True)
        ]
        paper = [f"**In the paper:** {claim.paper_value}"] if claim.paper_value else []
        lines = [
            f"**The paper says** (figure {claim.figure}): {claim.sentence}.",
            f"**Statistic:** {claim.statistic}; **criterion:** {claim.criterion}",
            *paper,
            f"**Here:** {'; '.join(here) or 'no verdict in this copy of the book'}",
            *([f"**Page:** {links[claim.id]}"] if claim.id in links else []),
        ]
        bullets = "".join(f"- {line}\n" for line in lines)
        parts.append(f"({anchor(claim.id)})=\n### `{claim.id}`\n\n{bullets}")
    return "\n".join(parts)


# The summary


def summary(verdicts: dict[Path, list[Result]], verdict: str) -> str:
    """The claims with one verdict, page by page; where it is not the best one, with what the page says of them."""
    parts = []
    for notebook, every in verdicts.items():
        mine = [result for result in every if result.verdict == verdict]
        if not mine:
            continue
        parts.append(f"**{page_link(notebook, page_title(notebook))}**")
        parts.append(
            "".join(
                f"- {result.claim.sentence}: **{found(row)}**, criterion {row['criterion']}, "
                f"{code(result.context['architecture'])} on {code(result.context['dataset'])}\n"
                for result, row in zip(mine, _numbers(mine), strict=True)
            )
        )
        if verdict != REPRODUCED:
            items = "".join(f"- {item}\n" for item in remarks(notebook))
            parts.append(f":::{{dropdown}} What the page says of it\n\n{items}\n:::")
    return "\n\n".join(parts) + "\n" if parts else "None in this copy of the book.\n"


def changed(results: Sequence[Result]) -> str:
    """The settings of the runs behind the verdicts that are not the paper's, one row a network and setting."""
    rows = []
    for result in results:
        context = result.context
        study = "chains" if context.get("cycles") else None
        paper = Experiment.from_preset("paper", study, architecture=context["architecture"])
        rows += [
            (code(context["architecture"]), words, code(context[name]), code(getattr(paper, name)))
            for name, words in (SETTINGS | CHAIN_SETTINGS).items()
            if name in context and context[name] != getattr(paper, name)
        ]
    return markdown_table(["network", "setting", "here", "the paper"], list(dict.fromkeys(rows)))


# The rerun page and the API reference


def parameters(notebooks: Sequence[Path]) -> str:
    """The parameters of the notebooks from their parameters cells; pages are named where not all have the same."""
    having: dict[tuple[str, str, str, str], list[str]] = {}
    for path in notebooks:
        for name, said in papermill.inspect_notebook(str(path)).items():
            row = (name, said["help"], said["inferred_type_name"], said["default"])
            having.setdefault(row, []).append(path.stem)
    # The scoreboard, which trains nothing, has hardly any of them.
    training = {stem for (name, *_), stems in having.items() if name == "preset" for stem in stems}
    rows = [
        [code(name), text, code(kind), code(default), "all" if training <= set(stems) else ", ".join(stems)]
        for (name, text, kind, default), stems in having.items()
    ]
    return markdown_table(["parameter", "meaning", "type", "default", "notebooks"], rows)


def api(modules: Iterable[str]) -> str:
    """One section a module of `lib`."""
    modules = set(modules)
    ordered = [module for module in MODULES if module in modules] + sorted(modules - set(MODULES))
    section = "## {0}\n\n```{{eval-rst}}\n.. automodule:: lib.{0}\n```\n"
    return "\n".join(section.format(module) for module in ordered)


# The cluster page


#: Operations a second that a GPU is assumed to do with networks of this size: far below what its maker names.
ASSUMED_RATE = 5e12


def sizing() -> str:
    """What each preset trains: operations and disk, hours by a rate measured now, and GPU-hours by one assumed."""
    known: dict[tuple, tuple[float, int]] = {}
    rows = []
    for preset in PRESETS:
        sizes = []
        for title, plan in preset_plans(preset).items():
            network = (plan.experiment.architecture, plan.image_shape)
            if network not in known:
                known[network] = training_rate(plan, batch_size=32), plan.flops
            rate, flops = known[network]
            hours = plan.hours(rate), plan.hours(ASSUMED_RATE / flops)
            sizes.append((plan.images * flops / 1e15, *hours, plan.disk / 1e9))
            counts = (plan.experiment.num_members, plan.experiment.epochs)
            rows.append([code(preset), title, *counts, *map(_three_digits, sizes[-1])])
        totals = (f"**{_three_digits(sum(column))}**" for column in zip(*sizes, strict=True))
        rows.append([code(preset), "**all**", "", "", *totals])
    on_gpu = default_device().type == "cuda"
    measured_on = device_name() if on_gpu else f"one core of {machine()['processor']}"
    remark = (
        f"Hours *measured* are those of {measured_on}, by a rate that was measured on a few steps for this copy. "
        f"GPU-hours *assumed* are those of a GPU that does {ASSUMED_RATE / 1e12:g}·10¹² operations a second, see below."
    )
    unit = "GPU-hours<br>measured" if on_gpu else "core-hours<br>measured"
    header = ["preset", "networks", "runs", "epochs", "PFLOP", unit, "GPU-hours<br>assumed", "disk<br>GB"]
    return f"{markdown_table(header, rows)}\n{remark}\n"


def _three_digits(size: float) -> str:
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


# The performance page


def times(seconds: dict[str, dict[str, float]]) -> str:
    """What each notebook of this copy spent its time on, and what it may take at preset quick."""
    kinds = list(next(iter(seconds.values())))
    rows = [
        [code(stem), *(f"{spent[kind]:.0f}" for kind in kinds), f"{sum(spent.values()):.0f}", BUDGETS.get(stem, "–")]
        for stem, spent in seconds.items()
    ]
    return markdown_table(["notebook", *kinds, "sum", "budget"], rows)


def measured(folder: Path, section: str) -> str:
    """The results of a section of `BENCHMARKS` in a folder: their run, rounds, notes and targets; or "not measured"."""
    parts = []
    for name in BENCHMARKS[section]:
        path = folder / f"{name}.json"
        if not path.exists():
            parts.append(f"{code(name)}: **not measured**.\n")
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"{code(content['command'])}  \n{circumstances(content)}.\n")
        parts.append(markdown_table(*table(content)))
        verdicts = [
            f"{'✓ met' if target['met'] else '✗ not met'}: {target['what']}, {target['wanted']}; "
            f"here **{number(target['value'])}**"
            for target in content["targets"]
        ]
        parts.append("".join(f"- {line}\n" for line in [*verdicts, *content["notes"]]))
    return "\n".join(parts)
