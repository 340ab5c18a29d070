"""What a set of networks looks like in weight space and in function space.

Members come first on every axis: `weights (N, P)`, `probs (N, n, K)`, predicted labels `(N, n)`, for N networks of
P weights on n examples of K classes. Sums are taken in float64 whatever comes in, member by member or block by
block, so that memory stays near that of the input. Every function raises `ValueError` for an array of the wrong
shape, for probabilities that are none and for labels out of range.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import pdist, squareform
from scipy.special import entr

#: How far the probabilities of one example may be from summing to one: what ten to a thousand half-precision
#: classes can lose to rounding; logits or percentages are far outside.
SUM_TOLERANCE = 1e-3

#: A probability below this counts as this in the negative log-likelihood: the smallest normal float32, about
#: 1.2e-38. A float32 softmax gives 0 beneath it, and one such example would make the mean infinite; this way it
#: costs 87 nats. No probability that float32 holds in full precision is changed.
PROBABILITY_FLOOR = float(np.finfo(np.float32).tiny)

#: Exponents of the flip family among which `fit_flip_exponent` looks before it goes in between; from end to end as in
#: figure S6.
FLIP_EXPONENTS = np.geomspace(0.01, 10, 25)

#: When the flip probability at an accuracy is known well enough; mostly after 5 to 10 steps, and a point where the
#: curve is flat takes one a binary digit.
NEWTON_TOLERANCE, NEWTON_STEPS = 1e-10, 50

#: Numbers of a matrix taken to float64 at a time: 16 MB.
BLOCK_NUMBERS = 1 << 21


# Weight space


def cosine_similarity(weights: ArrayLike) -> np.ndarray:
    """Cosine of the angle between every two weight vectors: w_i · w_j / (|w_i| |w_j|).

    `weights (N, P)` gives `(N, N)` in [-1, 1]: 1 for the same direction, 0 for orthogonal, no unit. Weights and
    biases alike count. Raises for a vector of zeros, which has no direction, and for weights that are not finite.
    Source: the paper's figures 2 and 3.
    """
    weights = _shaped("weights", weights, "N P")
    gram = sum(block @ block.T for block in _blocks(weights))
    norms = np.sqrt(np.diag(gram))
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        raise ValueError(f"weights: every vector must be finite and not zero, vector {bad[0]} is not")
    cosine = np.clip(gram / np.outer(norms, norms), -1, 1)
    np.fill_diagonal(cosine, 1)
    return cosine


# Function space: one network against the truth


def top_labels(probs: ArrayLike) -> np.ndarray:
    """The most probable class, the lower one of a tie: `probs (N, n, K)` gives `(N, n)`, `(n, K)` gives `(n,)`."""
    return _probabilities(probs, "N n K", "n K").argmax(axis=-1)


def accuracy(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Fraction of examples whose most probable class is the true one.

    `probs (N, n, K)` and true `labels (n,)` give `(N,)`, `probs (n, K)` a float; in [0, 1], higher is better.
    """
    return _score(lambda probs, labels: np.mean(probs.argmax(axis=1) == labels), probs, labels)


