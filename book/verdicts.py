"""Verdicts in the book: the scoreboard, the list of claims, the summary."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lib.findings import CLAIMS, FINDINGS
from lib.findings.claim import KINDS, Claim
from lib.findings.judging import FAILS, HOLDS, INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED, VERDICTS, Result, sentences
from lib.findings.records import numbers, read_results
from lib.notebook.scoreboard import over_seeds
from lib.notebook.tables import SETTING_LABELS, SIGNS, interval_text, number_text
from lib.subspaces.methods import METHOD_NAMES

__all__ = ["FINDINGS", "VERDICTS", "Result", "read_results"]


#: Records of preset `quick` with several seeds, from the sweep notebooks/grids/seeds.yaml.
SEEDS = Path("book/reference/seeds")


def fragments(root: Path, verdicts: dict[Path, list[Result]]) -> dict[str, str]:
    """The parts of pages about verdicts, by file; `verdicts` are those of each notebook in the book's order."""
    by_seed = over_seeds(read_results(root / SEEDS))
    results = [result for mine in verdicts.values() for result in mine]
    return {
        "scoreboard.md": scoreboard(verdicts, set(fragile(by_seed)["claim"])),
        "fragile.md": fragile_table(by_seed),
        "scoreboard.csv": numbers(results).to_csv(index=False),
        "claims.md": claims_list(),
        "reproduced.md": summary(verdicts, REPRODUCED, HOLDS),
        "not_reproduced.md": summary(verdicts, NOT_REPRODUCED, FAILS),
        "inconclusive.md": summary(verdicts, INCONCLUSIVE),
        "changed.md": changed(verdicts),
    }


# Formatting


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; a `|` in a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def code(value: Any) -> str:
    """A value as code."""
    return f"`{value}`"


def badge(verdict: str, text: str = "") -> str:
    """A verdict as a sign and a coloured word, as in the notebooks; `text` replaces the word."""
    return f"[{SIGNS[verdict]} {text or verdict}]{{.verdict .verdict-{verdict.replace(' ', '-')}}}"


def page_title(notebook: Path) -> str:
    """The first heading of a notebook, or its name."""
    lines = "\n".join(_prose(notebook)).splitlines()
    return next((line[2:].strip() for line in lines if line.startswith("# ")), notebook.stem)


