"""What a criterion means, and that the claims are those fixed beforehand."""

import math

import pytest

from lib.findings import CLAIMS, FINDINGS
from lib.findings.claim import Criterion
from lib.subspaces.methods import METHODS


@pytest.mark.parametrize(
    ("operator", "below", "at", "above", "text"),
    [
        (">=", False, True, True, "≥ 0.8"),
        ("<=", True, True, False, "≤ 0.8"),
        (">", False, False, True, "> 0.8"),
        ("<", True, False, False, "< 0.8"),
        ("==", False, True, False, "= 0.8"),
    ],
)
def test_criterion_met_and_printed(operator, below, at, above, text):
    criterion = Criterion(operator, 0.8)
    assert [criterion.met(value) for value in (0.7, 0.8, 0.9)] == [below, at, above]
    assert not criterion.met(math.nan)
    assert str(criterion) == text


def test_claims_fixed_beforehand():
    """Criteria never change: one that proves badly chosen stays, and another is added."""
    assert {claim_id: str(claim.criterion) for claim_id, claim in CLAIMS.items()} == {
        "trajectories/weights-align": "≥ 0.8",
        "trajectories/weights-align-mean": "≥ 0.8",
        "trajectories/functions-stay": "< 1",
        "trajectories/modes": "≥ 0.99",
        "trajectories/modes-apart": "> 0",
        "independent/orthogonal": "≤ 0.1",
        "independent/orthogonal-kernels": "≤ 0.1",
        "independent/orthogonal-mean": "≤ 0.1",
        "independent/orthogonal-kernels-mean": "≤ 0.1",
        "independent/equidistant": "≤ 0.15",
        "independent/disagree": "≥ 0.4",
        **{f"subspaces/{method}/stays": "≥ 0.99" for method in METHODS},
        **{f"subspaces/{method}/nearer": "> 0" for method in METHODS},
        **{f"subspaces/{method}/closer": "< 1" for method in METHODS},
        **{f"diversity/{method}": "> 0" for method in METHODS},
        "diversity/limits": "≥ 0.95",
        "diversity/below-uncorrelated": "> 0",
        "limits/family": "< 0",
        "limits/exponent": "< 1",
        "radial/valley": "≤ 5",
        "radial/norm-grows": "> 1",
        "radial/norm-grows-mean": "> 0",
        "radial/own-mode": "≥ 0.95",
        "tunnel/linear-barrier": "≥ 10",
        "tunnel/connector": "≤ 2",
        "tunnel/functions-change": "≥ 0.4",
        "ensemble/accuracy": "> 0",
        "ensemble/brier": "< 0",
        "ensemble/brier-gain": "> 0.05",
        "ensemble/calibration": "< 0",
        **{f"ensemble/{method}/less": "< 0" for method in (*METHODS, "weight-average")},
        **{f"ensemble/{method}/complements": "< 0" for method in (*METHODS, "weight-average")},
        "ensemble/random-best": "< 0",
        "shift/ensemble": "> 0",
        "shift/grows": "> 0",
        "shift/jsd": "> 0",
        "shift/jsd-grows": "> 0",
        "shift/ood": "> 0",
        "harder/gap": "> 0",
        "randomness/initialisation": "> 0",
        "randomness/both": "> 0",
        "randomness/rate": "> 0",
        "randomness/deterministic": "= 0",
        "sgmcmc/less-diverse": "> 0",
    }


def test_extremes_of_the_runs_at_hand_and_identities_have_no_verdict():
    assert {claim.id: claim.kind for claim in CLAIMS.values() if claim.kind != "inference"} == {
        "trajectories/weights-align": "description",
        "independent/orthogonal": "description",
        "independent/orthogonal-kernels": "description",
        "radial/norm-grows": "description",
        "randomness/deterministic": "description",
        "ensemble/brier": "identity",
    }


def test_claims_are_named_by_their_own_id():
    assert all(claim_id == claim.id for claim_id, claim in CLAIMS.items())


def test_every_claim_says_what_is_measured_and_belongs_to_a_finding():
    for claim in CLAIMS.values():
        assert claim.measure
        assert "{" not in claim.sentence
    pages = [FINDINGS[claim.finding].notebook for claim in CLAIMS.values()]
    assert pages == sorted(pages)
