"""Figures 5 and S1: the plane of two solutions, as accurate on both sides, and not the same function."""

from lib.findings.claim import Finding

FINDING = Finding("05_radial")
