"""The figures of the diversity–accuracy plane are drawn, labelled, and hold the points and the curves."""

import matplotlib as mpl
import numpy as np
import pytest
from helpers import legend_entries as entries

from lib.metrics import flip_family_diversity, perturbed_limit, uncorrelated_limit
from lib.metrics.comparison import Points
from lib.plots import diversity as plots
from lib.plots.downloads import data_of
from lib.plots.style import METHOD_COLORS
from lib.subspaces.methods import METHOD_NAMES

LIMITS = ["limit: independent errors", "limit: flipped labels"]
FAMILY = ["e = 0.01", "e = 0.2", "e = 0.5", "e = 1", "e = 2", "e = 10"]


pytestmark = pytest.mark.usefixtures("clean_style")


def points(accuracies, disagreements, base=0.71, num_classes=10):
    return Points(np.array(accuracies, float), np.array(disagreements, float), base, num_classes)


def by_place(panels):
    """What is given by title and method, by both at once."""
    return {(title, way): own for title, ways in panels.items() for way, own in ways.items()}


def labelled(figure):
    return all(
        (axes.get_xlabel(), axes.get_ylabel()) == ("test accuracy", "disagreement with base / error")
        for axes in figure.axes
    )


# Figures 6 and 7


def test_diversity_accuracy_holds_the_points_and_both_limits():
    given = {
        "random": points([0.7, 0.4], [0.06, 0.48]),
        "independent": points([0.74], [0.234]),
        "dropout": points([], []),
    }
    figure = plots.diversity_accuracy(by_place({"digits": given}))
    (axes,) = figure.axes
    *methods, base = axes.collections
    expected = [[[0.7, 0.2], [0.4, 0.8]], [[0.74, 0.9]], np.zeros((0, 2))]
    for dots, own, way in zip(methods, expected, given, strict=True):
        np.testing.assert_allclose(dots.get_offsets(), own)
        np.testing.assert_allclose(dots.get_facecolor()[0, :3], mpl.colors.to_rgb(METHOD_COLORS[way]))
    np.testing.assert_array_equal(base.get_offsets(), [[0.71, 0]])
    ends = []
    for line, limit, label in zip(axes.lines, (uncorrelated_limit, perturbed_limit), LIMITS, strict=True):
        curve, drawn = line.get_xydata().T
        np.testing.assert_allclose(drawn, limit(curve, 0.71, 10))
        assert line.get_label() == label
        assert curve[0] <= 0.4
        ends.append(curve[-1])
    # Independent solutions may be more accurate than the base, flipped labels are not.
    np.testing.assert_array_equal(ends, [0.74, 0.71])
    assert entries(figure) == [*LIMITS, *(METHOD_NAMES[way] for way in given), "base solution"]
    assert axes.get_title() == "digits"
    assert labelled(figure)


def test_diversity_accuracy_has_the_scales_in_its_data():
    given = {"independent": points([0.74], [0.234]), "random": points([0.7, 0.4], [0.06, 0.48])}
    figure = plots.diversity_accuracy(by_place({"digits": given}), {("digits", "random"): np.array([0.5, 2.0])})
    found = data_of(figure).set_index("series")["scale"]
    assert found[METHOD_NAMES["random"]].tolist() == [0.5, 2.0]
    assert found.drop(METHOD_NAMES["random"]).isna().all()
    assert "scale" not in data_of(plots.diversity_accuracy(by_place({"digits": given})))


def test_diversity_accuracy_has_a_panel_a_title_with_its_own_base():
    planes = {
        "one": {"random": points([0.6], [0.2])},
        "other": {"random": points([0.8, 0.7], [0.1, 0.24], base=0.9, num_classes=4)},
    }
    figure = plots.diversity_accuracy(by_place(planes))
    assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
    for axes, settings, count in zip(figure.axes, ((0.71, 10), (0.9, 4)), (1, 2), strict=True):
        assert len(axes.collections[0].get_offsets()) == count
        np.testing.assert_array_equal(axes.collections[-1].get_offsets(), [[settings[0], 0]])
        for line, limit in zip(axes.lines, (uncorrelated_limit, perturbed_limit), strict=True):
            curve, drawn = line.get_xydata().T
            np.testing.assert_allclose(drawn, limit(curve, *settings))
    assert entries(figure) == [*LIMITS, METHOD_NAMES["random"], "base solution"]
    assert labelled(figure)


