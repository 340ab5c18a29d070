"""Figures S2 and S3: a path of low loss joins two solutions, and the function changes along it."""

from lib.findings.claim import Finding

FINDING = Finding("06_tunnel")