def brier_score(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Squared distance of the probabilities from the truth: mean over examples of Σ_k (p_k - [k = label])².

    The sum over classes, as in the paper, not the mean. `probs (N, n, K)` and true `labels (n,)` give `(N,)`,
    `probs (n, K)` a float; in [0, 2], 0 is best. Source: Brier 1950.
    """

    def brier(probs, labels):
        return np.mean(np.square(probs - np.eye(probs.shape[1])[labels]).sum(axis=1))

    return _score(brier, probs, labels)


def negative_log_likelihood(probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """Surprise at the truth: mean over examples of -log p_label, in nats, with p no smaller than `PROBABILITY_FLOOR`.

    `probs (N, n, K)` and true `labels (n,)` give `(N,)`, `probs (n, K)` a float; 0 is best, 87.3 the worst.
    """

    def surprise(probs, labels):
        return -np.mean(np.log(np.maximum(probs[np.arange(len(labels)), labels], PROBABILITY_FLOOR)))

    return _score(surprise, probs, labels)


def expected_calibration_error(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> np.ndarray | float:
    """How far confidence is from accuracy: Σ_b (n_b / n) |accuracy_b - mean confidence_b|.

    Confidence is the probability of the most probable class; bin b of `bins` holds confidences in
    (b / bins, (b + 1) / bins]. `probs (N, n, K)` and true `labels (n,)` give `(N,)`, `probs (n, K)` a float; a
    fraction in [0, 1], 0 is best. Source: Naeini et al. 2015, Guo et al. 2017.
    """
    if bins < 1:
        raise ValueError(f"bins: expected at least 1, received {bins}")

    def calibration(probs, labels):
        confidence = probs.max(axis=1)
        bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
        gaps = np.bincount(bin_of, weights=(probs.argmax(axis=1) == labels) - confidence)
        return np.abs(gaps).sum() / len(labels)

    return _score(calibration, probs, labels)


# Function space: networks against each other


def disagreement(labels: ArrayLike) -> np.ndarray:
    """Fraction of examples on which two networks' labels differ: (1/n) Σ_x [f_i(x) ≠ f_j(x)].

    Predicted `labels (N, n)` give `(N, N)` in [0, 1], symmetric, zeros on the diagonal. Source: the paper's
    figures 2 and 3.
    """
    labels = _labels("labels", labels, "N n")
    return np.array([np.count_nonzero(labels != row, axis=1) for row in labels]) / labels.shape[1]


def jensen_shannon_divergence(probs: ArrayLike) -> float:
    """How different the members' distributions are: mean over examples of H(mean_i p_i) - mean_i H(p_i), in nats.

    H(p) = -Σ_k p_k log p_k, with 0 log 0 = 0. `probs (N, n, K)` gives a float in [0, log min(N, K)]: 0 for members
    that predict the same, log N for members that are each certain of another class. This is the average of the
    members' KL divergences from their mean, as in the authors' code; the paper's formula has their sum, N times it.
    """
    return float(jensen_shannon_by_example(probs).mean())


def jensen_shannon_by_example(probs: ArrayLike) -> np.ndarray:
    """`jensen_shannon_divergence` of each example instead of their mean: `probs (N, n, K)` gives `(n,)`, in nats.

    As a score of how foreign an example is to the members it is what `area_under_roc` takes.
    """
    probs = _probabilities(probs, "N n K")
    mean = np.zeros(probs.shape[1:])
    entropy = np.zeros(probs.shape[1])
    for member in _members(probs):
        mean += member
        entropy += _entropy(member)
    mean, entropy = mean / len(probs), entropy / len(probs)
    # Rounding may take an example that all members agree on a few 1e-16 below zero.
    return np.maximum(_entropy(mean) - entropy, 0)


def euclidean_distances(points: ArrayLike) -> np.ndarray:
    """Distance between every two points: |x_i - x_j|, from differences, so that near points stay exact.

    `points (N, D)`, or `probs (N, n, K)` with all examples and classes as one long vector, as t-SNE sees them, give
    `(N, N)`, symmetric, zeros on the diagonal; in the unit of the points.
    """
    points = _shaped("points", points, "N D", "N n K")
    return squareform(np.sqrt(sum(pdist(block, "sqeuclidean") for block in _blocks(points.reshape(len(points), -1)))))


def nearest_neighbors(distances: ArrayLike) -> np.ndarray:
    """Index of the nearest other point, from `distances (N, N)`: `(N,)`; a tie goes to the lower index."""
    distances = _shaped("distances", distances, "N N").astype(np.float64)
    if len(distances) < 2:
        raise ValueError(f"distances: expected at least two points, received shape {distances.shape}")
    np.fill_diagonal(distances, np.inf)
    return distances.argmin(axis=1)


def neighbor_purity(distances: ArrayLike, groups: ArrayLike, chosen: ArrayLike | None = None) -> float:
    """Share of points whose nearest other point is of their own group.

    `distances (N, N)` as from `euclidean_distances`, `groups (N,)` the group of each point; with `chosen`, only points
    of those groups take part. 0 to 1; nan where fewer than two groups take part.
    """
    distances, groups = np.asarray(distances), np.asarray(groups)
    taking_part = np.ones(len(groups), bool) if chosen is None else np.isin(groups, chosen)
    groups = groups[taking_part]
    if len(np.unique(groups)) < 2:
        return float("nan")
    nearest = nearest_neighbors(distances[np.ix_(taking_part, taking_part)])
    return float(np.mean(groups[nearest] == groups))


# Out of distribution


def predictive_entropy(probs: ArrayLike) -> np.ndarray:
    """How undecided a prediction is, example by example: H(p) = -Σ_k p_k log p_k, in nats.

    `probs (N, n, K)` gives `(N, n)`, each member by itself, `(n, K)` gives `(n,)`; in [0, log K]. The entropy of an
    ensemble is that of its mean prediction: `predictive_entropy(probs.mean(axis=0))`.
    """
    probs = _probabilities(probs, "N n K", "n K")
    if probs.ndim == 2:
        return _entropy(probs.astype(np.float64))
    return np.array([_entropy(member) for member in _members(probs)])


def area_under_roc(scores: ArrayLike, positive: ArrayLike) -> np.ndarray | float:
    """Chance that a positive example has a higher score than a negative one, ties counting half: the AUROC.

    `scores (N, n)` give `(N,)`, `(n,)` a float; `positive (n,)` are booleans, such as which examples are from out of
    distribution. In [0, 1]: 1 when every positive example scores above every other, 0.5 for a score that says
    nothing; nan without examples of both kinds.
    """
    # Here, since every training process imports this module and scikit-learn takes a second.
    from sklearn.metrics import roc_auc_score

    scores = _shaped("scores", scores, "N n", "n")
    positive = _shaped("positive", positive, "n", n=scores.shape[-1])
    if positive.dtype != bool:
        raise ValueError(f"positive: expected booleans, received {positive.dtype}")
    if not np.all(np.isfinite(scores)):
        raise ValueError("scores: expected finite numbers")
    if positive.all() or not positive.any():
        return np.full(scores.shape[:-1], np.nan)[()]
    if scores.ndim == 1:
        return float(roc_auc_score(positive, scores))
    return np.array([roc_auc_score(positive, member) for member in scores])


# Diversity at a given accuracy, and what it could be at most and at least


def normalized_diversity(labels: ArrayLike, reference: ArrayLike, targets: ArrayLike) -> np.ndarray | float:
    """Disagreement with a reference network per error: d / (1 - a), a the accuracy of `labels`, not of the reference.

    Predicted `labels (N, n)`, the `reference (n,)` network's and true `targets (n,)` give `(N,)`, `labels (n,)` a
    float. 0 for the reference's own function; about 1 where guessing; no unit, no upper end, and nan for a network
    without errors. Source: the paper's figures 6, 7, S5 and S6.
    """
    labels = _labels("labels", labels, "N n", "n")
    reference = _labels("reference", reference, "n", n=labels.shape[-1])
    targets = _labels("targets", targets, "n", n=labels.shape[-1])
    return _per_error(np.mean(labels != reference, axis=-1), np.mean(labels == targets, axis=-1))


def diversity_at_accuracy(
    sample_accuracies: ArrayLike, sample_diversities: ArrayLike, accuracy: ArrayLike
) -> np.ndarray | float:
    """Normalised diversity that a method's samples have at a given accuracy.

    An isotonic fit: the curve that never rises with accuracy and is nearest to the samples in squares, straight
    between them; it has no bandwidth to choose. `sample_accuracies (n,)` and `sample_diversities (n,)` are those of
    `accuracy` and `normalized_diversity`, samples without a diversity (nan) are left out. `accuracy` of any shape
    gives that shape; nan outside the range of the samples' accuracies, as nothing is extrapolated.
    """
    # Here for the reason given in `area_under_roc`.
    from sklearn.isotonic import IsotonicRegression

    accuracies = _fraction("sample_accuracies", _shaped("sample_accuracies", sample_accuracies, "n"))
    diversities = _shaped("sample_diversities", sample_diversities, "n", n=len(accuracies)).astype(np.float64)
    wanted = _fraction("accuracy", accuracy)
    known = np.isfinite(diversities)
    if not known.any():
        return np.full(wanted.shape, np.nan)[()]
    fit = IsotonicRegression(increasing=False).fit(accuracies[known], diversities[known])
    return np.interp(wanted, fit.X_thresholds_, fit.y_thresholds_, left=np.nan, right=np.nan)[()]


def uncorrelated_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of two networks that make independent errors: the upper dashed curve of figure 6.

    d / (1 - a) with d = (1 - a*) a + (1 - a) a* + (1 - a*)(1 - a)(K - 2)/(K - 1), a the `accuracy`, a* the
    `reference_accuracy` (fractions that broadcast) and K = `num_classes`: errors fall on any of the K - 1 wrong
    classes alike. Divided by the error rate, to be compared with `normalized_diversity` (multiply by 1 - a for the
    paper's d). No unit; 1 at chance, nan at a = 1. Source: appendix D.1.
    """
    a, best = _accuracies(accuracy, reference_accuracy, num_classes)
    both_wrong = (1 - best) * (1 - a) * (num_classes - 2) / (num_classes - 1)
    return _per_error((1 - best) * a + (1 - a) * best + both_wrong, a)


def perturbed_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of a network and a copy with labels flipped at random: the lower dashed curve of figure 6.

    d / (1 - a) with d = p = (K - 1)(a* - a)/(K a* - 1), the chance that a label becomes another one, any alike, which
    brings accuracy from a* down to a. Arguments, unit and division by the error rate as in `uncorrelated_limit`.
    Flips alone reach no accuracy outside [(1 - a*)/(K - 1), a*]; beyond its ends p stays 0 or 1. 1 at chance, nan at
    a = 1. Raises for a reference no better than chance. Source: appendix D.2.
    """
    a, best = _accuracies(accuracy, reference_accuracy, num_classes)
    _above_chance(best, num_classes)
    flip = (num_classes - 1) * (best - a) / (num_classes * best - 1)
    return _per_error(np.clip(flip, 0, 1), a)


def flip_family(
    flip: ArrayLike, exponent: ArrayLike, reference_accuracy: ArrayLike, num_classes: int
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Accuracy and disagreement of a copy whose wrong labels flip more, or less, readily than its correct ones.

    A correct label becomes another one with probability p₊ = `flip` in [0, 1], a wrong one with p₋ = p₊^e, e =
    `exponent` ≥ 0; below 1, wrong labels flip more readily. From reference accuracy a*, with K classes:
    a = a* (1 - p₊) + (1 - a*) p₋ / (K - 1) and d = a* p₊ + (1 - a*) p₋. All broadcast. Both fractions in [0, 1]; d is
    **not** divided by 1 - a. e = 1 is `perturbed_limit`. Source: appendix D.3, whose printed equations have their
    left-hand sides interchanged.
    """
    correct = _fraction("flip", flip)
    best = _fraction("reference_accuracy", reference_accuracy)
    _at_least_two(num_classes)
    exponent = _exponents(exponent)
    wrong = correct**exponent
    after = best * (1 - correct) + (1 - best) * wrong / (num_classes - 1)
    return after[()], (best * correct + (1 - best) * wrong)[()]


def flip_family_diversity(
    accuracy: ArrayLike, exponent: ArrayLike, reference_accuracy: ArrayLike, num_classes: int
) -> np.ndarray | float:
    """Normalised diversity of the flip family at a given accuracy: `flip_family` read as a curve, like the two limits.

    Arguments and unit as there; all broadcast. Accuracy as a function of p₊ need not be monotone: for e in (0, 1) the
    first flips, mostly of wrong labels, raise it a little above a*, and for large e the last ones may raise it again.
    The curve is the part between, on which accuracy falls: the only one that leads below a*. An accuracy beyond its
    ends has the disagreement of the nearer end, divided by the error rate of that accuracy all the same. e = 1 is
    `perturbed_limit`; nan at a = 1. Raises for a reference no better than chance. Source: appendix D.3.
    """
    a, best = _accuracies(accuracy, reference_accuracy, num_classes)
    _above_chance(best, num_classes)
    exponent = _exponents(exponent)
    flip = _flip_at(a, exponent, best, (1 - best) / (num_classes - 1))
    return _per_error(flip_family(flip, exponent, best, num_classes)[1], a)


def fit_flip_exponent(
    accuracies: ArrayLike, disagreements: ArrayLike, reference_accuracy: float, num_classes: int
) -> float:
    """The exponent whose curve is nearest to the points: least `diversity_rmse` from `flip_family_diversity`.

    `accuracies (n,)` and `disagreements (n,)` with a reference of `reference_accuracy` give a float in the range of
    `FLIP_EXPONENTS`; nan when no point has errors. Below 1, wrong labels flip more readily; the paper fits 0.22 to
    samples around a ResNet-20 on CIFAR-100. Source: appendix D.3, figure S6.
    """
    accuracies, disagreements = _points(accuracies, disagreements)
    erring = accuracies < 1
    accuracies, diversities = accuracies[erring], _per_error(disagreements, accuracies)[erring]
    if not accuracies.size:
        return float("nan")

    def squares(log_exponent):
        exponent = np.exp(log_exponent)[..., None]
        curve = flip_family_diversity(accuracies, exponent, reference_accuracy, num_classes)
        return np.square(diversities - curve).mean(axis=-1)

    # The sum of squares may have several valleys: a grid finds the deepest, and its bottom is near.
    grid = np.log(FLIP_EXPONENTS)
    best = int(np.argmin(squares(grid)))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(np.exp(minimize_scalar(squares, bounds=around, method="bounded").x))


def diversity_rmse(accuracies: ArrayLike, disagreements: ArrayLike, curve: ArrayLike) -> float:
    """Root of the mean squared distance of points from a curve, in normalised diversity at the points' accuracies.

    `accuracies (n,)` and `disagreements (n,)` of the points, and what the `curve (n,)` has at these accuracies: one of
    `uncorrelated_limit`, `perturbed_limit` and `flip_family_diversity`. 0 is best, no unit. Points without errors have
    no normalised diversity and are left out; nan when no other is there.
    """
    accuracies, disagreements = _points(accuracies, disagreements)
    curve = _shaped("curve", curve, "n", n=len(accuracies))
    erring = accuracies < 1
    if not erring.any():
        return float("nan")
    return float(np.sqrt(np.mean(np.square(_per_error(disagreements, accuracies) - curve)[erring])))


def _flip_at(accuracy: np.ndarray, exponent: np.ndarray, best: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """p₊ at which a* (1 - p₊) + `gain` p₊^e falls to `accuracy`, a* = `best`; at an end where it does not get there."""
    # As p^e is concave for e < 1 and convex for e > 1, accuracy turns at most once: before it falls, or after.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turn = np.exp(np.log(gain * exponent / best) / (1 - exponent))
    smallest = np.finfo(np.float64).tiny  # and not 0, where p^(e - 1) is infinite
    first = np.maximum(np.where(exponent < 1, turn, 0), smallest)
    last = np.where(exponent > 1, np.minimum(turn, 1), 1)

    def reached(flip):
        return best * (1 - flip) + gain * flip**exponent

    # By Newton's method from the end at which accuracy falls fastest, whence it cannot overshoot. What is out of reach
    # stays there: at the other end accuracy is flat, and Newton's method slow.
    flip = np.where(exponent < 1, last, first)
    below, above = accuracy <= reached(last), accuracy >= reached(first)
    target = np.where(below | above, reached(flip), accuracy)
    flip = np.broadcast_to(flip, target.shape)
    for _ in range(NEWTON_STEPS):
        step = (reached(flip) - target) / (gain * exponent * flip ** (exponent - 1) - best)
        flip = np.clip(flip - step, first, last)
        if np.abs(step).max() < NEWTON_TOLERANCE:
            break
    return np.where(below, last, np.where(above, first, flip))


# Shared by all of the above


def _shaped(name: str, value: ArrayLike, *layouts: str, **sizes: int) -> np.ndarray:
    """`value` as an array of one of the `layouts`, such as "N n K"; a letter of `sizes` must have that size."""
    array = np.asarray(value)
    for layout in layouts:
        axes = layout.split()
        known = dict(sizes)
        # A letter seen twice, as in "N N", binds at its first axis.
        if array.ndim == len(axes) and all(
            known.setdefault(axis, size) == size > 0 for axis, size in zip(axes, array.shape, strict=True)
        ):
            return array
    expected = " or ".join(
        "(" + ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else axis for axis in layout.split()) + ")"
        for layout in layouts
    )
    raise ValueError(f"{name}: expected shape {expected}, received {array.shape}")


def _probabilities(probs: ArrayLike, *layouts: str) -> np.ndarray:
    probs = _shaped("probs", probs, *layouts)
    off = np.abs(probs.sum(axis=-1, dtype=np.float64) - 1).max()
    if not (off <= SUM_TOLERANCE and probs.min() >= 0):  # written so that nan fails
        raise ValueError("probs: expected numbers of at least 0 that sum to one over the classes; are these logits?")
    return probs


def _labels(name: str, labels: ArrayLike, *layouts: str, classes: int | None = None, **sizes: int) -> np.ndarray:
    labels = _shaped(name, labels, *layouts, **sizes)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name}: expected integer class labels, received {labels.dtype}")
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        raise ValueError(
            f"{name}: expected labels from 0 to {'K' if classes is None else classes} - 1, "
            f"received {labels.min()} to {labels.max()}"
        )
    return labels