def _prose(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def page_link(notebook: Path, text: str = "") -> str:
    """A link from a page of the book to a notebook's page, with its title unless `text` is given."""
    return f"[{text or page_title(notebook)}](../notebooks/{notebook.name})"


def anchor(claim: Claim) -> str:
    """The label of a claim's section on the scoreboard page, which it shares with the same claim of other methods."""
    return "claim-" + re.sub(r"\W+", "-", claim.family)


def found(result: Result) -> str:
    """The value of a statistic with its interval, if it has one."""
    return with_interval(result.estimate.value, interval_text(result.estimate))


def with_interval(value: float, interval: str) -> str:
    """A number with the text of its interval, which stays in one line; alone if the interval is a dash."""
    return number_text(value) + ("" if interval == "–" else f" ({interval})".replace(" to ", "&nbsp;to&nbsp;"))


def run_of(result: Result) -> str:
    """Network and dataset of a result."""
    return f"{code(result.context['architecture'])} on {code(result.context['dataset'])}"


# Pages


def counted(results: Sequence[Result]) -> str:
    """How many sentences have each verdict."""
    return ", ".join(f"{number} {badge(verdict)}" for verdict in VERDICTS if (number := count(results, verdict)))


def count(results: Sequence[Result], verdict: str) -> int:
    """How many sentences have a verdict; a sentence judged for several methods counts once."""
    return sum(one.verdict == verdict for one in sentences(results))


def scoreboard(verdicts: dict[Path, list[Result]], fragile: Collection[str] = ()) -> str:
    """Every verdict: one table per page, one row per sentence and network; `fragile` claims are marked."""
    parts = []
    for notebook, results in verdicts.items():
        rows = []
        for sentence in sentences(results, KINDS):
            values = [_value(result, sentence.verdict, fragile) for result in sentence.results]
            claim = sentence.results[0].claim
            words = f"[{claim.words}](#{anchor(claim)})"
            network = run_of(sentence.results[0]).replace(" on ", "<br>on ")
            rows.append(["<br>".join([badge(sentence.verdict), *values]), words, claim.criterion, network])
        table = markdown_table(["verdict", "the paper says", "criterion", "network"], rows)
        parts += [f"### {page_link(notebook)}\n\n{table}"] if rows else []
    return "\n".join(parts)


def _value(result: Result, usual: str, fragile: Collection[str]) -> str:
    """The value of a result, with its method if there are several, and its verdict if it is not the `usual` one."""
    words = [METHOD_NAMES[result.claim.method] + ":"] if result.claim.method else []
    words += [found(result)]
    words += [badge(result.verdict)] if result.verdict != usual else []
    words += ["[fragile](#fragile)"] if result.claim.id in fragile else []
    return " ".join(words)


def fragile_table(by_seed: pd.DataFrame) -> str:
    """How many verdicts are the same with every seed, and a table of the others; `by_seed` is from `over_seeds`."""
    others = fragile(by_seed)
    told = f"{len(by_seed) - len(others)} of {len(by_seed)} verdicts are the same with every seed. The others:"
    table = others.drop(columns=["dataset", "preset", "parameters", "seeds"]).rename(
        columns={"architecture": "network"}
    )
    table[["claim", "network"]] = table[["claim", "network"]].map(code)
    return f"{told}\n\n{markdown_table(table.columns, table.to_numpy())}"


def fragile(by_seed: pd.DataFrame) -> pd.DataFrame:
    """The rows of `over_seeds` whose verdict differs between seeds."""
    return by_seed[by_seed[""].str.startswith("flips")]


def claims_list() -> str:
    """Every sentence of the paper with its statistic, criterion and kind: one section each."""
    parts = []
    for claim in {claim.family: claim for claim in CLAIMS.values()}.values():
        function = f"{claim.statistic.__module__}.{claim.statistic.__name__}"
        lines = [
            f"**The paper says** (figure {claim.figure}): {claim.words}.",
            f"**Statistic** ({{py:func}}`{function}`): {claim.measure}; **criterion:** {claim.criterion}; {claim.kind}",
            *[f"**In the paper:** {value}" for value in claim.paper_values],
        ]
        bullets = "".join(f"- {line}\n" for line in lines)
        parts.append(f"({anchor(claim)})=\n### {code(claim.family)}\n\n{bullets}")
    return "\n".join(parts)


def summary(verdicts: dict[Path, list[Result]], *wanted: str) -> str:
    """The sentences with one of the `wanted` verdicts, one paragraph per page."""
    parts = []
    for notebook, every in verdicts.items():
        words = dict.fromkeys(one.results[0].claim.words for one in sentences(every) if one.verdict in wanted)
        if words:
            parts.append(f"**{page_link(notebook)}**: {'; '.join(words)}.")
    return "\n\n".join(parts) + "\n" if parts else "None in this copy of the book.\n"


def changed(verdicts: dict[Path, list[Result]]) -> str:
    """Settings that differ from the paper's, one row per network and setting."""
    findings = {finding.notebook: finding for finding in FINDINGS.values()}
    rows = []
    for notebook, results in verdicts.items():
        for context in (result.context for result in results):
            paper = findings[notebook.stem].experiment("paper", architecture=context["architecture"])
            rows += [
                (code(context["architecture"]), words, code(context[name]), code(getattr(paper, name)))
                for name, words in SETTING_LABELS.items()
                if name in context and context[name] != getattr(paper, name)
            ]
    return markdown_table(["network", "setting", "here", "the paper"], list(dict.fromkeys(rows)))
