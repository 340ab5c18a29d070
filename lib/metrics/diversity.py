"""Diversity at a given accuracy, and what it could be at most and at least (appendix D of the paper)."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from lib.metrics.checks import shaped, valid_fraction, valid_labels

#: Exponents of the flip family among which `fit_flip_exponent` looks before it goes in between; from end to end as in
#: figure S6.
FLIP_EXPONENTS = np.geomspace(0.01, 10, 25)

#: When the flip probability at an accuracy is known well enough; mostly after 5 to 10 steps, and a point where the
#: curve is flat takes one a binary digit.
NEWTON_TOLERANCE, NEWTON_STEPS = 1e-10, 50


def per_error(disagreement: ArrayLike, accuracy: ArrayLike) -> np.ndarray | float:
    """`disagreement` / (1 - `accuracy`), nan where there are no errors to divide by."""
    errors = 1 - np.asarray(accuracy)
    return np.divide(disagreement, np.where(errors > 0, errors, np.nan))[()]


def normalized_diversity(labels: ArrayLike, reference: ArrayLike, targets: ArrayLike) -> np.ndarray | float:
    """Disagreement with a reference network per error: d / (1 - a), a the accuracy of `labels`, not of the reference.

    Predicted `labels (N, n)`, the `reference (n,)` network's and true `targets (n,)` give `(N,)`, `labels (n,)` a
    float. 0 for the reference's own function; about 1 where guessing; no unit, no upper end, and nan for a network
    without errors. Source: the paper's figures 6, 7, S5 and S6.
    """
    labels = valid_labels("labels", labels, "N n", "n")
    reference = valid_labels("reference", reference, "n", n=labels.shape[-1])
    targets = valid_labels("targets", targets, "n", n=labels.shape[-1])
    return per_error(np.mean(labels != reference, axis=-1), np.mean(labels == targets, axis=-1))


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
    from sklearn import config_context
    from sklearn.isotonic import IsotonicRegression

    accuracies = valid_fraction("sample_accuracies", shaped("sample_accuracies", sample_accuracies, "n"))
    diversities = shaped("sample_diversities", sample_diversities, "n", n=len(accuracies)).astype(np.float64)
    wanted = valid_fraction("accuracy", accuracy)
    known = np.isfinite(diversities)
    if not known.any():
        return np.full(wanted.shape, np.nan)[()]
    # Half of the time of a fit this small would go into scikit-learn's checks of what is checked already.
    with config_context(skip_parameter_validation=True, assume_finite=True):
        fit = IsotonicRegression(increasing=False).fit(accuracies[known], diversities[known])
    return np.interp(wanted, fit.X_thresholds_, fit.y_thresholds_, left=np.nan, right=np.nan)[()]


def uncorrelated_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of two networks that make independent errors: the upper dashed curve of figure 6.

    d / (1 - a) with d = (1 - a*) a + (1 - a) a* + (1 - a*)(1 - a)(K - 2)/(K - 1), a the `accuracy`, a* the
    `reference_accuracy` (fractions that broadcast) and K = `num_classes`: errors fall on any of the K - 1 wrong
    classes alike. Divided by the error rate, to be compared with `normalized_diversity` (multiply by 1 - a for the
    paper's d). No unit; 1 at chance, nan at a = 1. Source: appendix D.1.
    """
    a, best = valid_fraction("accuracy", accuracy), valid_fraction("reference_accuracy", reference_accuracy)
    both_wrong = (1 - best) * (1 - a) * (num_classes - 2) / (num_classes - 1)
    return per_error((1 - best) * a + (1 - a) * best + both_wrong, a)


def perturbed_limit(accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray | float:
    """Normalised diversity of a network and a copy with labels flipped at random: the lower dashed curve of figure 6.

    d / (1 - a) with d = p = (K - 1)(a* - a)/(K a* - 1), the chance that a label becomes another one, any alike, which
    brings accuracy from a* down to a. Arguments, unit and division by the error rate as in `uncorrelated_limit`.
    Flips alone reach no accuracy outside [(1 - a*)/(K - 1), a*]; beyond its ends p stays 0 or 1. 1 at chance, nan at
    a = 1 and for a reference no better than chance. Source: appendix D.2.
    """
    a, best = valid_fraction("accuracy", accuracy), _better_than_chance(reference_accuracy, num_classes)
    flip = (num_classes - 1) * (best - a) / (num_classes * best - 1)
    return per_error(np.clip(flip, 0, 1), a)


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
    correct = valid_fraction("flip", flip)
    best = valid_fraction("reference_accuracy", reference_accuracy)
    wrong = correct ** np.asarray(exponent, dtype=np.float64)
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
    `perturbed_limit`; nan as there. Source: appendix D.3.
    """
    a, best = valid_fraction("accuracy", accuracy), _better_than_chance(reference_accuracy, num_classes)
    exponent = np.asarray(exponent, dtype=np.float64)
    flip = _flip_at(a, exponent, best, (1 - best) / (num_classes - 1))
    return per_error(best * flip + (1 - best) * flip**exponent, a)


def fit_flip_exponent(
    accuracies: ArrayLike, disagreements: ArrayLike, reference_accuracy: float, num_classes: int
) -> float:
    """The exponent whose curve is nearest to the points: least `diversity_rmse` from `flip_family_diversity`.

    `accuracies (n,)` and `disagreements (n,)` with a reference of `reference_accuracy` give a float in the range of
    `FLIP_EXPONENTS`; nan when the best lies at an end of it, no point has errors, or the reference is no better than
    chance. Below 1, wrong labels flip more readily; the paper fits 0.22 to samples around a ResNet-20 on CIFAR-100.
    Source: appendix D.3, figure S6.
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

    # The sum of squares may have several valleys: a grid finds the deepest, and its bottom is near.
    grid = np.log(FLIP_EXPONENTS)
    best = int(np.argmin(squares(grid)))
    if best in (0, len(grid) - 1):
        return float("nan")
    return float(np.exp(minimize_scalar(squares, bounds=grid[[best - 1, best + 1]], method="bounded").x))


def diversity_rmse(accuracies: ArrayLike, disagreements: ArrayLike, curve: ArrayLike) -> float:
    """Root of the mean squared distance of points from a curve, in normalised diversity at the points' accuracies.

    `accuracies (n,)` and `disagreements (n,)` of the points, and what the `curve (n,)` has at these accuracies: one of
    `uncorrelated_limit`, `perturbed_limit` and `flip_family_diversity`. 0 is best, no unit. Points without errors have
    no normalised diversity and are left out; nan when no other is there.
    """
    accuracies = valid_fraction("accuracies", accuracies)
    squares = np.square(per_error(disagreements, accuracies) - curve)[accuracies < 1]
    return float(np.sqrt(np.mean(squares))) if squares.size else float("nan")


def _better_than_chance(reference_accuracy: ArrayLike, num_classes: int) -> np.ndarray:
    """The accuracy of a reference, nan where it is that of guessing or less: it has no labels worth flipping."""
    best = valid_fraction("reference_accuracy", reference_accuracy)
    return np.where(best * num_classes > 1, best, np.nan)


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

    # By Newton's method from the end at which accuracy falls fastest, which cannot overshoot. What is out of reach
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
