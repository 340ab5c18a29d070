"""The cards of the first page: for each finding its figure, title and verdicts."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import nbformat
from PIL import Image, ImageOps

from book import beside
from book.verdicts import (
    FINDINGS,
    VERDICTS,
    Result,
    anchor,
    badge,
    code,
    count,
    counted,
    found,
    markdown_table,
    page_link,
    page_title,
)
from lib.findings.judging import FAILS, NOT_REPRODUCED, sentences
from lib.notebook.scoreboard import false_verdicts

#: Tag of the cell whose figure represents its page; without a tagged cell it is the last figure.
TAG = "thumbnail"

#: What the first page says in numbers: claims, and what their statistic measures, in words.
HEADLINES = {
    "trajectories/functions-stay": "labels that change between late checkpoints of a run, relative to another run",
    "independent/orthogonal-mean": "cosine between the weights of two runs, its absolute value on average",
    "independent/disagree": "images to which two runs give different labels, per image that one of them gets wrong",
    "subspaces/random/closer": "labels that change by steps in random directions which lose at most two points of "
    "accuracy, relative to another run",
    "diversity/random": "diversity of another run minus that of such steps, at equal accuracy",
    "ensemble/brier-gain": "share of one network's Brier score that averaging runs removes",
    "shift/ensemble": "accuracy that averaging runs adds under corruptions, at the severity where it adds least",
}

#: Size of a thumbnail in pixels: about twice its size on most screens.
SIZE = (640, 480)


def write(site: Path, verdicts: dict[Path, list[Result]]) -> None:
    """Write the cards and the first paragraph to `site/generated`; the executed notebooks are in `site/notebooks`."""
    folder = site / "generated" / "thumbnails"
    folder.mkdir()
    pages = {source.stem: source for source in verdicts}
    cards = []
    for place, finding in enumerate(FINDINGS.values(), 1):
        source = pages[finding.notebook]
        image, alt = thumbnail(site / "notebooks" / source.name)
        image.save(folder / f"{source.stem}.png", optimize=True)
        cards.append(card(place, source, verdicts[source], alt))
    grid = ":::::{grid} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(cards) + "\n:::::\n"
    (site / "generated" / "cards.md").write_text(grid, encoding="utf-8")
    (site / "generated" / "conclusion.md").write_text(conclusion(verdicts), encoding="utf-8")


def conclusion(verdicts: dict[Path, list[Result]]) -> str:
    """The results in one paragraph and a table: those of the reference run, or of this build if there is none."""
    every = [(source, result) for source, own in verdicts.items() for result in own]
    kept = [pair for pair in every if pair[1].context["preset"] == "reference"] or every
    results = [result for _, result in kept]
    networks: dict[str, set[str]] = {}
    for context in (result.context for result in results):
        networks.setdefault(context["dataset"], set()).add(code(context["architecture"]))
    on = "; ".join(f"{', '.join(sorted(own))} on {code(dataset)}" for dataset, own in networks.items())
    failed = {source for source, result in kept if result.verdict in (NOT_REPRODUCED, FAILS)}
    links = "; ".join(page_link(source) for source in verdicts if source in failed)
    words = [
        f"**What was found.** Of {len(sentences(results))} sentences, the paper's and some of our own, each counted",
        f"once for each network: {counted(results)}.",
        f"Networks and data: {on}. {false_verdicts(results)}",
        *([f"What does not hold is on these pages: {links}."] if links else []),
        "The numbers that say most, with 95 % intervals:",
    ]
    rows = []
    for claim, measured in HEADLINES.items():
        if own := [result for result in results if result.claim.id == claim]:
            first = own[0].claim
            claimed = str(first.criterion).replace(" ", "&nbsp;")
            values = "<br>".join(_found(one, results[0].context["dataset"]) for one in own)
            rows.append([f"[{measured}](#{anchor(first)}); claim:&nbsp;{claimed}", values])
    return " ".join(words) + "\n\n" + markdown_table(["what was measured", "found"], rows)


def _found(result: Result, usual: str) -> str:
    """A value with its network and verdict, and its dataset if that is not the `usual` one."""
    dataset = result.context["dataset"]
    on = "" if dataset == usual else f" on {code(dataset)}"
    return f"{found(result)} {code(result.context['architecture'])}{on} {badge(result.verdict)}"


def thumbnail(notebook: Path) -> tuple[Image.Image, str]:
    """The figure that represents an executed notebook, small, and its alternative text.

    Raises:
        ValueError: the notebook has no figure.
    """
    figures = [
        (TAG in cell.metadata.get("tags", []), output.data["image/png"], cell.metadata.mystnb.image.alt)
        for cell in nbformat.read(notebook, as_version=4).cells
        if beside.TAG not in cell.metadata.get("tags", [])
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    if not figures:
        raise ValueError(f"{notebook} has no figure to show on the first page")
    _, data, alt = next((figure for figure in figures if figure[0]), figures[-1])
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    # The whole figure, with transparent padding, as cards may be light or dark.
    image = ImageOps.pad(image, SIZE, Image.Resampling.LANCZOS, color=(255, 255, 255, 0))
    # 128 colours are enough for a plot and need a third of the bytes.
    return image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE), " ".join(alt.split())


def card(place: int, notebook: Path, results: Sequence[Result], alt: str) -> str:
    """The card of one finding: its figure, its title, which is the link, and its verdicts."""
    counts = {verdict: count(results, verdict) for verdict in VERDICTS}
    found = " ".join(badge(verdict, f"{number} {verdict}") for verdict, number in counts.items() if number)
    lines = [
        f"::::{{grid-item-card}} {place}. {page_title(notebook)}",
        f":link: ../notebooks/{notebook.stem}",
        ":link-type: doc",
        f":img-top: ../generated/thumbnails/{notebook.stem}.png",
        f":img-alt: {alt}",
        ":class-card: finding",
    ]
    return "\n".join(lines) + f"\n\n{found or 'no verdict in this copy of the book'}\n::::\n"
