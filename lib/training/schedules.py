"""Learning-rate schedules, by name."""

import math
from collections.abc import Callable

#: Learning rate in an epoch (from 0) of `epochs`, as a factor of the base rate. The paper's epoch numbers are converted
#: to fractions of the run, so that a shorter run has the whole schedule.
SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda epoch, epochs: 1.0,
    # Halved every 10 of 40 epochs.
    "halving": lambda epoch, epochs: 0.5 ** (4 * epoch // epochs),
    # Reduced after epochs 80, 120, 160 and 180 of 200.
    "keras-resnet": lambda epoch, epochs: (1.0, 0.1, 0.01, 1e-3, 5e-4)[
        sum(epoch > fraction * epochs for fraction in (0.4, 0.6, 0.8, 0.9))
    ],
    # Reduced at epochs 80 and 120 of 160.
    "step": lambda epoch, epochs: 0.1 ** sum(epoch >= fraction * epochs for fraction in (0.5, 0.75)),
    "cosine": lambda epoch, epochs: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),
}
