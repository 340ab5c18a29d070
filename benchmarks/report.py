"""The report of every benchmark: where and when it ran, all rounds in one table, and the targets.

    results/<name>.json: benchmark, command, date, commit, machine, versions, rounds, notes, rows, targets

A row has a `case`, `what` was measured, its `unit`, the `values` of the rounds with `min`, `median` and `max`, and, if
it applies, a `ratio` (times as fast as the baseline), a `difference` from the baseline (mean and 95 % interval over the
rounds) or a `slope` (of log(value) over log(size)).
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from lib.run.engines import usable_cores
from lib.run.provenance import commit

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "loky", "torch-uncertainty", "lightning")


def machine() -> dict[str, Any]:
    """Processor, cores, memory and system, without anything that identifies this machine."""
    info = Path("/proc/cpuinfo")
    facts = {}
    if info.exists():
        lines = info.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    processor = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts:  # the name that virtual machines report says little
        processor += f" (family {facts['cpu family']}, model {facts['model']})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "processor": processor,
        "cores": usable_cores(),
        "memory_gib": None if memory is None else round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the installed `PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def say(line: str) -> None:
    """Print progress to stderr, apart from the table."""
    print(line, file=sys.stderr, flush=True)


def times_as_fast(seconds: Sequence[float], baseline: Sequence[float]) -> float:
    """How many times as fast as the baseline: the median over rounds of the ratio within a round.

    Contenders take turns within a round, so that a slow minute of the machine slows all of them.
    """
    return statistics.median(slow / fast for fast, slow in zip(seconds, baseline, strict=True))


def difference(values: Sequence[float], baseline: Sequence[float]) -> dict[str, float | None]:
    """Mean difference from the baseline over rounds, and its 95 % interval (Student's t; none for one round)."""
    pairs = [one - other for one, other in zip(values, baseline, strict=True)]
    mean, half = statistics.fmean(pairs), None
    if len(pairs) > 1:
        half = float(student.ppf(0.975, len(pairs) - 1)) * statistics.stdev(pairs) / len(pairs) ** 0.5
    return {"mean": mean, "low": None if half is None else mean - half, "high": None if half is None else mean + half}


class Report:
    """Rows and targets of one benchmark, collected while it runs.

    Args:
        name: of the results file.
        script: in `benchmarks/`, without suffix.
        options: of the call, by name; an option with a list is given several times.
        rounds: how often each thing is measured.
    """

    def __init__(self, name: str, script: str, options: dict[str, Any], rounds: int):
        given = [
            f"--{option} {value}"
            for option, values in (options | {"rounds": rounds}).items()
            for value in (values if isinstance(values, list) else [values])
        ]
        self.content: dict[str, Any] = {
            "benchmark": name,
            "command": " ".join([f"python benchmarks/{script}.py", *given]),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": commit() or "unknown",
            "machine": machine(),
            "versions": versions(),
            "rounds": rounds,
            "notes": [],
            "rows": [],
            "targets": [],
        }

    def add(self, case: str, what: str, unit: str, values: Sequence[float], **more: Any) -> None:
        """Add one row; `more` may have `ratio`, `difference` and `slope`."""
        values = [float(value) for value in values]
        summary = {"min": min(values), "median": statistics.median(values), "max": max(values)}
        self.content["rows"].append({"case": case, "what": what, "unit": unit, "values": values, **summary, **more})

    def note(self, line: str) -> None:
        """Add a sentence below the table."""
        self.content["notes"].append(line)

    def target(self, what: str, value: float, at_least: float | None = None, at_most: float | None = None) -> None:
        """Add a measured value with its lower or upper bound, and whether the bound is met."""
        wanted = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        met = value >= at_least if at_least is not None else value <= at_most
        self.content["targets"].append({"what": what, "value": value, "wanted": wanted, "met": bool(met)})

    def finish(self, output: Path | None) -> None:
        """Print the table and write `output`, or `results/<name>.json`."""
        print("\n".join([self.content["command"], circumstances(self.content), "", aligned(*table(self.content))]))
        for line in self.content["notes"]:
            print(line)
        for target in self.content["targets"]:
            print(target_line(target))
        path = output or RESULTS / f"{self.content['benchmark']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


# Formatting, here and in the book


def circumstances(content: dict[str, Any]) -> str:
    """When, where, at which commit and with which versions a benchmark ran."""
    where, rounds = content["machine"], content["rounds"]
    memory = "" if where["memory_gib"] is None else f", {where['memory_gib']:g} GiB"
    used = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"{content['date']}, commit {content['commit']}; {where['processor']}, {where['cores']} cores{memory}, "
        f"{where['system']}; {used}; {rounds} round{'' if rounds == 1 else 's'}"
    )


def number(value: float) -> str:
    """Three significant digits, without an exponent if possible."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def compared(row: dict[str, Any]) -> str:
    """A row's ratio or difference in words."""
    if "ratio" in row:
        return f"{row['ratio']:.2f} times as fast"
    if "difference" not in row:
        return ""
    apart = row["difference"]
    interval = "" if apart["low"] is None else f" ({apart['low']:+.4f} to {apart['high']:+.4f})"
    return f"{apart['mean']:+.4f}{interval}"


def table(content: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows as text; empty columns are left out."""
    columns = {
        "": lambda row: row["case"],
        "what": lambda row: row["what"],
        "unit": lambda row: row["unit"],
        **{name: lambda row, name=name: number(row[name]) for name in ("min", "median", "max")},
        "against the baseline": compared,
        "slope": lambda row: f"{row['slope']:.2f}" if row.get("slope") is not None else "",
    }
    cells = {name: [cell(row) for row in content["rows"]] for name, cell in columns.items()}
    kept = [name for name in columns if any(cells[name])]
    return kept, [list(row) for row in zip(*(cells[name] for name in kept), strict=True)]


def target_line(target: dict[str, Any]) -> str:
    """One target as text."""
    return (
        f"Target, {target['what']}: {target['wanted']}; measured {number(target['value'])}: "
        f"{'met' if target['met'] else 'not met'}"
    )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A text table with columns as wide as their widest cell."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
