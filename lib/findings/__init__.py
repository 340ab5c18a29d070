"""The paper's findings, one module each: its claims, and what its page needs.

`CLAIMS` has every claim by its identifier, `FINDINGS` every finding by its name, both in the order of the pages.
"""

# isort: off  (claims register in the order of these imports)
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

# isort: on

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

__all__ = ["CLAIMS", "FINDINGS"]
