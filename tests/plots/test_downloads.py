"""Every figure comes with its data as CSV, and as an SVG that is the same each time."""

import importlib
import inspect
import io
import pkgutil
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure

from lib import plots
from lib.findings.judging import Result, known
from lib.metrics.comparison import Points
from lib.metrics.intervals import Estimate
from lib.plots import (
    coverage,
    diversity,
    downloads,
    ensemble,
    harder,
    independent,
    paper_numbers,
    radial,
    randomness,
    scoreboard,
    sgmcmc,
    shift,
    subspaces,
    trajectories,
    tunnel,
)

pytestmark = pytest.mark.usefixtures("clean_style")

RNG = np.random.default_rng(0)
RADII, ANGLES, PLACES = np.linspace(0, 2, 5), np.linspace(0, np.pi / 2, 4), np.linspace(0, 1, 6)
SHIFTED = {way: RNG.random((2, 2, 4, 5)) for way in ("single", "random")}
POINTS = {
    (title, way): Points(*own, 0.71, 10)
    for title in ("one", "other")
    for way, own in {
        "random": (RNG.uniform(0.3, 0.6, 5), RNG.random(5) / 3),
        "independent": (np.array([0.75]), np.array([0.2])),
        "dropout": (np.zeros(0), np.zeros(0)),
    }.items()
}
#: Two runs in their plane, each from its initial weights to its own optimum.
PATHS = [np.array([*RNG.random((3, 2)), end]) for end in np.eye(2)]
IMAGES = RNG.integers(0, 256, (3, 2, 8, 7, 3), dtype=np.uint8)


def judged(claim, value, low, high):
    context = {"dataset": "digits", "architecture": "small_cnn", "preset": "smoke"}
    return Result(known(claim), Estimate(value, low, high, "jackknife"), context)


#: Two sources at learning rates 0.001 and 0.002: value, and both ends of the interval.
DIFFERENCES = pd.DataFrame(
    [
        ["a", "initialisation and order", 1e-3, 0.3, 0.19, 0.43],
        ["a", "initialisation and order", 2e-3, 0.4, 0.29, 0.53],
        ["a", "neither", 1e-3, 0.2, 0.09, 0.33],
    ],
    columns=["measure", "series", "learning rate", "value", "low", "high"],
)


#: Numbers of the paper and ours: figure 9 at two severities, and one number of figure 6.
NUMBERS = pd.DataFrame(
    [
        ["Figure 9", "one network", 0, "accuracy", 0.7, 0.71, 0.72, 0.69, 0.75],
        ["Figure 9", "one network", 1, "accuracy", 0.6, 0.61, 0.64, 0.63, 0.66],
        ["Figure 6", "one network", 9, "accuracy", 0.5, 0.55, 0.52, 0.51, 0.53],
    ],
    columns=["title", "what", "severity", "number", "low", "high", "value", "our_low", "our_high"],
).assign(method="independent")

#: How often intervals of a claim covered the truth.
STUDY = [
    {"claim": claim, "members": members, "interval": interval, "coverage": RNG.random(), "false": RNG.random()}
    for claim in ("a", "b")
    for members in (4, 6)
    for interval in ("before", "now")
]


