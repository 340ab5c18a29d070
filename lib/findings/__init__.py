"""The paper's findings, one module each, with its claims and the settings of its page.

`CLAIMS` maps identifiers to claims and `FINDINGS` maps names to findings, both in page order.
"""

from lib.findings import (
    diversity,
    ensemble,
    harder,
    independent,
    radial,
    randomness,
    sgmcmc,
    shift,
    subspaces,
    trajectories,
    tunnel,
)
from lib.findings.claim import CLAIMS, Finding

FINDINGS: dict[str, Finding] = {
    module.FINDING.name: module.FINDING
    for module in (
        trajectories,
        independent,
        subspaces,
        diversity,
        radial,
        tunnel,
        ensemble,
        shift,
        harder,
        randomness,
        sgmcmc,
    )
}

# One finding may import another, so claims are not always registered in page order.
_order = list(FINDINGS)
for _claim in sorted(CLAIMS.values(), key=lambda claim: _order.index(claim.finding)):
    CLAIMS[_claim.id] = CLAIMS.pop(_claim.id)

__all__ = ["CLAIMS", "FINDINGS"]
