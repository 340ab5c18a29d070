"""Figures 7 and 10: larger and harder datasets."""

import math

from lib.findings.claim import Finding

FINDING = Finding("09_harder", ranges={"gpu_images_per_second": (1, math.inf)})
