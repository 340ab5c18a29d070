"""The figure of the coverage study shows its results."""

import numpy as np
import pytest

from lib.plots.coverage import coverage
from lib.plots.downloads import data_of

pytestmark = pytest.mark.usefixtures("clean_style")


def test_coverage_draws_a_line_a_claim_before_and_now():
    rows = [
        {"claim": claim, "members": members, "interval": interval, "coverage": value, "false": value, "width": 1}
        for claim in ("one", "other")
        for members in (3, 4)
        for interval, value in (("before", 0.5), ("now", None if members == 3 else 0.95))
    ]
    figure = coverage(rows)
    before, now = figure.axes[:2]
    assert [line.get_label() for line in before.lines[1:]] == ["one", "other"]
    np.testing.assert_array_equal(before.lines[1].get_ydata(), [0.5, 0.5])
    np.testing.assert_array_equal(now.lines[1].get_ydata(), [np.nan, 0.95])
    assert [text.get_text() for text in now.texts] == ["no interval"]
    assert len(data_of(figure)) == 8
