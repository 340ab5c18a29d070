"""Diversity at a given accuracy, and its upper and lower limits (appendix D of the paper)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from lib.metrics.checks import shaped, valid_fraction, valid_labels

#: Grid of exponents of the flip family that `fit_flip_exponent` searches before it refines between them; the range is
#: that of figure S6.
FLIP_EXPONENTS = np.geomspace(0.01, 10, 25)

#: Newton's method for the flip probability at an accuracy: tolerance and maximum number of steps. It mostly takes 5 to
#: 10 steps; where the curve is flat, one step per binary digit.
NEWTON_TOLERANCE, NEWTON_STEPS = 1e-10, 50


def per_error(disagreement: ArrayLike, accuracy: ArrayLike) -> np.ndarray | float:
    """`disagreement` / (1 - `accuracy`), nan if `accuracy` is 1."""
    errors = 1 - np.asarray(accuracy)
    return np.divide(disagreement, np.where(errors > 0, errors, np.nan))[()]


def normalized_diversity(labels: ArrayLike, reference: ArrayLike, targets: ArrayLike) -> np.ndarray | float:
    """Disagreement with a reference network per error: d / (1 - a), a being the accuracy of `labels`, not `reference`.

    Predicted `labels (N, n)`, predictions `reference (n,)` of the reference and true `targets (n,)` give `(N,)`;
    `labels (n,)` give a float. 0 for the reference itself; about 1 for guessing; no unit, no upper bound, and nan for a
    network without errors. Source: the paper's figures 6, 7, S5 and S6.
    """
    labels = valid_labels("labels", labels, "N n", "n")
    reference = valid_labels("reference", reference, "n", n=labels.shape[-1])
    targets = valid_labels("targets", targets, "n", n=labels.shape[-1])
    return per_error(np.mean(labels != reference, axis=-1), np.mean(labels == targets, axis=-1))


def diversity_at_accuracy(
    sample_accuracies: ArrayLike, sample_diversities: ArrayLike, accuracy: ArrayLike
) -> np.ndarray | float:
    """Normalised diversity of a method's samples at a given accuracy.

    An isotonic fit: the least-squares curve that never rises with accuracy, linear between the samples; it has no
    bandwidth to choose. `sample_accuracies (n,)` and `sample_diversities (n,)` are results of `accuracy` and
    `normalized_diversity`; samples whose diversity is nan are left out. The result has the shape of `accuracy`, which
    can be any; it is nan outside the range of the samples' accuracies, as nothing is extrapolated.
    """
    # Imported here for the reason given in `area_under_roc`.
    from sklearn import config_context
    from sklearn.isotonic import IsotonicRegression

    accuracies = valid_fraction("sample_accuracies", shaped("sample_accuracies", sample_accuracies, "n"))
    diversities = shaped("sample_diversities", sample_diversities, "n", n=len(accuracies)).astype(np.float64)
    wanted = valid_fraction("accuracy", accuracy)
    known = np.isfinite(diversities)
    if not known.any():
        return np.full(wanted.shape, np.nan)[()]
    # The inputs are already checked; scikit-learn's own checks would take half of the time of so small a fit.
    with config_context(skip_parameter_validation=True, assume_finite=True):
        fit = IsotonicRegression(increasing=False).fit(accuracies[known], diversities[known])
    return np.interp(wanted, fit.X_thresholds_, fit.y_thresholds_, left=np.nan, right=np.nan)[()]


def uncorrelated_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of two networks that make independent errors: the upper dashed curve of figure 6.

    d / (1 - a) with d = (1 - a*) a + (1 - a) a* + (1 - a*)(1 - a)(K - 2)/(K - 1), where a is the `accuracy`, a* the
    `reference_accuracy` (fractions that broadcast) and K = `num_classes`. Errors are equally likely on all K - 1 wrong
    classes. Divided by the error rate, to be comparable with `normalized_diversity` (multiply by 1 - a for the
    paper's d). No unit; 1 at chance, nan at a = 1. Source: appendix D.1.
    """
    a, best = valid_fraction("accuracy", accuracy), valid_fraction("reference_accuracy", reference_accuracy)
    both_wrong = (1 - best) * (1 - a) * (num_classes - 2) / (num_classes - 1)
    return per_error((1 - best) * a + (1 - a) * best + both_wrong, a)


def perturbed_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of a network and a copy with labels flipped at random: the lower dashed curve of figure 6.

    d / (1 - a) with d = p = (K - 1)(a* - a)/(K a* - 1), the probability of flipping a label to another one at random
    that reduces accuracy from a* to a. Arguments, unit and division by the error rate as in `uncorrelated_limit`.
    Flips cannot reach accuracies outside [(1 - a*)/(K - 1), a*]; there p is clipped to 0 or 1. 1 at chance, nan at
    a = 1 and for a reference no better than chance. Source: appendix D.2.
    """
    a, best = valid_fraction("accuracy", accuracy), _better_than_chance(reference_accuracy, num_classes)
    flip = (num_classes - 1) * (best - a) / (num_classes * best - 1)
    return per_error(np.clip(flip, 0, 1), a)


def flip_family(
    flip: ArrayLike, exponent: ArrayLike, reference_accuracy: ArrayLike, num_classes: int
) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Accuracy and disagreement of a copy whose wrong labels flip with another probability than its correct ones.

    A correct label flips to another one with probability p₊ = `flip` in [0, 1], a wrong label with p₋ = p₊^e, where e =
    `exponent` ≥ 0; for e below 1 wrong labels flip more often. With reference accuracy a* and K classes:
    a = a* (1 - p₊) + (1 - a*) p₋ / (K - 1) and d = a* p₊ + (1 - a*) p₋. All arguments broadcast. Both results are
    fractions in [0, 1]; d is **not** divided by 1 - a. e = 1 is `perturbed_limit`. Source: appendix D.3, whose printed
    equations have their left-hand sides swapped.
    """
    correct = valid_fraction("flip", flip)
    best = valid_fraction("reference_accuracy", reference_accuracy)
    wrong = correct ** np.asarray(exponent, dtype=np.float64)
    after = best * (1 - correct) + (1 - best) * wrong / (num_classes - 1)
    return after[()], (best * correct + (1 - best) * wrong)[()]


