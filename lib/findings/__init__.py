"""The paper's findings, one module each: its claims, and what its page needs.

`CLAIMS` has every claim by its identifier, `FINDINGS` every finding by its name, both in the order of the pages.
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

# A finding may import an earlier one, so that claims do not register in the order of the pages.
_order = list(FINDINGS)
for _claim in sorted(CLAIMS.values(), key=lambda claim: _order.index(claim.finding)):
    CLAIMS[_claim.id] = CLAIMS.pop(_claim.id)

__all__ = ["CLAIMS", "FINDINGS"]
