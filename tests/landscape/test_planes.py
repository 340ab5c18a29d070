"""Planes, with points worked out by hand."""

import numpy as np
import pytest

from lib.landscape.planes import Plane, polar_grid


def vectors(count, length=40, seed=0):
    return np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)


@pytest.mark.parametrize("skew", [0, 0.9, -3])
def test_plane_has_the_optima_at_its_unit_points_and_the_origin_at_zero(skew):
    first, second = vectors(2) * [[1], [7]]
    second = second + skew * first
    plane = Plane(first, second)
    np.testing.assert_allclose(plane.points([[1, 0], [0, 1], [0, 0]]), [first, second, 0 * first], rtol=1e-6)
    np.testing.assert_allclose(
        plane.coordinates(np.stack([first, second, 0 * first])), [[1, 0], [0, 1], [0, 0]], atol=1e-12
    )


def test_plane_points_keep_the_shape_of_a_grid():
    plane = Plane([1, 0, 0], [0, 1, 0])
    grid = np.arange(24.0).reshape(3, 4, 2)
    points = plane.points(grid)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, np.concatenate([grid, np.zeros((3, 4, 1))], axis=-1))
    np.testing.assert_array_equal(plane.points([5, 6]), [5, 6, 0])


def test_plane_projects_what_lies_off_it_orthogonally():
    # By hand: in the basis (1, 0, 0), (1, 1, 0) the point under (5, 2, 9) is 3 times the first plus 2 times the second.
    np.testing.assert_allclose(Plane([1, 0, 0], [1, 1, 0]).coordinates([[5, 2, 9]]), [[3, 2]], atol=1e-12)
    first, second, off = vectors(3)
    solved = np.linalg.lstsq(np.stack([first, second], axis=1), off, rcond=None)[0]
    np.testing.assert_allclose(Plane(first, second).coordinates(off[None])[0], solved, atol=1e-5)


def test_plane_of_nearly_parallel_vectors_still_solves():
    first, second = vectors(2).astype(float)
    plane = Plane(first, first + 1e-4 * second)
    np.testing.assert_allclose(plane.coordinates([2 * first + 1e-4 * second]), [[1, 1]], atol=1e-9)


@pytest.mark.parametrize("factor", [1, -2.5, 1e-6, 0, np.nan])
def test_plane_of_vectors_that_span_none_is_refused(factor):
    first = vectors(1)[0]
    for pair in ((first, first * np.float32(factor)), (first * np.float32(factor), first)):
        with pytest.raises(ValueError, match=r"^first and second must be finite and span a plane"):
            Plane(*pair)
    with pytest.raises(ValueError, match="same shape"):
        Plane([1, 2], [1, 2, 3])


def test_polar_grid_has_the_rays_of_the_optima_at_zero_and_a_right_angle():
    grid = polar_grid([0, 1, 2], [0, np.pi / 2, np.pi / 4, np.pi])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(grid[1], [[1, 0], [0, 1], [half, half], [-1, 0]], atol=1e-15)
    np.testing.assert_array_equal(grid[0], np.zeros((4, 2)))
    np.testing.assert_array_equal(grid[2], 2 * grid[1])
    optima = vectors(2)
    np.testing.assert_allclose(Plane(*optima).points(grid)[1, :2], optima, atol=1e-6)
