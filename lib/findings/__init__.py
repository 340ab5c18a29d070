"""The paper's findings, one module each, with its claims and the settings of its page.

`CLAIMS` maps identifiers to claims and `FINDINGS` maps names to findings, both in page order.
"""

from importlib import import_module

from lib.findings.claim import CLAIMS, Finding

#: The modules of findings, in page order.
_NAMES = (
    *("trajectories", "independent", "subspaces", "diversity", "radial", "tunnel"),
    *("ensemble", "shift", "harder", "randomness", "sgmcmc"),
)

FINDINGS: dict[str, Finding] = {name: import_module(f"lib.findings.{name}").FINDING for name in _NAMES}

# One finding may import another, so claims are not always registered in page order.
for _claim in sorted(CLAIMS.values(), key=lambda claim: _NAMES.index(claim.finding)):
    CLAIMS[_claim.id] = CLAIMS.pop(_claim.id)

__all__ = ["CLAIMS", "FINDINGS"]
