"""Figure 8: what an ensemble gains, what samples of one run gain, and both together."""

import math

from lib.findings.claim import Finding

FINDING = Finding("07_ensemble", ranges={"max_subsets": (1, math.inf)})