def _fraction(name: str, value: ArrayLike) -> np.ndarray:
    value = np.asarray(value, dtype=np.float64)
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(f"{name}: expected fractions from 0 to 1, received {value.min()} to {value.max()}")
    return value


def _at_least_two(num_classes: int) -> None:
    if num_classes < 2:
        raise ValueError(f"num_classes: expected at least 2, received {num_classes}")


def _above_chance(reference_accuracy: np.ndarray, num_classes: int) -> None:
    if np.any(reference_accuracy * num_classes <= 1):
        received = reference_accuracy.min()
        raise ValueError(f"reference_accuracy: expected above chance, 1/{num_classes}, received {received}")


def _exponents(exponent: ArrayLike) -> np.ndarray:
    exponent = np.asarray(exponent, dtype=np.float64)
    if not np.all(exponent >= 0):
        raise ValueError(f"exponent: expected 0 or more, received {exponent.min()}")
    return exponent


def _points(accuracies: ArrayLike, disagreements: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    accuracies = _fraction("accuracies", _shaped("accuracies", accuracies, "n"))
    return accuracies, _fraction("disagreements", _shaped("disagreements", disagreements, "n", n=len(accuracies)))


def _accuracies(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    _at_least_two(num_classes)
    return _fraction("accuracy", accuracy), _fraction("reference_accuracy", reference_accuracy)


def _entropy(probs: np.ndarray) -> np.ndarray:
    """In nats, over the last axis."""
    return entr(probs).sum(axis=-1)


def _per_error(disagreement: ArrayLike, accuracy: ArrayLike) -> np.ndarray | float:
    """`disagreement` / (1 - `accuracy`), nan where there are no errors to divide by."""
    errors = 1 - np.asarray(accuracy)
    return np.divide(disagreement, np.where(errors > 0, errors, np.nan))[()]


def _score(score: Callable[[np.ndarray, np.ndarray], float], probs: ArrayLike, labels: ArrayLike) -> np.ndarray | float:
    """`score(probs (n, K), labels (n,))` of one network as a float, or of each of N as `(N,)`."""
    probs = _probabilities(probs, "N n K", "n K")
    labels = _labels("labels", labels, "n", n=probs.shape[-2], classes=probs.shape[-1])
    if probs.ndim == 2:
        return float(score(probs.astype(np.float64), labels))
    return np.array([score(member, labels) for member in _members(probs)])


def _members(probs: np.ndarray) -> Iterator[np.ndarray]:
    return (member.astype(np.float64) for member in probs)


def _blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """The columns of `matrix` in float64, as many at a time as make `BLOCK_NUMBERS`: memory does not grow with it."""
    step = max(1, BLOCK_NUMBERS // len(matrix))
    return (matrix[:, start : start + step].astype(np.float64) for start in range(0, matrix.shape[1], step))
