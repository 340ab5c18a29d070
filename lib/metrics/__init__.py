"""Numbers about networks: scores, diversity, pairs, intervals."""

from lib.metrics.metrics import *  # noqa: F403
