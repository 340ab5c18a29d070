"""Samples with known moments, lengths and spans, and a search with a known answer."""

import numpy as np
import pytest
import sklearn.decomposition
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ConfigError
from lib.subspaces import methods as subspaces
from lib.subspaces.methods import METHODS, SUBSPACES, largest_scale, late_iterates, subspace, weight_average

SCALES = [0.0, 0.3, 0.6]


def iterates(count=10, size=200, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def on_two_axes(count=8):
    """Iterates around (5, 5, 5, 5) with standard deviation 3 along the first axis and 1 along the second."""
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
    points = np.zeros((count, 4), np.float32)
    points[:, :2] = np.tile(signs, (count // 4, 1)) * [3, 1]
    return points + 5


def length(vectors):
    return np.linalg.norm(vectors.astype(np.float64), axis=-1)


# The end of a run


@pytest.mark.parametrize(
    ("epochs", "rank", "chosen"),
    [
        (40, 5, range(31, 41)),  # ten checkpoints of 40 epochs, as in the authors' notebook
        (200, 5, range(151, 201)),
        (42, 5, range(32, 43)),  # a quarter of 42 is 10.5
        (10, 5, range(5, 11)),  # a quarter would be three, too few for five directions
        (10, 1, range(8, 11)),
        (6, 5, range(1, 7)),  # all but the initialisation
    ],
)
def test_late_iterates_are_the_last_quarter_or_enough_for_the_rank(epochs, rank, chosen):
    weights = np.arange(epochs + 1, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(late_iterates(weights, rank)[:, 0], chosen)


def test_late_iterates_need_enough_epochs_without_the_initialization():
    with pytest.raises(ConfigError, match="epochs must be at least 6 for late iterates of rank 5, got 5"):
        late_iterates(iterates(6), rank=5)


def test_weight_average_known():
    average = weight_average([[1, 2, 3], [3, 2, 5]])
    np.testing.assert_array_equal(average, [2, 2, 4])
    assert average.dtype == np.float32


def test_weight_average_is_summed_in_float64():
    # In float32 each of the ones would be lost when added to 2^24.
    assert weight_average(np.array([[2.0**24], [1], [1], [1], [1]]))[0] == np.float32((2.0**24 + 4) / 5)


# What all methods share


def test_random_directions_and_dropout_need_the_final_solution_alone():
    known = {"random": False, "dropout": False}
    known |= {"diagonal-gaussian": True, "low-rank-gaussian": True, "random-pca": True}
    assert {method: SUBSPACES[method].fitted for method in known} == known


@pytest.mark.parametrize("method", METHODS)
def test_sample_at_scale_zero_is_the_final_solution_or_the_mean(method):
    run = iterates()
    expected = weight_average(run) if SUBSPACES[method].fitted else run[-1]
    np.testing.assert_array_equal(subspace(method, run).sample([0.0, 0.0], seed=0), [expected, expected])


@pytest.mark.parametrize("method", METHODS)
def test_sample_same_seed_repeats_other_seed_and_other_place_differ(method):
    space = subspace(method, iterates())
    samples = space.sample([0.5, 0.5], seed=0)
    np.testing.assert_array_equal(space.sample([0.5, 0.5], seed=0), samples)
    assert not np.array_equal(space.sample([0.5], seed=1)[0], samples[0])
    assert not np.array_equal(samples[0], samples[1])


@pytest.mark.parametrize("method", METHODS)
def test_sample_depends_on_its_place_and_scale_not_on_the_others(method):
    space = subspace(method, iterates())
    samples = space.sample(SCALES, seed=3)
    np.testing.assert_array_equal(space.sample(SCALES[:2], seed=3), samples[:2])
    np.testing.assert_array_equal(space.sample([0.9, 0.1, 0.6], seed=3)[2], samples[2])
    assert not np.array_equal(space.sample([0.0, 0.3, 0.5], seed=3)[2], samples[2])


@pytest.mark.parametrize("method", ["random", "diagonal-gaussian", "low-rank-gaussian"])
def test_scale_moves_a_sample_along_a_line(method):
    space = subspace(method, iterates())
    one, three = (space.sample([scale], seed=0)[0].astype(float) - space.center for scale in (1, 3))
    np.testing.assert_allclose(three, 3 * one, atol=1e-5)


# Random directions


@given(st.floats(1e-2, 1e2), st.integers(0, 2**32 - 1))
def test_random_step_has_the_length_of_its_scale(scale, seed):
    run = iterates()
    step = subspace("random", run).sample([scale], seed)[0] - run[-1]
    assert length(step) == pytest.approx(scale, rel=1e-4)


def test_random_directions_are_uniform():
    run = np.zeros((1, 3), np.float32)
    samples = subspace("random", run).sample(np.ones(3000), seed=0)
    # On the unit sphere in three dimensions each coordinate is uniform on [-1, 1], and directions are uncorrelated.
    np.testing.assert_allclose(np.cov(samples.T), np.eye(3) / 3, atol=0.03)
    np.testing.assert_allclose(np.quantile(samples, [0.25, 0.5, 0.75], axis=0).T, [[-0.5, 0, 0.5]] * 3, atol=0.06)


# Dropout


def test_dropout_zeroes_the_share_and_divides_the_rest():
    run = np.full((1, 20_000), 3, np.float32)
    sample = subspace("dropout", run).sample([0.25], seed=0)[0]
    assert set(sample) == {0, 4}
    assert np.mean(sample == 0) == pytest.approx(0.25, abs=0.015)


def test_dropout_of_a_larger_scale_drops_more_of_the_same():
    space = subspace("dropout", iterates() + 10)
    small, large = (space.sample([scale], seed=0)[0] == 0 for scale in (0.2, 0.4))
    assert np.all(large[small])
    assert large.sum() > small.sum()


def test_dropout_of_everything_raises():
    space = subspace("dropout", iterates())
    assert np.isfinite(space.sample([space.upper], seed=0)).all()
    with pytest.raises(ValueError, match=r"scales: expected 0 to 0\.99, received 1\.0"):
        space.sample([1.0], seed=0)


# Gaussians


def test_diagonal_gaussian_recovers_mean_and_deviation():
    samples = subspace("diagonal-gaussian", on_two_axes()).sample(np.ones(5000), seed=0)
    np.testing.assert_allclose(samples.mean(axis=0), 5, atol=0.15)
    np.testing.assert_allclose(np.cov(samples.T), np.diag([9, 1, 0, 0]), atol=0.4)


def test_diagonal_gaussian_deviation_equals_numpys_over_block_borders(monkeypatch):
    monkeypatch.setattr(subspaces, "BLOCK", 7)
    run = iterates(6, 50)
    np.testing.assert_allclose(subspace("diagonal-gaussian", run).deviation, run.std(axis=0, dtype=float), rtol=1e-6)


def test_low_rank_gaussian_known_directions():
    directions = subspace("low-rank-gaussian", on_two_axes(), rank=2).directions
    np.testing.assert_allclose(np.abs(directions), [[3, 0, 0, 0], [0, 1, 0, 0]], atol=1e-6)
    unit = subspace("low-rank-gaussian", on_two_axes(), rank=2, standardized=False).directions
    np.testing.assert_allclose(np.abs(unit), [[1, 0, 0, 0], [0, 1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("standardized", [True, False])
def test_low_rank_gaussian_equals_sklearns_pca_over_block_borders(standardized, monkeypatch):
    monkeypatch.setattr(subspaces, "BLOCK", 37)
    run = iterates(7, 300)
    directions = subspace("low-rank-gaussian", run, rank=4, standardized=standardized).directions
    pca = sklearn.decomposition.PCA(4, svd_solver="full").fit(run.astype(float))
    # scikit-learn divides by T - 1.
    deviations = np.sqrt(pca.explained_variance_ * 6 / 7) if standardized else np.ones(4)
    np.testing.assert_allclose(length(directions), deviations, rtol=1e-5)
    cosines = directions @ pca.components_.T / deviations[:, None]
    np.testing.assert_allclose(np.abs(cosines), np.eye(4), atol=1e-5)


def test_low_rank_gaussian_samples_lie_in_the_span_others_do_not():
    run = iterates(4, 30)
    span = np.linalg.qr((run - run.mean(axis=0))[:3].T.astype(float))[0]

    def outside(method):
        space = subspace(method, run, rank=3)
        away = space.sample([1.0, 1.0], seed=0).astype(float) - space.center
        return length(away - away @ span @ span.T) / length(away)

    assert outside("low-rank-gaussian").max() < 1e-5
    assert outside("diagonal-gaussian").min() > 0.5


def test_low_rank_gaussian_does_not_depend_on_which_way_directions_point(monkeypatch):
    run = iterates()
    expected = subspace("low-rank-gaussian", run).sample([1.0], seed=0)
    eigh = np.linalg.eigh

    def turned(matrix):
        values, vectors = eigh(matrix)
        return values, -vectors

    monkeypatch.setattr(np.linalg, "eigh", turned)
    np.testing.assert_array_equal(subspace("low-rank-gaussian", run).sample([1.0], seed=0), expected)


def test_low_rank_gaussian_of_iterates_that_span_less():
    run = on_two_axes()
    directions = subspace("low-rank-gaussian", run, rank=3).directions
    np.testing.assert_allclose(directions[2], 0, atol=1e-6)
    with pytest.raises(ConfigError, match="rank must be smaller, got 3: the iterates span fewer dimensions"):
        subspace("low-rank-gaussian", run, rank=3, standardized=False)


# The largest scale


class Counted:
    """An accuracy function that counts its calls."""

    def __init__(self, accuracy):
        self.accuracy, self.calls = accuracy, 0

    def __call__(self, scale):
        self.calls += 1
        return self.accuracy(scale)


@pytest.mark.parametrize("start", [0.01, 1.0, 3.0, 70.0, 1000.0])
@pytest.mark.parametrize("root", [0.5, 3.0, 7.3])
def test_largest_scale_finds_the_root(start, root):
    accuracy = Counted(lambda scale: 0.9 - 0.4 * scale / root)
    scale = largest_scale(accuracy, floor=0.5, start=start)
    assert root / 1.011 <= scale <= root * (1 + 1e-12)
    assert accuracy(scale) >= 0.5 - 1e-12
    assert accuracy.calls <= 14 + 1


def test_largest_scale_at_the_upper_end():
    accuracy = Counted(lambda scale: 0.9)
    assert largest_scale(accuracy, floor=0.5, start=0.1, upper=0.99) == 0.99
    assert accuracy.calls == 3  # at 0.1, 0.4 and 0.99


def test_largest_scale_below_the_upper_end():
    scale = largest_scale(lambda scale: 1 - scale, floor=0.1, start=0.1, upper=0.99)
    assert 0.9 / 1.011 <= scale <= 0.9


def test_largest_scale_where_accuracy_never_falls():
    accuracy = Counted(lambda scale: 0.9)
    assert largest_scale(accuracy, floor=0.9, start=2.0) == 2 * 4096
    assert accuracy.calls == 7


def test_largest_scale_where_accuracy_falls_at_once():
    accuracy = Counted(lambda scale: 0.1)
    assert largest_scale(accuracy, floor=0.5, start=2.0) == 0
    assert accuracy.calls == 7


# Invalid arguments


def test_subspace_unknown_method_names_the_nearest():
    with pytest.raises(ConfigError, match="unknown method 'diagonal'; did you mean 'diagonal-gaussian'"):
        subspace("diagonal", iterates())


@pytest.mark.parametrize("rank", [0, 5])
def test_subspace_rank_beyond_the_iterates(rank):
    with pytest.raises(ConfigError, match=f"at least 1 and less than the number of iterates, 5, got {rank}"):
        subspace("low-rank-gaussian", iterates(5), rank)


def test_subspace_of_one_iterate():
    run = iterates(1)
    for method in ("random", "dropout"):
        assert subspace(method, run).sample([0.1], seed=0).shape == (1, 200)