@pytest.mark.parametrize("base", [0.1, 0.05])
def test_diversity_accuracy_of_a_base_that_guesses_has_one_limit(base):
    figure = plots.diversity_accuracy({("digits", "random"): points([0.1, 0.12], [0.7, 0.8], base=base)})
    (axes,) = figure.axes
    (line,) = axes.lines
    curve, drawn = line.get_xydata().T
    np.testing.assert_allclose(drawn, uncorrelated_limit(curve, base, 10))
    np.testing.assert_allclose(axes.collections[0].get_offsets()[1], [0.12, 0.8 / 0.88])
    assert entries(figure) == [LIMITS[0], METHOD_NAMES["random"], "base solution"]


def test_diversity_accuracy_of_networks_without_errors():
    figure = plots.diversity_accuracy({("digits", "random"): points([1, 0.9], [0, 0.1], base=1.0)})
    (axes,) = figure.axes
    shown = axes.collections[0].get_offsets()
    np.testing.assert_allclose(shown[~np.ma.getmaskarray(shown).any(axis=1)], [[0.9, 1]])
    for line in axes.lines:
        assert np.isfinite(line.get_xydata()).all()


# Figure S6


def test_flip_families_hold_the_points_the_family_and_the_best():
    given = {"random": points([0.7, 0.4], [0.06, 0.48]), "low-rank-gaussian": points([0.5], [0.2])}
    figure = plots.flip_families(by_place({"digits": given}), {"digits": 0.34})
    (axes,) = figure.axes
    for dots, own in zip(axes.collections, given.values(), strict=True):
        np.testing.assert_array_equal(dots.get_offsets(), np.column_stack([own.accuracies, own.diversities]))
    for line, exponent in zip(axes.lines, (*plots.EXPONENTS, 0.34), strict=True):
        curve, drawn = line.get_xydata().T
        np.testing.assert_allclose(drawn, flip_family_diversity(curve, exponent, 0.71, 10))
        assert curve[0] <= 0.4
        assert curve[-1] == 0.71
    assert entries(figure) == ["samples", *FAMILY, "best fit"]
    assert axes.get_title() == "digits: best fit e = 0.34"
    assert labelled(figure)


def test_flip_families_without_a_best_fit():
    given = {"random": points([0.7, 0.4], [0.06, 0.48])}
    figure = plots.flip_families(by_place({"one": given, "other": given}), {"one": np.nan, "other": 2.0})
    assert [axes.get_title() for axes in figure.axes] == ["one", "other: best fit e = 2"]
    assert [len(axes.lines) for axes in figure.axes] == [6, 7]
    assert labelled(figure)


@pytest.mark.parametrize("base", [0.1, 0.05])
def test_flip_families_of_a_base_that_guesses_have_the_points_alone(base):
    own = points([0.1, 0.12], [0.7, 0.8], base=base)
    figure = plots.flip_families({("digits", "random"): own}, {"digits": own.exponent()})
    (axes,) = figure.axes
    assert len(axes.lines) == 0
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[0.1, 0.7 / 0.9], [0.12, 0.8 / 0.88]])
    assert entries(figure) == ["samples"]
    assert labelled(figure)
    figure.draw_without_rendering()


@pytest.mark.parametrize("first", ["one", "guess"])
def test_flip_families_beside_a_base_that_guesses(first):
    planes = {"one": {"random": points([0.6], [0.2])}, "guess": {"random": points([0.1], [0.7], base=0.1)}}
    planes = dict(sorted(planes.items(), key=lambda panel: panel[0] != first))
    figure = plots.flip_families(by_place(planes), {title: own["random"].exponent() for title, own in planes.items()})
    assert {axes.get_title()[:3]: len(axes.lines) for axes in figure.axes} == {"one": 7, "gue": 0}
    assert entries(figure) == ["samples", *FAMILY, "best fit"]