#: The arguments of each function.
EXAMPLES = {
    trajectories.weights_alike: (RNG.random((6, 6)), 2),
    trajectories.labels_differ: (RNG.random((6, 6)), 2),
    trajectories.trajectories_in_plane: (RNG.random((3, 4, 2)), RNG.random((3, 4))),
    trajectories.learning_curves: (RNG.random((3, 5)),),
    independent.cosines: ({"a": RNG.random((3, 3)), "b": RNG.random((4, 4))},),
    independent.disagreements: ({"a": RNG.random((3, 3))},),
    independent.pair_distances: ({"a": RNG.random(3), "b\nwithin a chain": RNG.random(6)}, "distance"),
    subspaces.samples_in_plane: (
        RNG.random((2, 4, 2)),
        {"random": RNG.random((2, 5, 2)), "dropout": RNG.random((2, 5, 2))},
        {"random": RNG.random((2, 5)) > 0.5, "dropout": np.zeros((2, 5), bool)},
    ),
    subspaces.distance_from_base: (
        {"random": RNG.random((2, 5)), "dropout": RNG.random((2, 4))},
        {"random": RNG.random((2, 5)), "dropout": RNG.random((2, 4))},
        {"random": RNG.random((2, 5)) > 0.5, "dropout": np.ones((2, 4), bool)},
        2.0,
    ),
    diversity.diversity_accuracy: (POINTS,),
    diversity.flip_families: (POINTS, {"one": 0.34, "other": np.nan}),
    radial.radial_maps: (
        RADII,
        ANGLES,
        {title: RNG.random((5, 4)) for title in ("a", "b", "c")},
        (2, 0),
        PATHS,
        [RNG.random((3, 2)), RNG.random((2, 2))],
        "low-rank-gaussian",
        30.0,
    ),
    radial.radial_surfaces: (
        RADII,
        ANGLES,
        [RNG.uniform(0.1, 9, (5, 4)) for _ in range(2)],
        {"error": [RNG.random((5, 4)) for _ in range(2)]},
        ["train", "validation"],
        (0, 1),
    ),
    radial.ray_profiles: (RADII, {"loss": RNG.random((2, 5)), "error": RNG.random((2, 5))}, (0, 3), (0.8, 1.2)),
    tunnel.path_profiles: (
        PLACES,
        RNG.random((2, 2, 6)),
        RNG.random((2, 2, 6)),
        RNG.random((2, 2, 2, 6)),
        [(0, 1), (2, 3)],
    ),
    tunnel.tunnel_functions: (PATHS, RNG.random((4, 2)), (0, 1)),
    tunnel.stitched_fans: (PLACES, RADII, {title: RNG.random((5, 6)) for title in ("a", "b")}, (0, 1)),
    ensemble.ensemble_sizes: (
        {
            way: pd.DataFrame({"size": [1, 1, 2, 2], "accuracy": RNG.random(4), "Brier score": RNG.random(4)})
            for way in ("independent", "random")
        },
    ),
    shift.image_grid: (IMAGES, ["fog", "snow", "glass blur"], ["0", "1"], "severity"),
    shift.shifted_scores: (SHIFTED, ["one run", "all"], ["accuracy", "Brier score"]),
    shift.shifted_gains: (SHIFTED, ["one run", "all"], ["accuracy", "Brier score"]),
    shift.shifted_divergence: (
        {way: RNG.random((4, 5)) for way in ("independent", "random")},
        {"independent": 0.9, "random": 0.2},
        "letters",
    ),
    harder.ensembles_under_shift: (
        pd.DataFrame({"severity": [0, 0, 1], "size": [1, 2, 1], "accuracy": RNG.random(3), "Brier score": [1, 2, 3]}),
    ),
    randomness.sources_of_diversity: (DIFFERENCES,),
    sgmcmc.chain_curves: ({title: RNG.random((3, 6)) for title in ("one", "other")}, [3, 6]),
    sgmcmc.cycle_cosines: ({title: RNG.random((6, 6)) for title in ("one", "other")}, 3),
    sgmcmc.chains_in_plane: ({title: RNG.random((3, 5, 2)) for title in ("one", "other")}, np.array([2, 4])),
    coverage.coverage: (STUDY,),
    paper_numbers.by_severity: (NUMBERS,),
    paper_numbers.side_by_side: (NUMBERS,),
    scoreboard.forest: (
        [judged("trajectories/weights-align-mean", 0.9, 0.85, 1.0), judged("independent/equidistant", 0.1, 0, 0.2)],
    ),
}

