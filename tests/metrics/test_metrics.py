"""Answers known on paper, scikit-learn and SciPy as second opinions, and simulations of the analytic limits."""

import numpy as np
import pytest
import scipy.spatial.distance
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from lib import metrics
from lib.metrics import checks
from lib.metrics.scores import PROBABILITY_FLOOR

SCORES = [
    metrics.accuracy,
    metrics.brier_score,
    metrics.negative_log_likelihood,
    metrics.expected_calibration_error,
]


def random_probs(*shape, seed=0, scale=2.0):
    logits = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return softmax(logits, axis=-1).astype(np.float32)


def random_labels(*shape, classes=4, seed=0):
    return np.random.default_rng(seed).integers(classes, size=shape)


def one_hot(labels, classes):
    return np.eye(classes, dtype=np.float32)[np.asarray(labels)]


@st.composite
def ensembles(draw):
    """`probs (N, n, K)` of any small shape, from sure to undecided, and true labels."""
    members, examples, classes = (draw(st.integers(*bounds)) for bounds in ((1, 5), (1, 12), (2, 5)))
    seed, scale = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.1, 3.0, 300.0]))
    probs = random_probs(members, examples, classes, seed=seed, scale=scale)
    return probs, random_labels(examples, classes=classes, seed=seed)


# Weight space


def test_cosine_known_angles():
    weights = np.array([[1, 0], [2, 0], [0, 3], [-1, 0], [1, 1]], dtype=np.float32)
    half = np.sqrt(0.5)
    expected = [[1, 1, 0, -1, half], [1, 1, 0, -1, half], [0, 0, 1, 0, half], [-1, -1, 0, 1, -half]]
    np.testing.assert_allclose(metrics.cosine_similarity(weights)[:4], expected, atol=1e-15)


def test_cosine_equals_sklearn_over_block_borders(monkeypatch):
    weights = np.random.default_rng(0).normal(size=(6, 1000)).astype(np.float32)
    monkeypatch.setattr(checks, "BLOCK_NUMBERS", 150)
    expected = sklearn.metrics.pairwise.cosine_similarity(weights.astype(np.float64))
    np.testing.assert_allclose(metrics.cosine_similarity(weights), expected, atol=1e-13)


def test_cosine_zero_vector_raises():
    with pytest.raises(ValueError, match="vector 1 is not"):
        metrics.cosine_similarity([[1.0, 2.0], [0.0, 0.0]])


def test_cosine_nan_raises():
    with pytest.raises(ValueError, match="vector 0 is not"):
        metrics.cosine_similarity([[np.nan, 2.0], [1.0, 0.0]])


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
def test_cosine_symmetric_in_range_scale_free(members, size, seed, factor):
    weights = np.random.default_rng(seed).normal(size=(members, size))
    cosine = metrics.cosine_similarity(weights)
    np.testing.assert_array_equal(cosine, cosine.T)
    np.testing.assert_array_equal(np.diag(cosine), 1)
    assert np.abs(cosine).max() <= 1
    np.testing.assert_allclose(metrics.cosine_similarity(factor * weights), cosine, atol=1e-12)


# One network against the truth


def test_top_labels_known_and_tie_goes_low():
    probs = np.array([[[0.1, 0.9], [0.5, 0.5]], [[0.7, 0.3], [0.2, 0.8]]])
    np.testing.assert_array_equal(metrics.top_labels(probs), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(metrics.top_labels(probs[0]), [1, 0])


def test_accuracy_two_of_three():
    probs = one_hot([[0, 1, 2], [0, 1, 1], [1, 2, 0]], 3)
    np.testing.assert_allclose(metrics.accuracy(probs, [0, 1, 1]), [2 / 3, 1, 0])


def test_accuracy_equals_sklearn():
    probs, labels = random_probs(50, 4), random_labels(50)
    assert metrics.accuracy(probs, labels) == sklearn.metrics.accuracy_score(labels, probs.argmax(axis=1))


def test_brier_best_worst_and_uniform():
    assert metrics.brier_score(one_hot([0, 1], 3), [0, 1]) == 0
    assert metrics.brier_score(one_hot([0, 1], 3), [1, 0]) == 2
    assert metrics.brier_score(np.full((2, 4), 0.25), [0, 3]) == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_brier_equals_sum_over_classes():
    probs, labels = random_probs(50, 4), random_labels(50)
    expected = ((probs.astype(np.float64) - one_hot(labels, 4)) ** 2).mean() * 4
    assert metrics.brier_score(probs, labels) == pytest.approx(expected, rel=1e-13)


def test_brier_two_classes_is_twice_sklearns():
    probs, labels = random_probs(50, 2), random_labels(50, classes=2)
    expected = 2 * sklearn.metrics.brier_score_loss(labels, probs[:, 1].astype(np.float64))
    assert metrics.brier_score(probs, labels) == pytest.approx(expected, rel=1e-6)


def test_nll_known_values():
    assert metrics.negative_log_likelihood(one_hot([0, 1], 3), [0, 1]) == 0
    assert metrics.negative_log_likelihood(np.full((2, 4), 0.25), [0, 3]) == pytest.approx(np.log(4))


def test_nll_equals_sklearn():
    probs, labels = random_probs(50, 4).astype(np.float64), random_labels(50)
    probs /= probs.sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probs, labels=range(4))
    assert metrics.negative_log_likelihood(probs, labels) == pytest.approx(expected, rel=1e-13)