def flip_family_diversity(
    accuracy: ArrayLike, exponent: ArrayLike, reference_accuracy: ArrayLike, num_classes: int
) -> np.ndarray | float:
    """Normalised diversity of the flip family at a given accuracy: `flip_family` as a curve, like the two limits.

    Arguments as in `flip_family` and unit as in the limits; all arguments broadcast. Accuracy need not be monotone in
    p₊: for e in (0, 1) the first flips, mostly of wrong labels, raise it a little above a*, and for large e the last
    flips may raise it again. The curve is the part in between, where accuracy falls: the only part that goes below a*.
    Accuracies beyond its ends use the disagreement of the nearer end, but their own error rate. e = 1 is
    `perturbed_limit`; nan in the same cases. Source: appendix D.3.
    """
    a, best = valid_fraction("accuracy", accuracy), _better_than_chance(reference_accuracy, num_classes)
    exponent = np.asarray(exponent, dtype=np.float64)
    flip = _flip_at(a, exponent, best, (1 - best) / (num_classes - 1))
    return per_error(best * flip + (1 - best) * flip**exponent, a)


def fit_flip_exponent(
    accuracies: ArrayLike, disagreements: ArrayLike, reference_accuracy: float, num_classes: int
) -> float:
    """The exponent whose curve best fits the points: smallest `diversity_rmse` from `flip_family_diversity`.

    `accuracies (n,)` and `disagreements (n,)` with a reference of `reference_accuracy` give a float in the range of
    `FLIP_EXPONENTS`; nan if the best exponent is at an end of the range, no point has errors, or the reference is no
    better than chance. Below 1, wrong labels flip more often; the paper fits 0.22 to samples around a ResNet-20 on
    CIFAR-100. Source: appendix D.3, figure S6.
    """
    accuracies = valid_fraction("accuracies", accuracies)
    erring = accuracies < 1
    accuracies, diversities = accuracies[erring], per_error(disagreements, accuracies)[erring]
    if not erring.any() or np.isnan(_better_than_chance(reference_accuracy, num_classes)):
        return float("nan")

    def squares(log_exponent):
        exponent = np.exp(log_exponent)[..., None]
        curve = flip_family_diversity(accuracies, exponent, reference_accuracy, num_classes)
        return np.square(diversities - curve).mean(axis=-1)

    # The mean square may have several local minima: the grid finds the best one, and the search then refines it.
    grid = np.log(FLIP_EXPONENTS)
    best = int(np.argmin(squares(grid)))
    if best in (0, len(grid) - 1):
        return float("nan")
    return float(np.exp(minimize_scalar(squares, bounds=grid[[best - 1, best + 1]], method="bounded").x))


def diversity_rmse(accuracies: ArrayLike, disagreements: ArrayLike, curve: ArrayLike) -> float:
    """Root mean squared distance of points from a curve, in normalised diversity at the points' accuracies.

    `accuracies (n,)` and `disagreements (n,)` of the points; `curve (n,)` is the value at these accuracies of
    `uncorrelated_limit`, `perturbed_limit` or `flip_family_diversity`. 0 is best, no unit. Points without errors have
    no normalised diversity and are left out; nan if none remain.
    """
    accuracies = valid_fraction("accuracies", accuracies)
    squares = np.square(per_error(disagreements, accuracies) - curve)[accuracies < 1]
    return float(np.sqrt(np.mean(squares))) if squares.size else float("nan")


def _better_than_chance(reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray:
    """The reference's accuracy, or nan if it is no better than guessing, as the models of flips do not apply then."""
    best = valid_fraction("reference_accuracy", reference_accuracy)
    return np.where(best * num_classes > 1, best, np.nan)


def _flip_at(accuracy: np.ndarray, exponent: np.ndarray, best: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """p₊ at which a* (1 - p₊) + `gain` p₊^e falls to `accuracy`, where a* = `best`; the nearer end if out of reach."""
    # As p^e is concave for e < 1 and convex for e > 1, accuracy turns at most once: before or after its fall.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turn = np.exp(np.log(gain * exponent / best) / (1 - exponent))
    smallest = np.finfo(np.float64).tiny  # not 0, where p^(e - 1) is infinite
    first = np.maximum(np.where(exponent < 1, turn, 0), smallest)
    last = np.where(exponent > 1, np.minimum(turn, 1), 1)

    def reached(flip):
        return best * (1 - flip) + gain * flip**exponent

    # Newton's method from the end where accuracy falls fastest, which cannot overshoot. Targets out of reach stay at
    # this end: at the other end accuracy is flat and Newton's method is slow.
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