#: From a point's horizontal position to the value in the table, for figures that set methods apart.
AT = {
    ensemble.ensemble_sizes: np.rint,
    shift.shifted_gains: np.rint,
    # The foreign images have a panel of their own, and no severity.
    shift.shifted_divergence: lambda x: np.full(len(x), np.nan),
    randomness.sources_of_diversity: lambda x: 1e-3 * 2 ** np.rint(np.log2(x / 1e-3)),
}
#: Figures with rows, whose vertical axis has only names.
ROWS = {independent.pair_distances, scoreboard.forest, paper_numbers.side_by_side}

every_function = pytest.mark.parametrize("function", EXAMPLES, ids=lambda function: function.__name__)


def drawn(function) -> Figure:
    return function(*EXAMPLES[function])


@cache
def drawn_once(function) -> Figure:
    return drawn(function)


def table(figure) -> pd.DataFrame:
    """The table in the CSV of a figure."""
    return pd.read_csv(io.StringIO(downloads.csv(figure)), keep_default_na=False, na_values=[""])


def points(axes):
    """The places `(N, 2)` of everything that is drawn as a line, a marker, an error bar or a band."""
    meshes = [one for one in axes.collections if isinstance(one, QuadMesh)]
    for line in axes.lines:
        if line.get_transform() == axes.transData:  # others are lines across the whole panel
            yield line.get_xydata()
    for one in axes.collections:
        if isinstance(one, PathCollection):
            yield np.ma.getdata(one.get_offsets())
        elif isinstance(one, LineCollection) and not meshes:  # the lines on a map divide its blocks
            yield np.concatenate(one.get_segments())
        elif not isinstance(one, QuadMesh | LineCollection):
            yield one.get_paths()[0].vertices


def stated(data: pd.DataFrame) -> np.ndarray:
    """The numbers of each row and the ends of its error bar, `(rows, numbers)`."""
    numeric = data.select_dtypes("number")
    spreads = [name for name in numeric if name.startswith("standard ")]
    ends = [numeric["mean"] + sign * numeric[name] for name in spreads for sign in (-1, 1)]
    return np.column_stack([numeric, *ends]).astype(float)


def near(numbers, wanted):
    return np.isclose(numbers, wanted, rtol=1e-5, atol=1e-8)


def test_every_figure_has_an_example():
    functions = set()
    for module in pkgutil.iter_modules(plots.__path__, "lib.plots."):
        for name, function in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
            returns = inspect.signature(function).return_annotation
            own = function is not downloads.with_data
            if returns is Figure and not name.startswith("_") and own:
                functions.add(function)
    assert functions == set(EXAMPLES)


@every_function
def test_each_point_that_is_drawn_stands_in_a_row(function):
    figure = drawn_once(function)
    rows, count = stated(table(figure)), 0
    for axes in figure.axes:
        for x, y in (place for part in points(axes) for place in part):
            if function in ROWS:
                found = near(rows, x)
            else:
                at = AT.get(function, np.asarray)(np.array([x]))[0]
                here = near(rows, at).any(axis=1) if np.isfinite(at) else np.ones(len(rows), bool)
                found = near(rows[here], y)
            assert found.any() or not np.isfinite([x, y]).all(), (axes.get_title(), x, y)
            count += 1
    assert count or any(axes.collections or axes.images for axes in figure.axes)


@every_function
def test_each_value_of_a_map_is_in_the_table(function):
    figure = drawn_once(function)
    numbers = stated(table(figure)).ravel()
    for axes in figure.axes:
        for one in [*axes.collections, *axes.images]:
            if isinstance(one, QuadMesh) and axes.get_label() != "<colorbar>":
                assert all(near(numbers, value).any() for value in np.unique(one.get_array()))


@every_function
def test_tables_have_named_columns_and_a_row_an_observation(function):
    data = table(drawn_once(function))
    assert len(data)
    assert all(name == name.strip() and name and "Unnamed" not in name and "index" not in name for name in data.columns)
    assert not data.duplicated().any()