def test_nll_sure_and_wrong_is_finite():
    value = metrics.negative_log_likelihood(one_hot([0], 2), [1])
    assert value == pytest.approx(-np.log(PROBABILITY_FLOOR)) == pytest.approx(87.3, abs=0.05)


def test_ece_perfectly_calibrated():
    probs = np.tile([0.75, 0.25], (4, 1))
    assert metrics.expected_calibration_error(probs, [0, 0, 0, 1]) == 0


def test_ece_sure_and_wrong():
    assert metrics.expected_calibration_error(one_hot([0, 1, 0], 2), [1, 0, 1]) == 1


def test_ece_one_bin_is_confidence_minus_accuracy():
    probs, labels = random_probs(50, 4).astype(np.float64), random_labels(50)
    expected = abs(probs.max(axis=1).mean() - metrics.accuracy(probs, labels))
    assert metrics.expected_calibration_error(probs, labels, bins=1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_ece_equals_plain_loop(bins):
    probs, labels = random_probs(200, 3).astype(np.float64), random_labels(200, classes=3)
    probs[:4] = [[0.5, 0.25, 0.25], [0.25, 0.75, 0], [0, 0, 1], [0, 0.5, 0.5]]  # on borders of four bins
    expected = 0
    for b in range(bins):
        inside = [i for i, p in enumerate(probs) if b / bins < max(p) <= (b + 1) / bins]
        if inside:
            hits = np.mean([np.argmax(probs[i]) == labels[i] for i in inside])
            expected += len(inside) / 200 * abs(hits - np.mean([max(probs[i]) for i in inside]))
    assert metrics.expected_calibration_error(probs, labels, bins) == pytest.approx(expected, rel=1e-12)


def test_ece_border_belongs_to_the_bin_below():
    # 0.5 and wrong alone in the first of two bins, 0.75 and right alone in the second: (0.5 + 0.25) / 2.
    assert metrics.expected_calibration_error([[0.5, 0.5], [0.75, 0.25]], [1, 0], bins=2) == 0.375


def test_ece_no_bins_raises():
    with pytest.raises(ValueError, match="bins"):
        metrics.expected_calibration_error(np.full((1, 2), 0.5), [0], bins=0)


@pytest.mark.parametrize("score", SCORES)
@given(ensembles())
@settings(max_examples=30)
def test_scores_member_by_member_and_in_range(score, ensemble):
    probs, labels = ensemble
    values = score(probs, labels)
    assert values.shape == (len(probs),)
    one_by_one = [score(member, labels) for member in probs]
    assert all(isinstance(value, float) for value in one_by_one)
    np.testing.assert_array_equal(values, one_by_one)
    assert values.min() >= 0
    upper = {metrics.brier_score: 2, metrics.negative_log_likelihood: 87.4}.get(score, 1)
    assert values.max() <= upper + 1e-6


@pytest.mark.parametrize("score", SCORES)
def test_scores_float32_summed_in_float64(score):
    probs, labels = random_probs(2, 500, 4), random_labels(500)
    np.testing.assert_allclose(score(probs, labels), score(probs.astype(np.float64), labels), rtol=1e-12)


# Networks against each other


def test_disagreement_same_opposite_and_two_of_three():
    labels = np.array([[0, 1, 2], [0, 1, 2], [1, 2, 0], [0, 2, 0]])
    expected = [[0, 0, 1, 2 / 3], [0, 0, 1, 2 / 3], [1, 1, 0, 1 / 3], [2 / 3, 2 / 3, 1 / 3, 0]]
    np.testing.assert_allclose(metrics.disagreement(labels), expected)


def test_disagreement_equals_hamming():
    labels = random_labels(7, 40)
    expected = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(labels, "hamming"))
    np.testing.assert_allclose(metrics.disagreement(labels), expected, rtol=1e-14)


