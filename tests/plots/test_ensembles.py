"""The figures of ensembles and of shifted images are drawn, labelled, and hold what they were given."""

import numpy as np
import pandas as pd
import pytest

from lib.plots import ensembles as plots
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES

RNG = np.random.default_rng(0)
TITLES = ["one run", "all 4 runs"]
LABELS = ["accuracy", "Brier score"]


pytestmark = pytest.mark.usefixtures("clean_style")


def entries(figure):
    (legend,) = figure.legends
    assert not any(axes.get_legend() for axes in figure.axes)
    return [text.get_text() for text in legend.texts]


def drawn(axes):
    """Names of the methods of a panel and their points, by the error bars that they are made of."""
    return {bars.get_label(): bars.lines[0].get_xydata() for bars in axes.containers}


def bars(axes):
    """Half of the length of every bar, by the names of the methods."""
    spans = {one.get_label(): np.array(one.lines[2][0].get_segments()) for one in axes.containers}
    return {name: (own[:, 1, 1] - own[:, 0, 1]) / 2 for name, own in spans.items()}


def values(*ways, severities=4, corruptions=5):
    """`(variants, metrics, severities, corruptions)` for each method."""
    return {way: RNG.random((2, 2, severities, corruptions)) for way in ways}


# How large ensembles are


def by_size(*metrics):
    """Ensembles of one, two and three runs."""
    return pd.DataFrame({"size": [1, 1, 1, 2, 2, 3]} | {name: RNG.random(6) for name in metrics})


def test_ensemble_sizes_hold_means_and_deviations():
    metrics = ["accuracy", "Brier score", "negative log-likelihood", "calibration error"]
    scores = {way: by_size(*metrics) for way in ("independent", "random", "weight-average")}
    figure = plots.ensemble_sizes(scores)
    assert len(figure.axes) == 4
    for axes, metric in zip(figure.axes, metrics, strict=True):
        points, spans = drawn(axes), bars(axes)
        assert list(points) == [METHOD_NAMES[way] for way in scores]
        for way, table in scores.items():
            own = [table[metric][table["size"] == size] for size in (1, 2, 3)]
            x, y = points[METHOD_NAMES[way]].T
            np.testing.assert_allclose(y, [part.mean() for part in own])
            np.testing.assert_allclose(spans[METHOD_NAMES[way]], [np.std(part) for part in own], atol=1e-12)
            # Set apart, but nearer to their own size than to another.
            np.testing.assert_array_equal(np.rint(x), [1, 2, 3])
    assert len({points[0, 0] for points in drawn(figure.axes[0]).values()}) == 3
    assert entries(figure) == [METHOD_NAMES[way] for way in scores]


def test_ensemble_sizes_are_labelled_with_units():
    figure = plots.ensemble_sizes({"independent": by_size("accuracy", "Brier score", "negative log-likelihood", "x")})
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "accuracy",
        "Brier score",
        "negative log-likelihood (nats)",
        "x",
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", *["runs in the ensemble"] * 2]


def test_ensemble_sizes_of_one_method_lie_on_their_size():
    figure = plots.ensemble_sizes({"independent": by_size("accuracy", "Brier score")})
    for axes in figure.axes:
        np.testing.assert_array_equal(drawn(axes)[METHOD_NAMES["independent"]][:, 0], [1, 2, 3])
        ((line, *_),) = [one.lines for one in axes.containers]
        assert (line.get_color(), line.get_marker()) == (METHOD_COLORS["independent"], METHOD_MARKERS["independent"])


# Pictures


@pytest.mark.parametrize("shape", [(9, 9, 1), (9, 11, 3), (29, 29, 1)])
def test_image_grid_has_every_image_where_its_names_are(shape):
    height, width, channels = shape
    images = RNG.integers(0, 255, (3, 2, *shape), dtype=np.uint8)
    figure = plots.image_grid(images, ["fog", "snow", "frost"], [1, 5], "severity")
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["fog", "snow", "frost"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "5"]
    assert axes.get_xlabel() == "severity"
    (picture,) = axes.images
    whole = np.asarray(picture.get_array()).reshape(*picture.get_array().shape[:2], channels)
    rows, columns = axes.get_yticks(), axes.get_xticks()
    seen = np.zeros(whole.shape[:2], bool)
    for row, column in np.ndindex(3, 2):
        top, left = int(rows[row]) - height // 2, int(columns[column]) - width // 2
        block = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(whole[block], images[row, column])
        assert not seen[block].any()
        seen[block] = True
    # What lies between them is white.
    assert (whole[~seen] == 255).all()
    assert (~seen).any()


def test_image_grid_shows_the_whole_range_of_pixels():
    figure = plots.image_grid(np.full((1, 2, 9, 9, 1), 100, np.uint8), ["a"], ["", ""], "digits")
    (picture,) = figure.axes[0].images
    assert picture.get_clim() == (0, 255)
    np.testing.assert_allclose(picture.cmap(picture.norm(np.array([0, 255])))[:, :3], [[0, 0, 0], [1, 1, 1]])


# Shifted images


def panels(figure):
    """The four panels, a row a metric and a column a variant, whose outer axes must be labelled."""
    grid = np.reshape(figure.axes, (2, 2))
    assert [axes.get_ylabel() for axes in grid[:, 0]] == LABELS
    assert [axes.get_xlabel() for axes in grid[1]] == ["severity"] * 2
    assert [axes.get_title() for axes in grid[0]] == TITLES
    return grid


