"""Lines and curves, with points worked out by hand."""

import numpy as np
import pytest

from lib.errors import ConfigError
from lib.landscape.paths import CURVES, line, positions
from lib.landscape.planes import combine


def vectors(count):
    return np.random.default_rng(0).normal(size=(count, 40)).astype(np.float32)


def test_positions_have_the_ends_and_the_middle():
    np.testing.assert_array_equal(positions(5), [0, 0.25, 0.5, 0.75, 1])
    for count in (4, 1, -3, None):
        with pytest.raises(ConfigError, match=rf"^num_points must be an odd number of at least 3, .*, got {count}$"):
            positions(count)


def test_line_from_end_to_end_in_equal_steps():
    start, end = vectors(2)
    points = line(start, end, np.linspace(0, 1, 5))
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points[[0, -1]], [start, end])
    np.testing.assert_allclose(points[2], (start + end) / 2, atol=1e-6)
    np.testing.assert_allclose(np.diff(points, axis=0), np.tile((end - start) / 4, (4, 1)), atol=1e-6)
    with pytest.raises(ValueError, match="same shape"):
        line([1, 2], [1, 2, 3], [0.5])


def test_curves_at_the_ends_and_the_middle():
    bezier, chain = (CURVES[curve](np.array([0, 0.25, 0.5, 0.75, 1])) for curve in ("bezier", "chain"))
    np.testing.assert_array_equal(16 * bezier, [[16, 0, 0], [9, 6, 1], [4, 8, 4], [1, 6, 9], [0, 0, 16]])
    np.testing.assert_array_equal(2 * chain, [[2, 0, 0], [1, 1, 0], [0, 2, 0], [0, 1, 1], [0, 0, 2]])


@pytest.mark.parametrize("curve", CURVES)
def test_curve_of_a_middle_halfway_is_the_straight_line(curve):
    start, end = vectors(2)
    t = np.linspace(0, 1, 7)
    on_curve = combine(CURVES[curve](t), np.stack([start, (start + end) / 2, end]))
    np.testing.assert_allclose(on_curve, line(start, end, t), atol=1e-6)