def test_disagreement_two_equals_one_minus_accuracy_score():
    labels = random_labels(2, 40)
    expected = 1 - sklearn.metrics.accuracy_score(labels[0], labels[1])
    assert metrics.disagreement(labels)[0, 1] == pytest.approx(expected)


def test_jsd_same_members_is_zero():
    probs = np.repeat(random_probs(1, 20, 4), 3, axis=0)
    assert metrics.jensen_shannon_divergence(probs) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_jsd_each_sure_of_another_class_is_log_of_members(members):
    probs = one_hot(np.tile(np.arange(members)[:, None], 4), members)
    assert metrics.jensen_shannon_divergence(probs) == pytest.approx(np.log(members), rel=1e-14)


def test_jsd_two_members_equals_scipy():
    probs = random_probs(2, 30, 4).astype(np.float64)
    probs /= probs.sum(axis=-1, keepdims=True)
    expected = np.mean(scipy.spatial.distance.jensenshannon(probs[0], probs[1], axis=1) ** 2)
    assert metrics.jensen_shannon_divergence(probs) == pytest.approx(expected, rel=1e-12)


@given(ensembles())
def test_jsd_by_example_averages_to_jsd(ensemble):
    probs, _ = ensemble
    by_example = metrics.jensen_shannon_by_example(probs)
    assert by_example.shape == probs.shape[1:2]
    assert by_example.min() >= 0
    assert by_example.mean() == metrics.jensen_shannon_divergence(probs)


def test_jsd_by_example_known():
    probs = one_hot([[0, 0, 0], [0, 1, 0]], 2)
    probs[1, 2] = 0.5
    # Alike; each sure of another class; one sure, one undecided: H(3/4, 1/4) - (log 2) / 2.
    third = -0.75 * np.log(0.75) - 0.25 * np.log(0.25) - np.log(2) / 2
    np.testing.assert_allclose(metrics.jensen_shannon_by_example(probs), [0, np.log(2), third], atol=1e-15)


@given(ensembles())
def test_jsd_in_range(ensemble):
    probs, _ = ensemble
    value = metrics.jensen_shannon_divergence(probs)
    assert 0 <= value <= np.log(min(len(probs), probs.shape[-1])) + 1e-6


@given(ensembles(), st.randoms(use_true_random=False))
def test_member_order_does_not_matter(ensemble, random):
    probs, _ = ensemble
    order = random.sample(range(len(probs)), len(probs))
    shuffled = probs[order]
    assert metrics.jensen_shannon_divergence(shuffled) == pytest.approx(
        metrics.jensen_shannon_divergence(probs), abs=1e-14
    )
    before, after = (metrics.disagreement(metrics.top_labels(p)) for p in (probs, shuffled))
    np.testing.assert_array_equal(after, before[np.ix_(order, order)])


@given(ensembles())
def test_disagreement_symmetric_in_range(ensemble):
    matrix = metrics.disagreement(metrics.top_labels(ensemble[0]))
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 0)
    assert matrix.min() >= 0
    assert matrix.max() <= 1


def test_euclidean_known_triangle():
    expected = [[0, 3, 5], [3, 0, 4], [5, 4, 0]]
    np.testing.assert_allclose(metrics.euclidean_distances([[0, 0], [3, 0], [3, 4]]), expected)


def test_euclidean_equals_sklearn_over_block_borders(monkeypatch):
    probs = random_probs(5, 30, 4)
    monkeypatch.setattr(checks, "BLOCK_NUMBERS", 30)
    expected = sklearn.metrics.pairwise.euclidean_distances(probs.reshape(5, -1).astype(np.float64))
    np.testing.assert_allclose(metrics.euclidean_distances(probs), expected, atol=1e-7)


def test_euclidean_near_points_stay_exact():
    points = np.array([[1e3, 0], [1e3, 1e-9]])
    assert metrics.euclidean_distances(points)[0, 1] == pytest.approx(1e-9)


def test_nearest_neighbors_two_clusters():
    points = [[0.0], [1.0], [10.0], [12.0]]
    np.testing.assert_array_equal(metrics.nearest_neighbors(metrics.euclidean_distances(points)), [1, 0, 3, 2])


