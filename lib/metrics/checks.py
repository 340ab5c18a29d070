"""Checks of what metrics are computed from: a `ValueError` names the argument, what was expected and received."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

#: How far the probabilities of one example may be from summing to one: what ten to a thousand half-precision
#: classes can lose to rounding; logits or percentages are far outside.
SUM_TOLERANCE = 1e-3


#: Numbers of a matrix taken to float64 at a time: 16 MB.
BLOCK_NUMBERS = 1 << 21


def shaped(name: str, value: ArrayLike, *layouts: str, **sizes: int) -> np.ndarray:
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


def valid_probabilities(probs: ArrayLike, *layouts: str) -> np.ndarray:
    """`probs` of one of the `layouts`, each row summing to one."""
    probs = shaped("probs", probs, *layouts)
    off = np.abs(probs.sum(axis=-1, dtype=np.float64) - 1).max()
    if not (off <= SUM_TOLERANCE and probs.min() >= 0):  # written so that nan fails
        raise ValueError("probs: expected numbers of at least 0 that sum to one over the classes; are these logits?")
    return probs


def valid_labels(name: str, labels: ArrayLike, *layouts: str, classes: int | None = None, **sizes: int) -> np.ndarray:
    """Whole numbers of one of the `layouts`, from 0 to below `classes` where that is given."""
    labels = shaped(name, labels, *layouts, **sizes)
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{name}: expected integer class labels, received {labels.dtype}")
    if labels.min() < 0 or (classes is not None and labels.max() >= classes):
        raise ValueError(
            f"{name}: expected labels from 0 to {'K' if classes is None else classes} - 1, "
            f"received {labels.min()} to {labels.max()}"
        )
    return labels


def valid_fraction(name: str, value: ArrayLike) -> np.ndarray:
    """`value` in float64, all of it from 0 to 1."""
    value = np.asarray(value, dtype=np.float64)
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(f"{name}: expected fractions from 0 to 1, received {value.min()} to {value.max()}")
    return value


def check_classes(num_classes: int) -> None:
    """Raise for fewer than two classes."""
    if num_classes < 2:
        raise ValueError(f"num_classes: expected at least 2, received {num_classes}")


def check_above_chance(reference_accuracy: np.ndarray, num_classes: int) -> None:
    """Raise for a reference no better than guessing."""
    if np.any(reference_accuracy * num_classes <= 1):
        received = reference_accuracy.min()
        raise ValueError(f"reference_accuracy: expected above chance, 1/{num_classes}, received {received}")


def valid_exponents(exponent: ArrayLike) -> np.ndarray:
    """`exponent` in float64, nowhere negative."""
    exponent = np.asarray(exponent, dtype=np.float64)
    if not np.all(exponent >= 0):
        raise ValueError(f"exponent: expected 0 or more, received {exponent.min()}")
    return exponent


def valid_points(accuracies: ArrayLike, disagreements: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies and disagreements of points, `(n,)` each, fractions."""
    accuracies = valid_fraction("accuracies", shaped("accuracies", accuracies, "n"))
    return accuracies, valid_fraction("disagreements", shaped("disagreements", disagreements, "n", n=len(accuracies)))


def valid_accuracies(
    accuracy: ArrayLike, reference_accuracy: ArrayLike, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """An accuracy and that of the reference, fractions that broadcast."""
    check_classes(num_classes)
    return valid_fraction("accuracy", accuracy), valid_fraction("reference_accuracy", reference_accuracy)


def in_float64(probs: np.ndarray) -> Iterator[np.ndarray]:
    """The members one by one in float64, so that only one copy is in memory."""
    return (member.astype(np.float64) for member in probs)


def blocks(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """The columns of `matrix` in float64, as many at a time as make `BLOCK_NUMBERS`: memory does not grow with it."""
    step = max(1, BLOCK_NUMBERS // len(matrix))
    return (matrix[:, start : start + step].astype(np.float64) for start in range(0, matrix.shape[1], step))
