"""The cards of the first page: for each finding its figure, title and verdicts."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import nbformat
from PIL import Image, ImageOps

from book import beside
from book.verdicts import FINDINGS, VERDICTS, Result, badge, code, count, counted, found, page_link, page_title, run_of
from lib.findings.judging import FAILS, NOT_REPRODUCED

#: Tag of the cell whose figure represents its page; without a tagged cell it is the last figure.
TAG = "thumbnail"

#: Sentences of the first paragraph about claims, with their values.
HEADLINES = {
    "trajectories/functions-stay": "Relative to two runs, late checkpoints of one run differ in their labels by a "
    "factor of {}",
    "independent/orthogonal-mean": "The absolute value of the cosine between the weights of two runs is on average {}",
    "independent/disagree": "The number of images to which two runs give different labels, divided by the number that "
    "one of them gets wrong, is {}",
    "subspaces/random/closer": "Relative to another run, steps in random directions that lose at most two points of "
    "accuracy change labels by a factor of {}",
    "diversity/random": "At equal accuracy, the diversity of independent runs minus that of such steps is {}",
    "ensemble/brier-gain": "Averaging runs lowers the Brier score of one by a share of {}",
    "shift/ensemble": "Under corruptions the accuracy of the average minus that of one run is at least {}",
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
    """The results in one paragraph with numbers: those of the reference run, or of this build if there is none."""
    every = [(source, result) for source, own in verdicts.items() for result in own]
    kept = [pair for pair in every if pair[1].context["preset"] == "reference"] or every
    results = [result for _, result in kept]
    on = ", ".join(sorted({run_of(result) for result in results}))
    words = [
        f"**What was found**, {on}: {counted(results)}.",
        *(
            f"{words.format(_numbers(results, claim))}."
            for claim, words in HEADLINES.items()
            if _numbers(results, claim)
        ),
    ]
    failed = {source for source, result in kept if result.verdict in (NOT_REPRODUCED, FAILS)}
    links = "; ".join(page_link(source) for source in verdicts if source in failed)
    return " ".join(words) + (f" What does not hold is on these pages: {links}.\n" if links else "\n")


def _numbers(results: Sequence[Result], claim: str) -> str:
    """The values of a claim, with network if there are several, and dataset if it is not that of the first result."""
    contexts = [result.context for result in results]
    several = len({context["architecture"] for context in contexts}) > 1
    values = []
    for one in results:
        if one.claim.id == claim:
            network = f" for {code(one.context['architecture'])}" if several else ""
            data = one.context["dataset"]
            values.append(found(one) + network + (f" on {code(data)}" if data != contexts[0]["dataset"] else ""))
    return ", ".join(values)


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
