"""The figures of the diversity–accuracy plane are labelled, and show the points and the curves."""

import numpy as np
import pytest
from helpers import legend_entries as entries
from matplotlib.colors import to_rgb

from lib.metrics import flip_family_diversity, perturbed_limit, uncorrelated_limit
from lib.metrics.comparison import Points
from lib.plots import diversity as plots
from lib.plots.downloads import data_of
from lib.plots.style import METHOD_COLORS, METHOD_NAMES

LIMITS = {"limit: independent errors": uncorrelated_limit, "limit: flipped labels": perturbed_limit}
FAMILY = ["e = 0.01", "e = 0.2", "e = 0.5", "e = 1", "e = 2", "e = 10"]

pytestmark = pytest.mark.usefixtures("clean_style")


def points(accuracies, disagreements, base=0.71, num_classes=10):
    return Points(np.array(accuracies, float), np.array(disagreements, float), base, num_classes)


ONE = points([0.7, 0.4], [0.06, 0.48])
OTHER = points([0.8, 0.7], [0.1, 0.24], base=0.9, num_classes=4)
GUESSES = points([0.1, 0.12], [0.7, 0.8], base=0.1)


def assert_limits(axes, own, names=tuple(LIMITS)):
    """Assert that the panel has only these curves, drawn where they belong."""
    assert [line.get_label() for line in axes.lines] == list(names)
    for line in axes.lines:
        curve, drawn = line.get_xydata().T
        np.testing.assert_allclose(drawn, LIMITS[line.get_label()](curve, own.reference_accuracy, own.num_classes))
        assert curve[0] <= own.accuracies.min()


def assert_labelled(figure):
    for axes in figure.axes:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("test accuracy", "disagreement with base / error")


def test_diversity_accuracy_holds_the_points_and_both_limits():
    given = {"random": ONE, "independent": points([0.74], [0.234]), "dropout": points([], [])}
    figure = plots.diversity_accuracy({("digits", way): own for way, own in given.items()})
    (axes,) = figure.axes
    *methods, base = axes.collections
    expected = [[[0.7, 0.2], [0.4, 0.8]], [[0.74, 0.9]], np.zeros((0, 2))]
    for dots, own, way in zip(methods, expected, given, strict=True):
        np.testing.assert_allclose(dots.get_offsets(), own)
        np.testing.assert_allclose(dots.get_facecolor()[0, :3], to_rgb(METHOD_COLORS[way]))
    np.testing.assert_array_equal(base.get_offsets(), [[0.71, 0]])
    assert_limits(axes, ONE)
    # Independent solutions may be more accurate than the base, flipped labels are not.
    assert [line.get_xdata()[-1] for line in axes.lines] == [0.74, 0.71]
    assert entries(figure) == [*LIMITS, *(METHOD_NAMES[way] for way in given), "base solution"]
    assert axes.get_title() == "digits"


def test_diversity_accuracy_has_the_scales_in_its_data():
    given = {("digits", "independent"): points([0.74], [0.234]), ("digits", "random"): ONE}
    found = data_of(plots.diversity_accuracy(given, {("digits", "random"): np.array([0.5, 2.0])}))
    scales = found.set_index("series")["scale"]
    assert scales[METHOD_NAMES["random"]].tolist() == [0.5, 2.0]
    assert scales.drop(METHOD_NAMES["random"]).isna().all()
    assert "scale" not in data_of(plots.diversity_accuracy(given))


def test_diversity_accuracy_has_a_panel_a_title_with_its_own_base():
    figure = plots.diversity_accuracy({("one", "random"): ONE, ("other", "random"): OTHER})
    assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
    for axes, own in zip(figure.axes, (ONE, OTHER), strict=True):
        np.testing.assert_array_equal(axes.collections[-1].get_offsets(), [[own.reference_accuracy, 0]])
        assert_limits(axes, own)
    assert entries(figure) == [*LIMITS, METHOD_NAMES["random"], "base solution"]
    assert_labelled(figure)


def test_diversity_accuracy_of_a_base_that_guesses_has_one_limit():
    (axes,) = plots.diversity_accuracy({("digits", "random"): GUESSES}).axes
    assert_limits(axes, GUESSES, ["limit: independent errors"])
    np.testing.assert_allclose(axes.collections[0].get_offsets()[1], [0.12, 0.8 / 0.88])


def test_diversity_accuracy_of_networks_without_errors():
    (axes,) = plots.diversity_accuracy({("digits", "random"): points([1, 0.9], [0, 0.1], base=1.0)}).axes
    shown = axes.collections[0].get_offsets()
    np.testing.assert_allclose(shown[~np.ma.getmaskarray(shown).any(axis=1)], [[0.9, 1]])
    assert all(np.isfinite(line.get_xydata()).all() for line in axes.lines)


def test_flip_families_hold_the_points_the_family_and_the_best():
    given = {"random": ONE, "low-rank-gaussian": points([0.5], [0.2])}
    figure = plots.flip_families({("digits", way): own for way, own in given.items()}, {"digits": 0.34})
    (axes,) = figure.axes
    for dots, own in zip(axes.collections, given.values(), strict=True):
        np.testing.assert_array_equal(dots.get_offsets(), np.column_stack([own.accuracies, own.diversities]))
    for line, exponent in zip(axes.lines, (*plots.EXPONENTS, 0.34), strict=True):
        curve, drawn = line.get_xydata().T
        np.testing.assert_allclose(drawn, flip_family_diversity(curve, exponent, 0.71, 10))
        assert curve[0] <= 0.4
        assert curve[-1] == 0.71
    assert entries(figure) == ["samples", *FAMILY, "best fit"]


@pytest.mark.parametrize("order", [("guesses", "none", "best"), ("best", "none", "guesses")])
def test_flip_families_without_a_best_fit_or_beside_a_base_that_guesses(order):
    given = {"guesses": (GUESSES, GUESSES.exponent()), "none": (ONE, np.nan), "best": (OTHER, 2.0)}
    figure = plots.flip_families(
        {(title, "random"): given[title][0] for title in order}, {title: given[title][1] for title in order}
    )
    lines = {axes.get_title(): len(axes.lines) for axes in figure.axes}
    assert lines == {"guesses": 0, "none": 6, "best: best fit e = 2": 7}
    assert entries(figure) == ["samples", *FAMILY, "best fit"]
    assert_labelled(figure)
    figure.draw_without_rendering()
