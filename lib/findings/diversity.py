"""Figures 6 and S6: at equal accuracy, independent solutions are more diverse than samples of one run."""

from lib.findings.claim import Finding

FINDING = Finding("04_diversity", networks="sampled_architectures")
