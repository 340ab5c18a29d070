"""Figure 9: under dataset shift the ensemble stays ahead, and its members differ more.

`probs (S, M, n, K)`: predictions of every run at every severity, from 0 for the clean images; `targets (n,)`: the true
labels. All images of the first corruption come first, then those of the second, and so on; `pictures (n,)` is the index
of the test image behind each of them. `within`: by method, the Jensen-Shannon divergence of `size` networks around each
run on every image, `(S, M, n)`; independent members are also compared in ensembles of `size`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.findings.claim import Criterion, Finding, claim
from lib.metrics import area_under_roc, jensen_shannon_by_example, predictive_entropy
from lib.metrics.ensembles import scores_by_example
from lib.metrics.intervals import Estimate, equal_sizes, extreme, interval, mean_over

FINDING = Finding(
    "08_shift",
    min_members=3,
    settings={
        "paper": {"architectures": ["medium_cnn"]},
        "reference": {"architectures": ["medium_cnn"]},
    },
    ranges={"num_foreign": (1, math.inf)},
)


@claim("shift/ensemble", "the ensemble stays ahead under shift", figure="9 left, middle", criterion=Criterion(">", 0))
def stays_ahead(probs: np.ndarray, targets: np.ndarray, pictures: np.ndarray) -> Estimate:
    """Smallest accuracy advantage of the ensemble over a single network across severities 1 to 5.

    The ensemble has one run fewer than there are, so that its size is the same when the jackknife leaves out a run.
    """
    advantage = _advantage(probs, targets, 0, pictures)
    return extreme(lambda **chosen: advantage(**chosen)[1:], "smallest", **_sizes(probs, pictures))


@claim(
    "shift/grows",
    "the ensemble's advantage in Brier score grows with severity",
    figure="9 left, middle",
    criterion=Criterion(">", 0),
)
def grows(probs: np.ndarray, targets: np.ndarray, pictures: np.ndarray) -> Estimate:
    """Slope of (Brier score of a single network - Brier score of the ensemble) against severity."""
    advantage = _advantage(probs, targets, 1, pictures)
    return interval(lambda **chosen: _slope(-advantage(**chosen)), **_sizes(probs, pictures))


@claim(
    "shift/jsd",
    "independent members are the most diverse at every severity",
    figure="9 right",
    criterion=Criterion(">", 0),
)
def diverse(probs: np.ndarray, within: Mapping[str, np.ndarray], size: int, pictures: np.ndarray) -> Estimate:
    """Smallest margin of independent members' Jensen-Shannon divergence over within-run methods, severities 0 to 5."""
    between = _divergence(probs, size, pictures)
    inside = np.stack(list(within.values()))  # (methods, S, M, n)

    def margins(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        own = (inside @ weights(pictures, images))[..., members].mean(axis=-1)  # (methods, S)
        return between(members, images) - own

    return extreme(margins, "smallest", "smallest", **_sizes(probs, pictures))


@claim(
    "shift/jsd-grows",
    "the diversity of independent members grows with severity",
    figure="9 right",
    criterion=Criterion(">", 0),
)
def diversity_grows(probs: np.ndarray, size: int, pictures: np.ndarray) -> Estimate:
    """Slope of the Jensen-Shannon divergence of independent members against severity."""
    between = _divergence(probs, size, pictures)
    return interval(lambda **chosen: _slope(between(**chosen)), **_sizes(probs, pictures))


@claim(
    "shift/ood",
    "independent members disagree more out of distribution than within-run samples",
    figure="Sec. 5",
    criterion=Criterion(">", 0),
)
def out_of_distribution(probs: np.ndarray, within: Mapping[str, np.ndarray], size: int) -> Estimate:
    """Out-of-distribution margin of independent members' Jensen-Shannon divergence over the best within-run method.

    These images have no severities: `probs (M, n, K)`, and `within (M, n)` by method.
    """
    count, images, _ = probs.shape
    between = equal_sizes(lambda members: jensen_shannon_by_example(probs[members]), count, size=size)
    inside = np.stack(list(within.values()))  # (methods, M, n)

    def margins(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        return between(members, images) - mean_over(inside, images)[:, members].mean(axis=1)

    return extreme(margins, "smallest", members=count, images=images)


def weights(pictures: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Weights `(n,)` that sum to one, for test images resampled with replacement.

    An image drawn twice counts twice under each of its corruptions; corruptions are not resampled.
    """
    drawn = np.bincount(images, minlength=int(pictures.max()) + 1)[pictures]
    return drawn / drawn.sum()


def _slope(values: np.ndarray) -> float:
    """Slope of `values (S,)` against severity, which starts at 0."""
    return np.polyfit(np.arange(len(values)), values, 1)[0]


def _sizes(probs: np.ndarray, pictures: np.ndarray) -> dict[str, int]:
    """The numbers of runs and test images."""
    return {"members": probs.shape[1], "images": int(pictures.max()) + 1}


def _advantage(
    probs: np.ndarray, targets: np.ndarray, score: int, pictures: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of members and images: the score of their ensemble minus their mean score, by severity `(S,)`.

    `score` indexes the result of `scores_by_example`.
    """
    alone = np.stack([scores_by_example(own, targets)[score] for own in probs])  # (S, M, n)

    def together(members: np.ndarray) -> np.ndarray:
        return np.stack([scores_by_example(own[members].mean(axis=0), targets)[score] for own in probs])  # (S, n)

    ensemble = _of_ensembles(together, probs, pictures, None)
    return lambda members, images: ensemble(members, images) - (alone @ weights(pictures, images))[:, members].mean(-1)


def _divergence(probs: np.ndarray, size: int, pictures: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of members and images: the divergence of `size` different members, by severity `(S,)`."""
    return _of_ensembles(
        lambda members: np.stack([jensen_shannon_by_example(own[members]) for own in probs]), probs, pictures, size
    )


def _of_ensembles(prepare: Callable, probs: np.ndarray, pictures: np.ndarray, size: int | None) -> Callable:
    """A function of members and test images: the mean `(S,)` of what `prepare` gives for an ensemble, `(S, n)`."""
    return equal_sizes(prepare, probs.shape[1], lambda own, images: own @ weights(pictures, images), size)


# Figures and tables


def scores(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Accuracy and Brier score of one run (mean over runs) and of the ensemble of all runs, under each corruption.

    `probs (M, n, K)` at one severity and `targets (C, c)`, one row per corruption, give `(2, 2, C)`: one run and all
    runs, accuracy and Brier score, corruptions.
    """
    labels = targets.ravel()
    one = scores_by_example(probs, labels).mean(axis=1)  # (2, n)
    together = scores_by_example(probs.mean(axis=0), labels)  # (2, n)
    return np.stack([one, together]).reshape(2, 2, *targets.shape).mean(axis=-1)


def gains(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Gains of each method over a single network: increase in accuracy, decrease in Brier score.

    `values`: by method, including `single`, the `scores` at every severity, `(2, 2, S, C)`; the result has that shape.
    """
    better = np.array([1, -1])[:, None, None]
    return {method: better * (own - values["single"][0]) for method, own in values.items()}


def shifted(values: Mapping[str, np.ndarray], titles: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    """Table of scores at severity 0, averaged over severities 1 to 5, and at 5.

    `values (2, 2, S, C)` by method as in `gains`, `titles` for one run and for all runs, display `names` of methods.
    """
    parts = {"severity 0": slice(0, 1), "1 to 5": slice(1, None), "5": slice(-1, None)}
    rows = []
    for networks, title in enumerate(titles):
        for method, own in values.items():
            row = {"networks": title, "method": names[method]}
            for name, score in zip(("accuracy", "Brier"), own[networks], strict=True):
                row |= {f"{name}, {part}": f"{score[chosen].mean():.3f}" for part, chosen in parts.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def told_apart(
    methods: Sequence[str],
    clean: Mapping[str, tuple[np.ndarray, np.ndarray]],
    foreign: Mapping[str, tuple[np.ndarray, np.ndarray]],
    size: int,
    names: Mapping[str, str],
) -> pd.DataFrame:
    """Table of how well divergence and entropy separate foreign images from clean test images.

    One row for each of the `methods`, with `size` networks; `names` are display names. `clean` and `foreign` have, by
    method, the predictions on such images and the divergence of the networks, as returned by `within_runs`: `(M, n, K)`
    and `(M, n)`. `single` has no divergence.
    """
    rows = []
    for method in methods:
        (probs, divergence), (far_probs, far_divergence) = clean[method], foreign[method]
        is_foreign = np.repeat([False, True], [divergence.shape[1], far_divergence.shape[1]])
        differ = np.concatenate([divergence, far_divergence], axis=1)  # (M, images of both kinds)
        entropy = np.concatenate([predictive_entropy(probs), predictive_entropy(far_probs)], axis=1)
        numbers = [divergence.mean(), far_divergence.mean(), area_under_roc(differ, is_foreign).mean()]
        shown = ["–"] * 3 if method == "single" else [f"{number:.3f}" for number in numbers]
        found = f"{area_under_roc(entropy, is_foreign).mean():.3f}"
        rows.append([names[method], 1 if method == "single" else size, *shown, found])
    columns = ["method", "networks", "divergence, test", "divergence, foreign", "AUROC, divergence", "AUROC, entropy"]
    return pd.DataFrame(rows, columns=columns)
