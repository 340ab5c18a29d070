"""Further numbers of a page, with intervals, to compare with the paper's numbers.

Each function returns a table for `Page.record`, one row per number: what it is (`network`, `method`, `size` of the
ensemble, `severity`, `number`), its `value`, and the ends of its interval, `low` and `high`, nan if it has none.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib.metrics import cosine_similarity, expected_calibration_error
from lib.metrics.comparison import Points
from lib.metrics.ensembles import scores_by_example
from lib.metrics.intervals import Estimate, count, equal_sizes, interval, mean_over, pairs
from lib.metrics.scores import PROBABILITY_FLOOR
from lib.metrics.similarity import jensen_shannon_by_example

#: Ensemble sizes of the paper's figure 9.
SIZES = (1, 2, 5)

#: Resamples of the images; few, as there are hundreds of numbers.
RESAMPLES = 100


def _row(number: str, found: Estimate, **which: Any) -> dict[str, Any]:
    low, high = (found.low, found.high) if found.method else (np.nan, np.nan)
    return {**which, "number": number, "value": found.value, "low": low, "high": high}


def of_solutions(
    labels: Mapping[str, np.ndarray], targets: np.ndarray, weights: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Mean accuracy of solutions, and mean disagreement, disagreement per error and cosine of pairs, by network.

    Top `labels (M, n)` and optional `weights (M, P)` of the final solutions; true labels `targets (n,)`.
    """
    rows = []
    for network, own in labels.items():
        differ, right = own[:, None] != own, own == targets  # (M, M, n), (M, n)

        def both(members: np.ndarray, images: np.ndarray, differ: Any = differ, right: Any = right) -> tuple:
            return mean_over(differ, images)[pairs(members)].mean(), mean_over(right, images)[members].mean()

        def per_error(disagreement: float, accuracy: float) -> float:
            return disagreement / (1 - accuracy)

        wanted: dict[str, Callable[[float, float], float]] = {
            "accuracy": lambda disagreement, accuracy: accuracy,
            "disagreement": lambda disagreement, accuracy: disagreement,
            "disagreement per error": per_error,
        }
        for name, number in wanted.items():
            found = interval(
                lambda number=number, both=both, **chosen: number(*both(**chosen)),
                members=len(own),
                images=len(targets),
            )
            rows.append(_row(name, found, network=network))
        if weights is not None:
            cosine = cosine_similarity(weights[network])
            found = interval(lambda members, cosine=cosine: cosine[pairs(members)].mean(), members=len(cosine))
            rows.append(_row("cosine", found, network=network))
    return pd.DataFrame(rows)


def of_planes(points: Mapping[tuple[str, str], Points]) -> pd.DataFrame:
    """Largest diversity near the base's accuracy and largest accuracy at high diversity, by network; without intervals.

    `points` by network and method, around one base; the points of `independent` solutions are not used.
    """
    rows = []
    for network in dict.fromkeys(network for network, _ in points):
        own = [one for (name, method), one in points.items() if name == network and method != "independent"]
        accuracies = np.concatenate([one.accuracies for one in own])
        diversities = np.concatenate([one.diversities for one in own])
        near = diversities[accuracies >= own[0].reference_accuracy - 0.01]
        diverse = accuracies[diversities >= 0.8]
        numbers = {"diversity within a point of the base": near, "accuracy at a diversity of 0.8": diverse}
        largest = {name: count(found.max(initial=-np.inf)) for name, found in numbers.items()}
        rows += [_row(f"largest {name}", found, network=network) for name, found in largest.items()]
    return pd.DataFrame(rows)


def of_ensembles(
    probs: Mapping[str, np.ndarray], targets: np.ndarray, pictures: np.ndarray | None = None, **which: Any
) -> pd.DataFrame:
    """Accuracy, Brier score, negative log-likelihood and calibration error of ensembles of `SIZES` and of all runs.

    `probs (M, n, K)` by method, true labels `targets (n,)`; `pictures (n,)` gives the test image behind each example,
    if images appear several times. There is only one full ensemble, so its interval is over images only; the interval
    of the calibration error is over runs only.
    """
    rows = []
    for method, own in probs.items():
        for size in sorted({*(size for size in SIZES if size < len(own)), len(own)}):
            for name, score in _SCORES.items():
                found = _of_size(partial(_by_picture, score, own, targets, pictures), len(own), size)
                rows.append(_row(name, found, method=method, size=size, **which))
            calibration = equal_sizes(
                lambda members, own=own: own[members].mean(axis=0),
                len(own),
                lambda ensemble, images: expected_calibration_error(ensemble, targets),
                size,
            )
            error = partial(calibration, images=None)
            found = interval(error, members=len(own)) if size < len(own) else count(error(np.arange(size)))
            rows.append(_row("calibration error", found, method=method, size=size, **which))
    return pd.DataFrame(rows)


def of_divergence(
    probs: np.ndarray, within: Mapping[str, np.ndarray], size: int, pictures: np.ndarray | None = None, **which: Any
) -> pd.DataFrame:
    """The Jensen-Shannon divergence of `size` networks: independent solutions, and networks within one run by method.

    `probs (M, n, K)`; the divergences `within (M, n)` by method; `pictures` as in `of_ensembles`.
    """

    def between(members: np.ndarray) -> np.ndarray:
        return _mean_by_picture(jensen_shannon_by_example(probs[members]), pictures)

    rows = [_row("divergence", _of_size(between, len(probs), size), method="independent", size=size, **which)]
    for method, own in within.items():
        found = _of_size(lambda members, own=own: _mean_by_picture(own[members].mean(axis=0), pictures), len(own), 1)
        rows.append(_row("divergence", found, method=method, size=size, **which))
    return pd.DataFrame(rows)


#: Scores that are means over examples; each gives `(n,)` from an ensemble's prediction `(n, K)` and the true labels.
_SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "accuracy": lambda probs, targets: scores_by_example(probs, targets)[0],
    "Brier score": lambda probs, targets: scores_by_example(probs, targets)[1],
    "negative log-likelihood": lambda probs, targets: (
        -np.log(np.maximum(probs[np.arange(len(targets)), targets], PROBABILITY_FLOOR))
    ),
}


def _by_picture(
    score: Callable, probs: np.ndarray, targets: np.ndarray, pictures: np.ndarray | None, members: np.ndarray
) -> np.ndarray:
    return _mean_by_picture(score(probs[members].mean(axis=0), targets), pictures)


def _mean_by_picture(values: np.ndarray, pictures: np.ndarray | None) -> np.ndarray:
    """One value per picture with the same mean as `values (n,)`; a picture may appear under several corruptions."""
    if pictures is None:
        return values
    different, place = np.unique(pictures, return_inverse=True)
    return np.bincount(place, values) * len(different) / len(values)


def _of_size(by_image: Callable[[np.ndarray], np.ndarray], members: int, size: int) -> Estimate:
    """The mean over images of `by_image` for ensembles of `size`; the full ensemble's interval is over images only."""
    whole = by_image(np.arange(members))
    if size < members:
        mean = equal_sizes(by_image, members, size=size)
        return interval(mean, members=members, images=len(whole), resamples=RESAMPLES)
    return interval(lambda images: mean_over(whole, images), images=len(whole), resamples=RESAMPLES)
