"""Every figure of the book: one function a figure, arrays in, a matplotlib `Figure` out, with the data behind it."""

from lib.plots.downloads import data_of, take_away
from lib.plots.similarity import (
    checkpoint_similarity,
    learning_curves,
    pair_distances,
    solution_similarity,
    trajectories_in_plane,
)
from lib.plots.style import METHOD_COLORS, METHOD_MARKERS, METHOD_NAMES, RUN_COLORS, RUN_MARKERS, use_style
