"""The figures of shifted images are labelled, and show the data that they are given."""

import numpy as np
import pytest
from helpers import drawn_bars, drawn_points, legend_entries

from lib.plots import shift as plots
from lib.plots.style import METHOD_NAMES

RNG = np.random.default_rng(0)
TITLES = ["one run", "all 4 runs"]
LABELS = ["accuracy", "Brier score"]

pytestmark = pytest.mark.usefixtures("clean_style")


def values(*ways, severities=4, corruptions=5):
    """Random values `(variants, metrics, severities, corruptions)` for each method."""
    return {way: RNG.random((2, 2, severities, corruptions)) for way in ways}


@pytest.mark.parametrize("shape", [(9, 9, 1), (9, 11, 3), (29, 29, 1)])
def test_image_grid_has_every_image_where_its_names_are(shape):
    height, width, _ = shape
    images = RNG.integers(0, 255, (3, 2, *shape), dtype=np.uint8)
    figure = plots.image_grid(images, ["fog", "snow", "frost"], [1, 5], "severity")
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["fog", "snow", "frost"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "5"]
    assert axes.get_xlabel() == "severity"
    (picture,) = axes.images
    whole = np.asarray(picture.get_array())
    assert whole.dtype == np.uint8  # shown as they are
    rows, columns = axes.get_yticks(), axes.get_xticks()
    seen = np.zeros(whole.shape[:2], bool)
    for row, column in np.ndindex(3, 2):
        top, left = int(rows[row]) - height // 2, int(columns[column]) - width // 2
        block = np.s_[top : top + height, left : left + width]
        np.testing.assert_array_equal(whole[block][..., :3], np.broadcast_to(images[row, column], (height, width, 3)))
        assert (whole[block][..., 3] == 255).all()
        assert not seen[block].any()
        seen[block] = True
    # The space between them is transparent, for light and dark pages.
    assert (whole[~seen][..., 3] == 0).all()
    assert (~seen).any()


def panels(figure):
    """The four panels, one row per metric and one column per variant; asserts the labels of the outer axes."""
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
        points = drawn_points(axes)
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
    assert legend_entries(figure) == [plain(0), METHOD_NAMES["random"], METHOD_NAMES["weight-average"], plain(1)]


def test_shifted_gains_hold_means_and_standard_errors():
    given = values("single", "random")
    figure = plots.shifted_gains(given, TITLES, LABELS)
    for (metric, variant), axes in np.ndenumerate(panels(figure)):
        points, spans = drawn_points(axes), drawn_bars(axes)
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
    assert legend_entries(figure) == [METHOD_NAMES["random"], plain(1)]


def test_shifted_gains_lie_at_the_same_place_in_both_variants():
    one, other = panels(plots.shifted_gains(values("single", "random", "dropout"), TITLES, LABELS))[0]
    for name in (METHOD_NAMES["random"], METHOD_NAMES["dropout"]):
        np.testing.assert_array_equal(drawn_points(one)[name][:, 0], drawn_points(other)[name][:, 0])
    assert len({own[0, 0] for own in drawn_points(other).values()}) == 3


def test_shifted_divergence_holds_severities_and_foreign_images():
    given = {way: RNG.random((6, 19)) for way in ("independent", "trajectory", "dropout")}
    foreign = {"dropout": 0.3, "trajectory": 0.2, "independent": 0.9}
    figure = plots.shifted_divergence(given, foreign, "house numbers")
    axes, beside = figure.axes
    for way, own in given.items():
        x, y = drawn_points(axes)[METHOD_NAMES[way]].T
        np.testing.assert_array_equal(np.rint(x), np.arange(6))
        np.testing.assert_allclose(y, own.mean(axis=-1))
        error = own.std(axis=-1, ddof=1) / np.sqrt(19)
        np.testing.assert_allclose(drawn_bars(axes)[METHOD_NAMES[way]], error)
        assert drawn_points(beside)[METHOD_NAMES[way]][:, 1] == [foreign[way]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("severity", "Jensen-Shannon divergence (nats)")
    assert [tick.get_text() for tick in beside.get_xticklabels()] == ["house numbers"]
    assert axes.get_ylim() == beside.get_ylim()
    assert axes.get_ylim()[0] == 0
    low, high = beside.get_xlim()
    assert all(low < points[0, 0] < high for points in drawn_points(beside).values())
    assert legend_entries(figure) == [METHOD_NAMES[way] for way in given]
