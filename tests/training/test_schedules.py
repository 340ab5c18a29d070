"""Schedules at the paper's epochs."""

import itertools

import numpy as np
import pytest

from lib.training.schedules import SCHEDULES


@pytest.mark.parametrize(
    ("schedule", "base", "epochs", "rates"),
    [
        ("halving", 1.6e-3, 40, {0: 1.6e-3, 9: 1.6e-3, 10: 8e-4, 19: 8e-4, 20: 4e-4, 29: 4e-4, 30: 2e-4, 39: 2e-4}),
        ("halving", 1.6e-3, 12, {0: 1.6e-3, 2: 1.6e-3, 3: 8e-4, 6: 4e-4, 9: 2e-4, 11: 2e-4}),
        (
            "keras-resnet",
            1e-3,
            200,
            {0: 1e-3, 80: 1e-3, 81: 1e-4, 120: 1e-4, 121: 1e-5, 160: 1e-5, 161: 1e-6, 180: 1e-6, 181: 5e-7, 199: 5e-7},
        ),
        ("step", 0.15, 160, {0: 0.15, 79: 0.15, 80: 0.015, 119: 0.015, 120: 0.0015, 159: 0.0015}),
        ("cosine", 0.05, 50, {0: 0.05, 25: 0.025, 49: 0.05 * 0.5 * (1 + np.cos(np.pi * 49 / 50))}),
        ("constant", 0.1, 7, {0: 0.1, 6: 0.1}),
    ],
)
def test_schedule_at_the_papers_epochs(schedule, base, epochs, rates):
    for epoch, rate in rates.items():
        assert base * SCHEDULES[schedule](epoch, epochs) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_schedule_of_a_short_run_starts_at_the_base_and_stays_positive(schedule, epochs):
    rates = [SCHEDULES[schedule](epoch, epochs) for epoch in range(epochs)]
    assert rates[0] == 1
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] > 0