# The notebooks make the SVGs of the other figures.
@pytest.mark.parametrize(
    "function",
    [trajectories.weights_alike, trajectories.trajectories_in_plane, randomness.sources_of_diversity],
    ids=lambda function: function.__name__,
)
def test_svg_is_the_same_each_time_and_its_text_is_text(function):
    figure = drawn(function)
    first, second = downloads.svg(figure), downloads.svg(drawn(function))
    assert first == second
    root = ElementTree.fromstring(first)
    texts = {"".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")}
    named = {axes.get_xlabel() for axes in figure.axes} - {""}
    assert all(label in texts for label in named)
    addresses = [value for one in root.iter() for name, value in one.attrib.items() if name.endswith("href")]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)


# The layout of the tables


def test_rows_of_a_matrix_are_its_rows():
    label = "cosine similarity of weights"
    (matrix, *_), data = EXAMPLES[trajectories.weights_alike], table(drawn_once(trajectories.weights_alike))
    assert list(data.columns) == ["run", "checkpoint", "other run", "other checkpoint", label]
    assert len(data) == 36
    (cell,) = data.query("run == 2 and checkpoint == 1 and `other run` == 1 and `other checkpoint` == 3")[label]
    assert cell == pytest.approx(matrix[3, 2])


def test_rows_of_a_polar_map_have_its_radii_and_angles():
    radii, angles, maps, _, paths, samples, *_ = EXAMPLES[radial.radial_maps]
    data = table(drawn_once(radial.radial_maps))
    assert data["series"].value_counts().to_dict() == {
        "map": 20, "run 3": 4, "run 1": 4, "low-rank Gaussian, run 3": 3, "low-rank Gaussian, run 1": 2
    }  # fmt: skip
    (cell,) = data[near(data["radius"], radii[2]) & near(data["angle (radians)"], angles[1])].to_dict("records")
    assert [cell[title] for title in maps] == pytest.approx([own[2, 1] for own in maps.values()])
    shares = data[["share of run 3's solution", "share of run 1's solution"]]
    np.testing.assert_allclose(shares[data["series"] == "run 1"], paths[1], rtol=1e-6)
    np.testing.assert_allclose(shares[data["series"] == "low-rank Gaussian, run 3"], samples[0], rtol=1e-6)


def test_images_are_their_pixels():
    data = table(drawn_once(shift.image_grid))
    pixels = data[[f"x = {x}" for x in range(7)]].to_numpy().reshape(3, 2, 8, 3, 7)
    np.testing.assert_array_equal(np.moveaxis(pixels, 3, 4), IMAGES)
    assert data.loc[8 * 3, ["row", "severity", "y", "channel"]].to_list() == ["fog", 1, 0, 1]


# What a notebook carries


def test_numbers_have_seven_digits_and_whole_ones_no_point():
    figure = downloads.with_data(Figure(), pd.DataFrame({"a": [1.0, None], "b": [np.float32(0.1), 1 / 3], "c": [1, 2]}))
    assert downloads.csv(figure) == "a,b,c\n1,0.1,1\n,0.3333333,2\n"


def test_a_figure_in_a_notebook_carries_svg_and_data_and_still_shows_the_png():
    shell = InteractiveShell()
    formatter = shell.display_formatter
    formatter.formatters["image/png"].for_type(Figure, lambda figure: b"PNG")
    formatter.mimebundle_formatter.for_type(Figure, downloads.take_away)
    figure = drawn(trajectories.learning_curves)
    bundle, _ = formatter.format(figure)
    assert bundle.keys() == {"text/plain", "image/png", downloads.SVG, downloads.CSV}
    assert bundle["text/csv"].startswith("run,epoch,validation accuracy\n1,1,")
    assert formatter.format(Figure())[0].keys() == {"text/plain", "image/png"}
