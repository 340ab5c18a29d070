"""Input checks for metrics: `ValueError` names the argument, what was expected and what was received."""

import numpy as np
from numpy.typing import ArrayLike

#: How far the sum of one example's probabilities may be from one: the rounding error of ten to a thousand classes in
#: half precision; logits and percentages are far outside.
SUM_TOLERANCE = 1e-3


def shaped(name: str, value: ArrayLike, *layouts: str, **sizes: int) -> np.ndarray:
    """`value` as a non-empty array with one of the `layouts`, such as "N n K"; `sizes` fixes the size of some axes."""
    array = np.asarray(value)
    for layout in layouts:
        axes = layout.split()
        fits = array.size and array.ndim == len(axes)
        if fits and all(sizes.get(axis, size) == size for axis, size in zip(axes, array.shape, strict=True)):
            return array
    expected = " or ".join(f"({', '.join(layout.split())})" for layout in layouts)
    known = "".join(f" with {axis} = {size}" for axis, size in sizes.items())
    raise ValueError(f"{name}: expected shape {expected}{known}, received {array.shape}")


def valid_probabilities(probs: ArrayLike, *layouts: str) -> np.ndarray:
    """`probs` as an array with one of the `layouts`, with every row summing to one."""
    probs = shaped("probs", probs, *layouts)
    off = np.abs(probs.sum(axis=-1, dtype=np.float64) - 1).max()
    if not (off <= SUM_TOLERANCE and probs.min() >= 0):  # written so that nan fails
        raise ValueError("probs: expected non-negative numbers that sum to one over the classes; are these logits?")
    return probs


def valid_labels(name: str, labels: ArrayLike, *layouts: str, classes: float = np.inf, **sizes: int) -> np.ndarray:
    """`labels` as an array with one of the `layouts`, of integers from 0 to below `classes`."""
    labels = shaped(name, labels, *layouts, **sizes)
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= classes:
        received = f"{labels.min()} to {labels.max()} of type {labels.dtype}"
        raise ValueError(f"{name}: expected whole numbers from 0 to below {classes}, received {received}")
    return labels


def valid_fraction(name: str, value: ArrayLike) -> np.ndarray:
    """`value` as a float64 array with all entries from 0 to 1."""
    value = np.asarray(value, dtype=np.float64)
    if not np.all((value >= 0) & (value <= 1)):
        raise ValueError(f"{name}: expected fractions from 0 to 1, received {value.min()} to {value.max()}")
    return value
