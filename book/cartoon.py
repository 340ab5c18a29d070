"""The paper's hypothesis as a drawing: a loss of one weight, samples around one mode, an ensemble over several.

Nothing is measured here. The curves are chosen; where solutions lie on them is computed. Colours come from the page
(`.hypothesis` in custom.css), so that one drawing serves light and dark pages.
"""

from collections.abc import Callable
from xml.sax.saxutils import escape

import numpy as np

#: The size of one panel in CSS pixels where a phone shows it, so that its type is as large as the page's.
WIDTH, HEIGHT = 360, 256

#: Where the plot lies in a panel: left, right, top (highest loss), bottom (the axis of weights).
LEFT, RIGHT, TOP, BOTTOM = 26, 352, 60, 214

#: The modes of the training loss: place in weight space, depth, width. Equally deep, all but the last one.
MODES = np.array([(1.5, 0.80, 0.80), (4.2, 0.80, 0.85), (6.9, 0.80, 0.75), (9.2, 0.45, 0.60)])

#: What the validation loss has otherwise: it is shifted along the weights, higher, and not equally deep everywhere.
SHIFT, RAISED, LOST = 0.22, 0.10, np.array([0.14, 0.02, 0.22, 0.04])

#: The mode that the one run ends in, and those that the ensemble's runs end in.
ONE, SEVERAL = 1, (0, 1, 2)

#: Standard deviation of the approximation around one solution, in units of weight.
SPREAD = 0.28

WEIGHTS = np.linspace(0, 10, 401)


def training_loss(weights: np.ndarray) -> np.ndarray:
    """The drawn training loss, about 0.1 in its modes and 0.9 between them."""
    return _loss(weights, MODES[:, 1])


def validation_loss(weights: np.ndarray) -> np.ndarray:
    """The drawn validation loss: the same landscape, moved."""
    return RAISED + _loss(np.asarray(weights) - SHIFT, MODES[:, 1] - LOST)


def _loss(weights: np.ndarray, depths: np.ndarray) -> np.ndarray:
    distances = (np.asarray(weights)[..., None] - MODES[:, 0]) / MODES[:, 2]
    return 0.9 - (depths * np.exp(-(distances**2))).sum(axis=-1)


def solutions() -> np.ndarray:
    """The weight with the lowest training loss in every mode."""
    near = [WEIGHTS[abs(WEIGHTS - place) < 0.5] for place in MODES[:, 0]]
    return np.array([weights[training_loss(weights).argmin()] for weights in near])


def hypothesis() -> str:
    """Both panels in one figure, as HTML to stand in a page."""
    one = _panel(
        "one",
        "One run, and what is sampled around it",
        "A curve of training loss against weights has three equally deep valleys and a shallow one. A bell covers one "
        "valley: samples from it lie together at its floor. The validation loss is the same curve, moved and raised.",
        [_bell(), *_samples(), _note(ONE, "samples")],
    )
    several = _panel(
        "several",
        "An ensemble: several runs",
        "The same curves. Three solutions lie at the floors of three valleys, one in each. Their training loss is the "
        "same; their validation loss, above each, differs.",
        [*_runs(), *(_note(mode, f"run {run}") for run, mode in enumerate(SEVERAL, 1))],
    )
    caption = (
        "The hypothesis, drawn after the paper's Figure 1 with a single weight. Modes are equally good on training "
        "images, and other functions: on other images (dashed) they differ. A method that explores around one solution "
        "sees one mode; an ensemble averages over several. The pages of this book measure whether it is so."
    )
    caption = f"<figcaption><p>{escape(caption)}</p></figcaption>"
    return f'<figure class="hypothesis"><div>{one}{several}</div>{caption}</figure>\n'


def _x(weight: float) -> float:
    return LEFT + (RIGHT - LEFT) * weight / 10


def _y(loss: float) -> float:
    return BOTTOM - 12 - (BOTTOM - 12 - TOP) * loss


def _panel(name: str, title: str, description: str, marks: list[str]) -> str:
    """One panel: title, key, axes, both losses and what is marked on them."""
    parts = [
        f'<title id="hypothesis-{name}">{escape(title)}</title>',
        f'<desc id="hypothesis-{name}-text">{escape(description)}</desc>',
        f'<text class="heading" x="{LEFT}" y="16">{escape(title)}</text>',
        _key(LEFT, "training", "training loss"),
        _key(LEFT + 132, "validation", "validation loss"),
        f'<path class="axis" d="M{LEFT - 8} {TOP - 8}V{BOTTOM}H{RIGHT}"/>',
        f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 36}" text-anchor="middle">weights</text>',
        f'<text transform="translate(12 {(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">loss</text>',
        _curve("validation", validation_loss),
        _curve("training", training_loss),
        *marks,
    ]
    labels = f"hypothesis-{name} hypothesis-{name}-text"
    return f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-labelledby="{labels}">{"".join(parts)}</svg>'


def _key(x: float, name: str, text: str) -> str:
    return f'<path class="{name}" d="M{x} 36h22"/><text x="{x + 28}" y="40">{text}</text>'


def _curve(name: str, loss: Callable[[np.ndarray], np.ndarray]) -> str:
    points = " ".join(f"{_x(w):.1f},{_y(v):.1f}" for w, v in zip(WEIGHTS[::2], loss(WEIGHTS[::2]), strict=True))
    return f'<polyline class="{name}" points="{points}"/>'


def _note(mode: int, text: str) -> str:
    """What stands below a valley, as the label of a tick does."""
    return f'<text x="{_x(solutions()[mode]):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{text}</text>'


def _bell() -> str:
    """The density of the approximation around one solution, standing on the axis."""
    center = solutions()[ONE]
    weights = np.linspace(center - 3.5 * SPREAD, center + 3.5 * SPREAD, 61)
    heights = 62 * np.exp(-(((weights - center) / SPREAD) ** 2) / 2)
    points = " ".join(f"{_x(w):.1f},{BOTTOM - h:.1f}" for w, h in zip(weights, heights, strict=True))
    return f'<polygon class="approximation" points="{points}"/>'


def _samples() -> list[str]:
    """The one solution, and samples at fixed quantiles of the approximation around it."""
    center = solutions()[ONE]
    around = center + SPREAD * np.array([-1.5, -0.8, 0.8, 1.5])
    return [_dot(weight, "sample", 3.5) for weight in around] + [_dot(center, "run-1", 6)]


def _runs() -> list[str]:
    """The solutions of the ensemble's runs, each with what the validation loss says of it."""
    marks = []
    for run, mode in enumerate(SEVERAL):
        weight = solutions()[mode]
        low, high = _y(training_loss(weight)), _y(validation_loss(weight))
        marks.append(f'<path class="drop run-{run}" d="M{_x(weight):.1f} {low:.1f}V{high:.1f}"/>')
        marks.append(f'<circle class="ring run-{run}" cx="{_x(weight):.1f}" cy="{high:.1f}" r="4"/>')
        marks.append(_dot(weight, f"run-{run}", 6))
    return marks


def _dot(weight: float, name: str, radius: float) -> str:
    return f'<circle class="{name}" cx="{_x(weight):.1f}" cy="{_y(training_loss(weight)):.1f}" r="{radius}"/>'