def test_nearest_neighbors_leaves_its_argument_alone():
    distances = metrics.euclidean_distances([[0.0], [1.0]])
    metrics.nearest_neighbors(distances)
    np.testing.assert_array_equal(distances, [[0, 1], [1, 0]])


@pytest.mark.parametrize("distances", [[[0.0]], [[0.0, 1.0]]])
def test_nearest_neighbors_bad_argument_distances(distances):
    with pytest.raises(ValueError, match="distances"):
        metrics.nearest_neighbors(distances)


# Out of distribution


def test_entropy_sure_undecided_and_between():
    probs = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(metrics.predictive_entropy(probs), [0, np.log(4), np.log(2)])
    np.testing.assert_allclose(metrics.predictive_entropy([probs, probs[::-1]])[1], [np.log(2), np.log(4), 0])


def test_entropy_of_the_mean_less_mean_entropy_is_jsd():
    probs = random_probs(3, 20, 4).astype(np.float64)
    gap = metrics.predictive_entropy(probs.mean(axis=0)) - metrics.predictive_entropy(probs).mean(axis=0)
    np.testing.assert_allclose(metrics.jensen_shannon_by_example(probs), gap, atol=1e-14)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 1, 2, 3], 1),
        ([3, 2, 1, 0], 0),
        ([7, 7, 7, 7], 0.5),
        ([0, 2, 1, 3], 0.75),  # three of four pairs in order
        ([0, 1, 1, 3], 0.875),  # and one of four a tie
    ],
)
def test_auroc_known(scores, expected):
    positive = [False, False, True, True]
    value = metrics.area_under_roc(scores, positive)
    assert value == expected
    assert isinstance(value, float)


def test_auroc_equals_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(10, size=60), rng.random(60) < 0.4
    pairs = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    assert metrics.area_under_roc(scores, positive) == pytest.approx(pairs.mean(), rel=1e-12)


def test_auroc_member_by_member():
    scores = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    np.testing.assert_array_equal(metrics.area_under_roc(scores, [False, True, True]), [1, 0])


def test_auroc_without_both_kinds_is_nan():
    assert np.isnan(metrics.area_under_roc([0.0, 1.0], [True, True]))
    np.testing.assert_array_equal(metrics.area_under_roc([[0.0, 1.0]] * 2, [False, False]), [np.nan, np.nan])


# Diversity and its limits


def test_normalized_diversity_known():
    targets = np.array([0, 1, 2, 3])
    reference = np.array([0, 1, 2, 0])
    labels = np.array([reference, [0, 1, 0, 1], [0, 1, 2, 3]])
    # The second: half its labels wrong, two of four unlike the reference. The third makes no error to divide by.
    np.testing.assert_allclose(metrics.normalized_diversity(labels, reference, targets), [0, 1, np.nan])
    assert metrics.normalized_diversity(labels[1], reference, targets) == 1


@pytest.mark.parametrize(("accuracy", "expected"), [(0.70, 1.67), (0.76, 1.73), (0.89, 1.88)])
def test_uncorrelated_limit_at_the_papers_accuracies(accuracy, expected):
    assert metrics.uncorrelated_limit(accuracy, accuracy, 10) == pytest.approx(expected, abs=0.005)


def wrong_labels(rng, labels, classes):
    """Each label replaced by any other one."""
    return (labels + rng.integers(1, classes, size=labels.shape)) % classes


def simulated_errors(rng, targets, accuracy, classes):
    return np.where(rng.random(len(targets)) < accuracy, targets, wrong_labels(rng, targets, classes))


