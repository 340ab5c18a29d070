"""Figure 9: under dataset shift the ensemble stays ahead, and its members differ more."""

import math

from lib.findings.claim import Finding

FINDING = Finding("08_shift", ranges={"num_foreign": (1, math.inf)})