def plain(variant):
    return METHOD_NAMES[("single", "independent")[variant]]


def test_shifted_scores_hold_means_and_the_band_of_the_plain_network():
    given = values("single", "random", "weight-average")
    figure = plots.shifted_scores(given, TITLES, LABELS)
    for (metric, variant), axes in np.ndenumerate(panels(figure)):
        points = drawn(axes)
        assert list(points) == [plain(variant), METHOD_NAMES["random"], METHOD_NAMES["weight-average"]]
        for found, own in zip(points.values(), given.values(), strict=True):
            np.testing.assert_array_equal(found[:, 0], np.arange(4))
            np.testing.assert_allclose(found[:, 1], own[variant, metric].mean(axis=-1))
        (band,) = axes.collections
        vertices = band.get_paths()[0].vertices
        own = given["single"][variant, metric]
        mean, spread = own.mean(axis=-1), own.std(axis=-1)
        assert vertices[:, 0].min() == 1
        for severity in (1, 2, 3):
            heights = vertices[vertices[:, 0] == severity, 1]
            np.testing.assert_allclose(
                [heights.min(), heights.max()], mean[severity] + spread[severity] * np.array([-1, 1])
            )
    assert entries(figure) == [plain(0), METHOD_NAMES["random"], METHOD_NAMES["weight-average"], plain(1)]


def test_shifted_scores_without_the_plain_network_have_no_band():
    figure = plots.shifted_scores(values("random"), TITLES, LABELS)
    assert not any(axes.collections for axes in panels(figure).flat)
    assert entries(figure) == [METHOD_NAMES["random"]]


def test_shifted_gains_hold_means_and_standard_errors():
    given = values("single", "random")
    figure = plots.shifted_gains(given, TITLES, LABELS)
    for (metric, variant), axes in np.ndenumerate(panels(figure)):
        points, spans = drawn(axes), bars(axes)
        # The plain network has no gain over itself.
        names = {"random": METHOD_NAMES["random"]} | ({"single": plain(1)} if variant else {})
        assert set(points) == set(names.values())
        for way, name in names.items():
            own = given[way][variant, metric]
            x, y = points[name].T
            np.testing.assert_array_equal(np.rint(x), np.arange(4))
            np.testing.assert_allclose(y, own.mean(axis=-1))
            np.testing.assert_allclose(spans[name], own.std(axis=-1, ddof=1) / np.sqrt(5))
        level = [line for line in axes.lines if len(line.get_xdata()) == 2 and not np.any(line.get_ydata())]
        assert len(level) == 1
    assert entries(figure) == [METHOD_NAMES["random"], plain(1)]


def test_shifted_gains_lie_at_the_same_place_in_both_variants():
    one, other = panels(plots.shifted_gains(values("single", "random", "dropout"), TITLES, LABELS))[0]
    for name in (METHOD_NAMES["random"], METHOD_NAMES["dropout"]):
        np.testing.assert_array_equal(drawn(one)[name][:, 0], drawn(other)[name][:, 0])
    assert len({own[0, 0] for own in drawn(other).values()}) == 3


def test_shifted_divergence_holds_severities_and_foreign_images():
    given = {way: RNG.random((6, 19)) for way in ("independent", "trajectory", "dropout")}
    foreign = {"dropout": 0.3, "trajectory": 0.2, "independent": 0.9}
    figure = plots.shifted_divergence(given, foreign, "house numbers")
    axes, beside = figure.axes
    for way, own in given.items():
        x, y = drawn(axes)[METHOD_NAMES[way]].T
        np.testing.assert_array_equal(np.rint(x), np.arange(6))
        np.testing.assert_allclose(y, own.mean(axis=-1))
        error = own.std(axis=-1, ddof=1) / np.sqrt(19)
        np.testing.assert_allclose(bars(axes)[METHOD_NAMES[way]], error)
        assert drawn(beside)[METHOD_NAMES[way]][:, 1] == [foreign[way]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("severity", "Jensen-Shannon divergence (nats)")
    assert [tick.get_text() for tick in beside.get_xticklabels()] == ["house numbers"]
    assert axes.get_ylim() == beside.get_ylim()
    assert axes.get_ylim()[0] == 0
    low, high = beside.get_xlim()
    assert all(low < points[0, 0] < high for points in drawn(beside).values())
    assert entries(figure) == [METHOD_NAMES[way] for way in given]


@pytest.mark.parametrize("severities", [range(6), [0]])
def test_ensembles_under_shift_has_a_line_a_size_in_both_panels(severities):
    rows = [(severity, size, size / (1 + severity), size * severity) for severity in severities for size in (1, 2, 4)]
    figure = plots.ensembles_under_shift(pd.DataFrame(rows, columns=["severity", "size", "accuracy", "Brier score"]))
    accuracy, brier = figure.axes
    assert entries(figure) == ["one network", "ensemble of 2", "ensemble of 4"]
    for axes, score in ((accuracy, lambda severity: 1 / (1 + severity)), (brier, lambda severity: severity)):
        for line, size in zip(axes.lines, (1, 2, 4), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), list(severities))
            np.testing.assert_allclose(line.get_ydata(), [size * score(severity) for severity in severities])
        assert len({line.get_color() for line in axes.lines}) == len({line.get_marker() for line in axes.lines}) == 3
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "Brier score"]
    assert brier.get_xlabel() == "severity of the corruptions, 0: none"
    np.testing.assert_array_equal(brier.get_xticks(), list(severities))