@pytest.mark.parametrize(("accuracy", "reference_accuracy", "classes"), [(0.5, 0.7, 10), (0.8, 0.6, 3), (0.3, 0.9, 2)])
def test_uncorrelated_limit_equals_simulation(accuracy, reference_accuracy, classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(classes, size=200_000)
    labels, reference = (simulated_errors(rng, targets, a, classes) for a in (accuracy, reference_accuracy))
    simulated = metrics.normalized_diversity(labels, reference, targets)
    assert metrics.uncorrelated_limit(accuracy, reference_accuracy, classes) == pytest.approx(simulated, rel=0.02)


@pytest.mark.parametrize(("flip", "reference_accuracy", "classes"), [(0.1, 0.7, 10), (0.5, 0.9, 4), (0.3, 0.8, 2)])
def test_perturbed_limit_equals_simulation(flip, reference_accuracy, classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(classes, size=200_000)
    reference = simulated_errors(rng, targets, reference_accuracy, classes)
    labels = np.where(rng.random(len(targets)) < flip, wrong_labels(rng, reference, classes), reference)
    simulated = metrics.normalized_diversity(labels, reference, targets)
    accuracy = np.mean(labels == targets)
    assert metrics.perturbed_limit(accuracy, reference_accuracy, classes) == pytest.approx(simulated, rel=0.03)


def test_flip_family_equals_simulation():
    rng = np.random.default_rng(0)
    targets = rng.integers(10, size=200_000)
    reference = simulated_errors(rng, targets, 0.7, 10)
    chance = np.where(reference == targets, 0.2, 0.2**0.22)
    labels = np.where(rng.random(len(targets)) < chance, wrong_labels(rng, reference, 10), reference)
    accuracy, disagreement = metrics.flip_family(0.2, 0.22, 0.7, 10)
    assert accuracy == pytest.approx(np.mean(labels == targets), abs=0.005)
    assert disagreement == pytest.approx(np.mean(labels != reference), abs=0.005)


def test_limits_meet_at_chance():
    assert metrics.uncorrelated_limit(0.1, 0.7, 10) == pytest.approx(1)
    assert metrics.perturbed_limit(0.1, 0.7, 10) == pytest.approx(1)


def test_perturbed_limit_zero_at_the_reference_and_above():
    np.testing.assert_array_equal(metrics.perturbed_limit([0.7, 0.75], 0.7, 10), 0)


def test_limits_without_errors_are_nan():
    assert np.isnan(metrics.uncorrelated_limit(1.0, 0.7, 10))
    assert np.isnan(metrics.perturbed_limit(1.0, 0.7, 10))


@given(st.floats(0, 0.99), st.floats(0.6, 1), st.integers(2, 100))
def test_limits_are_in_order(fraction, reference_accuracy, classes):
    accuracy = 1 / classes + fraction * (reference_accuracy - 1 / classes)
    lower = metrics.perturbed_limit(accuracy, reference_accuracy, classes)
    upper = metrics.uncorrelated_limit(accuracy, reference_accuracy, classes)
    assert -1e-9 <= lower <= upper + 1e-9


@given(st.floats(0, 1), st.floats(0.6, 0.99), st.integers(2, 100))
def test_flip_family_exponent_one_is_the_perturbed_limit(flip, reference_accuracy, classes):
    accuracy, disagreement = metrics.flip_family(flip, 1, reference_accuracy, classes)
    expected = metrics.perturbed_limit(accuracy, reference_accuracy, classes)
    assert disagreement / (1 - accuracy) == pytest.approx(expected, abs=1e-9)


def test_flip_family_no_flips_changes_nothing():
    assert metrics.flip_family(0, 0.22, 0.7, 10) == (0.7, 0)


def test_flip_family_chance_end():
    accuracy, disagreement = metrics.flip_family(0.9, 1, 0.7, 10)
    assert accuracy == pytest.approx(0.1)
    assert disagreement == pytest.approx(0.9)


def test_flip_family_small_exponent_flips_wrong_labels_more():
    flips = np.linspace(0.05, 0.95, 7)
    diversities = [
        disagreement / (1 - accuracy)
        for accuracy, disagreement in (metrics.flip_family(flips, e, 0.7, 10) for e in (2, 1, 0.22))
    ]
    assert diversities[0].shape == flips.shape
    assert np.all(diversities[0] < diversities[1])
    assert np.all(diversities[1] < diversities[2])


def test_flip_family_diversity_inverts_the_family():
    flips = np.linspace(0.05, 0.95, 40)
    for exponent in (0, 0.01, 0.22, 0.99, 1, 1.01, 3, 10):
        accuracy, disagreement = metrics.flip_family(flips, exponent, 0.7, 10)
        curve = metrics.flip_family_diversity(accuracy, exponent, 0.7, 10)
        np.testing.assert_allclose(curve, disagreement / (1 - accuracy), rtol=1e-8)


@given(st.floats(0, 0.999), st.floats(0.6, 1), st.integers(2, 100))
def test_flip_family_diversity_exponent_one_is_the_perturbed_limit(accuracy, reference_accuracy, classes):
    value = metrics.flip_family_diversity(accuracy, 1, reference_accuracy, classes)
    expected = metrics.perturbed_limit(accuracy, reference_accuracy, classes)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.floats(0, 1), st.floats(0.6, 0.999), st.integers(2, 100), st.floats(0, 10), st.floats(0, 10))
def test_flip_family_diversity_falls_with_the_exponent(share, reference_accuracy, classes, one, other):
    # Every curve reaches from the reference's accuracy down to that of all labels flipped. What lies beyond the end of
    # a curve is read off at its end, and the ends of two curves are in no such order.
    all_flipped = (1 - reference_accuracy) / (classes - 1)
    accuracy = all_flipped + share * (reference_accuracy - all_flipped)
    low, high = metrics.flip_family_diversity(accuracy, sorted([one, other]), reference_accuracy, classes)
    assert high <= low + 1e-6


def test_flip_family_diversity_above_its_reach_is_that_of_the_most_accurate_member():
    flips = np.linspace(0, 1, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 0.22, 0.7, 10)
    peak = accuracy.argmax()
    assert 0.7 < accuracy[peak] < 0.72
    for above in (0.72, 0.9):
        expected = disagreement[peak] / (1 - above)
        assert metrics.flip_family_diversity(above, 0.22, 0.7, 10) == pytest.approx(expected, rel=1e-3)


def test_flip_family_diversity_is_of_the_falling_part():
    # Two members of accuracy 0.705, one on the way up to the peak: the curve has the other.
    flips = np.linspace(0, 0.05, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 0.22, 0.7, 10)
    up, down = np.flatnonzero(np.diff(np.sign(accuracy - 0.705)))
    curve = metrics.flip_family_diversity(0.705, 0.22, 0.7, 10)
    assert curve == pytest.approx(disagreement[down] / 0.295, rel=1e-3)
    assert curve > 2 * disagreement[up] / 0.295


def test_flip_family_diversity_below_its_reach():
    # At p₊ = 1 all labels flip: d = 1, accuracy (1 - a*) / (K - 1).
    assert metrics.flip_family_diversity(0.01, 0.22, 0.7, 10) == pytest.approx(1 / 0.99)
    # Of two classes and for a large exponent the last flips correct more than they break: accuracy turns before p₊ = 1.
    flips = np.linspace(0, 1, 100_001)
    accuracy, disagreement = metrics.flip_family(flips, 8, 0.7, 2)
    trough = accuracy.argmin()
    assert 0.5 < flips[trough] < 0.95
    expected = disagreement[trough] / 0.9
    assert metrics.flip_family_diversity(0.1, 8, 0.7, 2) == pytest.approx(expected, rel=1e-3)


def test_flip_family_diversity_broadcasts():
    grid = metrics.flip_family_diversity([0.3, 0.5, 0.69], [[0.22], [1.0]], 0.7, 10)
    assert grid.shape == (2, 3)
    assert grid[1, 2] == metrics.flip_family_diversity(0.69, 1, 0.7, 10)
    assert np.isnan(metrics.flip_family_diversity(1.0, 0.22, 0.7, 10))


@pytest.mark.parametrize("exponent", [0.05, 0.22, 1, 2.5])
@pytest.mark.parametrize(("reference_accuracy", "classes"), [(0.7, 10), (0.9, 100), (0.8, 2)])
def test_fit_flip_exponent_recovers_the_familys_own(exponent, reference_accuracy, classes):
    flips = np.random.default_rng(0).uniform(0.05, 0.9, size=100)
    points = metrics.flip_family(flips, exponent, reference_accuracy, classes)
    assert metrics.fit_flip_exponent(*points, reference_accuracy, classes) == pytest.approx(exponent, rel=1e-3)


def test_fit_flip_exponent_is_the_best_there_is():
    rng = np.random.default_rng(0)
    accuracies = rng.uniform(0.2, 0.7, size=100)
    disagreements = np.clip((1 - accuracies) * (1 - accuracies + rng.normal(0, 0.1, size=100)), 0, 1)

    def rmse(exponent):
        curve = metrics.flip_family_diversity(accuracies, exponent, 0.7, 10)
        return metrics.diversity_rmse(accuracies, disagreements, curve)

    fitted = metrics.fit_flip_exponent(accuracies, disagreements, 0.7, 10)
    assert rmse(fitted) > 0.01
    assert rmse(fitted) <= min(map(rmse, np.geomspace(0.01, 10, 300))) + 1e-9


def test_fit_flip_exponent_of_random_errors_is_at_the_end_of_the_range():
    accuracies = np.linspace(0.2, 0.6, 20)
    disagreements = metrics.uncorrelated_limit(accuracies, 0.7, 10) * (1 - accuracies)
    assert metrics.fit_flip_exponent(accuracies, disagreements, 0.7, 10) == pytest.approx(0.01, rel=1e-3)


def test_fit_flip_exponent_leaves_out_points_without_errors():
    accuracies, disagreements = metrics.flip_family(np.linspace(0.1, 0.9, 20), 0.5, 0.9, 10)
    with_one = np.append(accuracies, 1.0), np.append(disagreements, 0.1)
    assert metrics.fit_flip_exponent(*with_one, 0.9, 10) == pytest.approx(0.5, rel=1e-3)
    assert np.isnan(metrics.fit_flip_exponent([1.0], [0.1], 0.9, 10))


def test_rmse_of_a_limits_own_points_is_zero():
    accuracies = np.linspace(0.1, 0.69, 30)
    limits = [limit(accuracies, 0.7, 10) for limit in (metrics.uncorrelated_limit, metrics.perturbed_limit)]
    for one, other in (limits, limits[::-1]):
        disagreements = one * (1 - accuracies)
        assert metrics.diversity_rmse(accuracies, disagreements, one) == pytest.approx(0, abs=1e-15)
        assert metrics.diversity_rmse(accuracies, disagreements, other) > 0.1


def test_rmse_known_and_without_errors():
    assert metrics.diversity_rmse([0.5, 0.75, 1.0], [0.5, 0.25, 0], [0.9, 0.3, 5]) == pytest.approx(0.5)
    assert np.isnan(metrics.diversity_rmse([1.0], [0.0], [0.5]))


def test_diversity_at_accuracy_of_falling_samples_is_straight_between_them():
    accuracies, diversities = [0.7, 0.3, 0.5], [0.1, 0.9, 0.6]
    at = metrics.diversity_at_accuracy(accuracies, diversities, [0.3, 0.4, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(at, [0.9, 0.75, 0.6, 0.35, 0.1])
    assert metrics.diversity_at_accuracy(accuracies, diversities, 0.6) == pytest.approx(0.35)


def test_diversity_at_accuracy_pools_what_rises():
    # 0.4 and 0.6 rise, so they are pooled to 0.5; of two samples of one accuracy it takes the mean.
    at = metrics.diversity_at_accuracy([0.2, 0.4, 0.5, 0.7, 0.7], [0.9, 0.4, 0.6, 0.1, 0.3], [0.2, 0.4, 0.45, 0.5, 0.7])
    np.testing.assert_allclose(at, [0.9, 0.5, 0.5, 0.5, 0.2])


def test_diversity_at_accuracy_outside_the_samples_is_nan():
    at = metrics.diversity_at_accuracy([0.3, 0.5], [0.9, 0.5], [0.29, 0.3, 0.5, 0.51])
    np.testing.assert_array_equal(np.isnan(at), [True, False, False, True])
    assert np.isnan(metrics.diversity_at_accuracy([0.5], [0.4], 0.6))
    assert metrics.diversity_at_accuracy([0.5], [0.4], 0.5) == 0.4


def test_diversity_at_accuracy_leaves_out_samples_without_one():
    at = metrics.diversity_at_accuracy([0.3, 0.5, 1.0], [0.9, 0.5, np.nan], [0.4, 0.9])
    np.testing.assert_allclose(at, [0.7, np.nan])
    assert np.isnan(metrics.diversity_at_accuracy([1.0], [np.nan], 1.0))


# Arguments that cannot be meant


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.cosine_similarity(np.ones(3)), r"weights: expected shape \(N, P\), received \(3,\)"),
        (lambda: metrics.disagreement(np.zeros(3, int)), r"labels: expected shape \(N, n\), received \(3,\)"),
        (lambda: metrics.disagreement(np.zeros((2, 0), int)), r"labels: .*received \(2, 0\)"),
        (lambda: metrics.disagreement(np.zeros((2, 3))), "labels: expected integer class labels, received float64"),
        (lambda: metrics.disagreement([[0, -1]]), "labels: expected labels from 0 to K - 1, received -1 to 0"),
        (lambda: metrics.top_labels([1.0]), r"probs: expected shape \(N, n, K\) or \(n, K\), received \(1,\)"),
        (lambda: metrics.accuracy(np.full((3, 2), 0.5), [0, 1]), r"labels: expected shape \(n = 3\), received \(2,\)"),
        (lambda: metrics.accuracy(np.full((1, 2), 0.5), [2]), "labels: expected labels from 0 to 2 - 1, received 2"),
        (lambda: metrics.brier_score(np.full((1, 2), 0.6), [0]), "probs: .*sum to one"),
        (lambda: metrics.brier_score([[1.5, -0.5]], [0]), "probs: .*at least 0"),
        (lambda: metrics.brier_score([[np.nan, 0.5]], [0]), "probs: "),
        (lambda: metrics.jensen_shannon_divergence(np.full((3, 2), 0.5)), r"probs: .*\(N, n, K\), received \(3, 2\)"),
        (lambda: metrics.euclidean_distances([1.0]), r"points: expected shape \(N, D\) or \(N, n, K\)"),
        (lambda: metrics.normalized_diversity([[0, 1]], [0], [0, 1]), r"reference: expected shape \(n = 2\)"),
        (lambda: metrics.normalized_diversity([[0, 1]], [0, 1], [0]), r"targets: expected shape \(n = 2\)"),
        (lambda: metrics.uncorrelated_limit(70.0, 0.7, 10), "accuracy: expected fractions from 0 to 1, received 70"),
        (lambda: metrics.uncorrelated_limit(0.7, 0.7, 1), "num_classes: expected at least 2, received 1"),
        (lambda: metrics.perturbed_limit(0.1, 0.1, 10), "reference_accuracy: expected above chance"),
        (lambda: metrics.flip_family(1.5, 1, 0.7, 10), "flip: "),
        (lambda: metrics.flip_family(0.5, -1, 0.7, 10), "exponent: "),
        (lambda: metrics.predictive_entropy([0.5, 0.5]), r"probs: expected shape \(N, n, K\) or \(n, K\)"),
        (lambda: metrics.jensen_shannon_by_example([[0.5, 0.5]]), r"probs: expected shape \(N, n, K\)"),
        (lambda: metrics.area_under_roc([0.0, 1.0], [0, 1]), "positive: expected booleans, received int64"),
        (lambda: metrics.area_under_roc([0.0, 1.0], [True]), r"positive: expected shape \(n = 2\), received \(1,\)"),
        (lambda: metrics.area_under_roc([0.0, np.nan], [True, False]), "scores: expected finite numbers"),
        (
            lambda: metrics.diversity_at_accuracy([0.5], [0.1, 0.2], 0.5),
            r"sample_diversities: expected shape \(n = 1\)",
        ),
        (lambda: metrics.diversity_at_accuracy([50.0], [0.1], 0.5), "sample_accuracies: expected fractions"),
        (lambda: metrics.flip_family_diversity(0.1, 0.22, 0.1, 10), "reference_accuracy: expected above chance"),
        (lambda: metrics.flip_family_diversity(0.1, -1, 0.7, 10), "exponent: expected 0 or more, received -1"),
        (lambda: metrics.fit_flip_exponent([0.5], [0.1, 0.2], 0.7, 10), r"disagreements: expected shape \(n = 1\)"),
        (lambda: metrics.fit_flip_exponent([0.5], [1.2], 0.7, 10), "disagreements: expected fractions"),
        (lambda: metrics.diversity_rmse([0.5], [0.2], [0.1, 0.2]), r"curve: expected shape \(n = 1\)"),
    ],
)
def test_bad_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_half_precision_probabilities_are_accepted():
    probs = random_probs(3, 20, 10).astype(np.float16)
    assert 0 <= metrics.jensen_shannon_divergence(probs) <= np.log(3)


# Whose nearest neighbour is whose


def test_neighbor_purity_of_two_groups():
    distances = metrics.euclidean_distances(np.array([[0.0], [0.1], [5.0], [5.1], [0.2]]))
    assert metrics.neighbor_purity(distances, [0, 0, 1, 1, 0]) == 1
    assert metrics.neighbor_purity(distances, [0, 1, 0, 1, 2]) == 0
    assert metrics.neighbor_purity(distances, [0, 0, 1, 1, 1]) == pytest.approx(4 / 5)


def test_neighbor_purity_among_chosen_groups():
    distances = metrics.euclidean_distances(np.array([[0.0], [1.0], [1.1], [9.0], [9.1]]))
    groups = np.array([0, 0, 1, 2, 2])
    assert metrics.neighbor_purity(distances, groups) == pytest.approx(3 / 5)
    assert metrics.neighbor_purity(distances, groups, [0, 2, 2]) == 1


def test_neighbor_purity_needs_two_groups():
    distances = metrics.euclidean_distances(np.array([[0.0], [1.0], [2.0]]))
    assert np.isnan(metrics.neighbor_purity(distances, [0, 0, 0]))
    assert np.isnan(metrics.neighbor_purity(distances, [0, 0, 1], [0]))
