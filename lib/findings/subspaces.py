"""Figure 4: samples around a run stay in its mode."""

from lib.findings.claim import Finding

FINDING = Finding("03_subspaces")
