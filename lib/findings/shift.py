"""Figure 9: under dataset shift the ensemble stays ahead, and its members differ more.

`probs (S, M, n, K)`: what every run predicts at every severity, from 0 for the clean images; `targets (n,)`: the true
labels. Images are all those of the first corruption, then those of the second, and so on; `pictures (n,)` says which
test image each of them is. `within`: by method, the Jensen-Shannon divergence of `size` networks around every run on
every image, `(S, M, n)`; as many runs are compared.
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
        "reference": {"architectures": ["medium_cnn", "small_cnn"]},
    },
    ranges={"num_foreign": (1, math.inf)},
)


@claim("shift/ensemble", "the ensemble stays ahead under shift", figure="9 left, middle", criterion=Criterion(">", 0))
def stays_ahead(probs: np.ndarray, targets: np.ndarray, pictures: np.ndarray) -> Estimate:
    """Smallest accuracy advantage of the ensemble over one network over severities 1 to 5.

    The ensemble is of one run fewer than there are: so it is of one size when a run is left out.
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
    """Slope of (single Brier score - ensemble Brier score) on severity."""
    advantage = _advantage(probs, targets, 1, pictures)
    return interval(lambda **chosen: _slope(-advantage(**chosen)), **_sizes(probs, pictures))


@claim(
    "shift/jsd",
    "independent members are the most diverse at every severity",
    figure="9 right",
    criterion=Criterion(">", 0),
)
def diverse(probs: np.ndarray, within: Mapping[str, np.ndarray], size: int, pictures: np.ndarray) -> Estimate:
    """Smallest margin of their Jensen-Shannon divergence over every within-run method, severities 0 to 5."""
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
    """Slope of their Jensen-Shannon divergence on severity."""
    between = _divergence(probs, size, pictures)
    return interval(lambda **chosen: _slope(between(**chosen)), **_sizes(probs, pictures))


@claim(
    "shift/ood",
    "independent members disagree more out of distribution than within-run samples",
    figure="Sec. 5",
    criterion=Criterion(">", 0),
)
def out_of_distribution(probs: np.ndarray, within: Mapping[str, np.ndarray], size: int) -> Estimate:
    """Margin of their Jensen-Shannon divergence on out-of-distribution images over the best within-run method.

    All on these images, without severities: `probs (M, n, K)`, and `(M, n)` by method.
    """
    count, images, _ = probs.shape
    between = equal_sizes(lambda members: jensen_shannon_by_example(probs[members]), count, size=size)
    inside = np.stack(list(within.values()))  # (methods, M, n)

    def margins(members: np.ndarray, images: np.ndarray) -> np.ndarray:
        return between(members, images) - mean_over(inside, images)[:, members].mean(axis=1)

    return extreme(margins, "smallest", members=count, images=images)


def weights(pictures: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Weights `(n,)` of sum one, for test images that were drawn with replacement.

    An image that was drawn twice counts twice, under each corruption that it stands under; corruptions are not drawn.
    """
    drawn = np.bincount(images, minlength=int(pictures.max()) + 1)[pictures]
    return drawn / drawn.sum()


def _slope(values: np.ndarray) -> float:
    """Of `values (S,)` on the severities from 0."""
    return np.polyfit(np.arange(len(values)), values, 1)[0]


def _sizes(probs: np.ndarray, pictures: np.ndarray) -> dict[str, int]:
    """How many runs and test images there are."""
    return {"members": probs.shape[1], "images": int(pictures.max()) + 1}


def _advantage(
    probs: np.ndarray, targets: np.ndarray, score: int, pictures: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of members and images: a score of their ensemble less their mean score, by severity `(S,)`.

    `score` is a place in `scores_by_example`.
    """
    alone = np.stack([scores_by_example(own, targets)[score] for own in probs])  # (S, M, n)

    def together(members: np.ndarray) -> np.ndarray:
        return np.stack([scores_by_example(own[members].mean(axis=0), targets)[score] for own in probs])  # (S, n)

    ensemble = _of_ensembles(together, probs, pictures, None)
    return lambda members, images: ensemble(members, images) - (alone @ weights(pictures, images))[:, members].mean(-1)


def _divergence(probs: np.ndarray, size: int, pictures: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The divergence of `size` different members, a function of members and images: `(S,)`."""
    return _of_ensembles(
        lambda members: np.stack([jensen_shannon_by_example(own[members]) for own in probs]), probs, pictures, size
    )


def _of_ensembles(prepare: Callable, probs: np.ndarray, pictures: np.ndarray, size: int | None) -> Callable:
    """What is `(S, n)` of an ensemble of members, as a function of members and test images: `(S,)`."""
    return equal_sizes(prepare, probs.shape[1], lambda own, images: own @ weights(pictures, images), size)


# Pictures and tables


def scores(probs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Accuracy and Brier score of one run, a mean over runs, and of the ensemble of all, under each corruption.

    `probs (M, n, K)` at one severity and `targets (C, c)`, one row a corruption, give `(2, 2, C)`: one run and all
    runs, accuracy and Brier score, corruptions.
    """
    labels = targets.ravel()
    one = scores_by_example(probs, labels).mean(axis=1)  # (2, n)
    together = scores_by_example(probs.mean(axis=0), labels)  # (2, n)
    return np.stack([one, together]).reshape(2, 2, *targets.shape).mean(axis=-1)


def gains(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What each method gains over a single network: more accuracy, less Brier score.

    `values`: by method, `single` among them, `scores` at every severity: `(2, 2, S, C)`, as what is returned.
    """
    better = np.array([1, -1])[:, None, None]
    return {method: better * (own - values["single"][0]) for method, own in values.items()}


def shifted(values: Mapping[str, np.ndarray], titles: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    """The table of scores at severity 0, on average over 1 to 5, and at 5.

    `values (2, 2, S, C)` by method as in `gains`, `titles` of one run and of all runs, `names` of methods in print.
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
    """The table of how well foreign images are told from clean test images, by divergence and by entropy.

    One row for each of the `methods`, of `size` networks; `names` in print. `clean` and `foreign` have, by method, what
    is predicted on such images and how much the networks differ, as `within_runs` gives them: `(M, n, K)` and `(M, n)`;
    `single` does not differ from itself.
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
