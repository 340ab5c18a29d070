"""The common style of the book's figures."""

import numpy as np
import seaborn as sns
from matplotlib.colors import to_rgb

from lib.plots import style


def test_run_colors_differ_for_the_colour_blind_and_in_grey():
    assert len({tuple(color) for color in style.RUN_COLORS}) == len(set(style.RUN_MARKERS)) == 10
    assert sns.color_palette("colorblind", 10) == style.RUN_COLORS


def test_each_method_has_a_look():
    assert style.METHOD_COLORS.keys() == style.METHOD_MARKERS.keys() == style.METHOD_NAMES.keys()
    looks = list(zip(style.METHOD_COLORS.values(), style.METHOD_MARKERS.values(), strict=True))
    assert len(set(looks)) == len(looks)


def luminance(color) -> float:
    """Relative luminance as defined in WCAG 2."""
    parts = np.array(to_rgb(color))
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_ink_is_read_on_light_pages_and_on_dark_ones():
    for page in ("#ffffff", "#14181e"):
        dark, light = sorted([luminance(style.INK), luminance(page)])
        assert (light + 0.05) / (dark + 0.05) > 4
