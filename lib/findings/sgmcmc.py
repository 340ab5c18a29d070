"""Figure S5: cycles of one SG-MCMC chain are less diverse than independent runs.

At the ends of the R cycles of C chains: `weights (C, R, P)`, `probs (C, R, n, K)`, top `labels (C, R, n)`; `targets
(n,)` are the true labels. Independent runs are different chains after the same number of cycles.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib import metrics
from lib.findings.claim import Criterion, Finding, claim
from lib.metrics.comparison import Pairs
from lib.metrics.intervals import Estimate, interval, mean_over
from lib.metrics.intervals import pairs as all_pairs

#: cSGLD, as in the code of Zhang et al. that the paper's appendix C refers to. SGD without BatchNorm needs a lower
#: learning rate than theirs.
_CHAIN = {
    "architectures": ["small_cnn"],
    "num_members": 4,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "cosine",
    "cycles": 3,
    "noise_epochs": 1,
    "temperature": 1 / 50_000,
}

FINDING = Finding(
    "11_sgmcmc",
    networks="architectures",
    settings={
        "smoke": _CHAIN | {"num_members": 3, "epochs": 6},
        "quick": _CHAIN | {"epochs": 9},
        "full": _CHAIN | {"epochs": 120, "noise_epochs": 4},
        "paper": _CHAIN | {"architectures": ["resnet18"], "epochs": 150, "learning_rate": 0.5, "noise_epochs": 5},
        # Without BatchNorm, SGD needs pixels of unit variance; at a rate of 0.1 one of four chains diverged.
        "reference": _CHAIN
        | {"epochs": 30, "learning_rate": 0.05, "pixel_scaling": "standardize", "sampling": "permutation"},
    },
)


@claim(
    "sgmcmc/less-diverse",
    "cycles of one chain of cyclical SG-MCMC are less diverse than independent runs",
    figure="S5",
    criterion=Criterion(">", 0),
)
def less_diverse(labels: np.ndarray) -> Estimate:
    """Mean disagreement between independent runs minus mean disagreement between cycles of the same chain."""
    chains, cycles, images = labels.shape
    networks = labels.reshape(-1, images)  # chain after chain
    differ = (networks[:, None] != networks).astype(np.float32)  # (C R, C R, n)

    def gap(members: np.ndarray, images: np.ndarray) -> float:
        disagreements = mean_over(differ, images)
        between, within = between_chains(members, cycles), within_chains(members, cycles)
        return float(disagreements[between].mean()) - float(disagreements[within].mean())

    return interval(gap, members=chains, images=images)


def within_chains(chains: np.ndarray, cycles: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of cycles of the same chain, for each of `chains`: indices `(a, b)`, chain after chain."""
    first, second = np.triu_indices(cycles, k=1)
    start = np.asarray(chains)[:, None] * cycles
    return (start + first).ravel(), (start + second).ravel()


def between_chains(chains: np.ndarray, cycles: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of different chains after the same number of cycles, with other initial weights: indices `(a, b)`."""
    first, second = (one[:, None] * cycles + np.arange(cycles) for one in all_pairs(chains))
    return first.ravel(), second.ravel()


#: The two kinds of pairs.
PAIRS = {"cycles of one chain": within_chains, "independent runs": between_chains}


def diversities(labels: Mapping[str, np.ndarray], targets: np.ndarray) -> dict[str, np.ndarray]:
    """Normalised diversity of every pair, averaged over both directions: `(pairs,)` by network and kind of pair."""
    everyone = np.arange(len(targets))
    values = {}
    for network, own in labels.items():
        chains, cycles, _ = own.shape
        matrix = Pairs(own.reshape(-1, len(targets)), targets).diversities(everyone)
        for kind, choose in PAIRS.items():
            values[f"{network}\n{kind}"] = matrix[choose(np.arange(chains), cycles)]
    return values


def pairs(weights: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], targets: np.ndarray) -> pd.DataFrame:
    """Table of the mean and standard deviation over pairs, one row per network and kind of pair."""
    everyone = np.arange(len(targets))
    rows = []
    for network, own in labels.items():
        chains, cycles, _ = own.shape
        compared = Pairs(own.reshape(chains * cycles, -1), targets)
        cosine = metrics.cosine_similarity(weights[network].reshape(chains * cycles, -1))
        matrices = cosine, compared.disagreements(everyone), compared.diversities(everyone)
        for kind, choose in PAIRS.items():
            chosen = choose(np.arange(chains), cycles)
            found = [matrix[chosen] for matrix in matrices]
            rows.append([network, kind, len(chosen[0]), *(f"{one.mean():.3f} ± {one.std():.3f}" for one in found)])
    columns = ["network", "pairs of", "pairs", "cosine", "disagreement", "normalised diversity"]
    return pd.DataFrame(rows, columns=columns)


def ensembles(probs: Mapping[str, np.ndarray], targets: np.ndarray) -> pd.DataFrame:
    """Table of test accuracies of one network, of an ensemble of a chain's cycles, and of one of as many chains."""
    rows = []
    for network, own in probs.items():
        chains, cycles = own.shape[:2]
        size = min(cycles, chains)
        single = metrics.accuracy(own[:, -1], targets).mean()
        of_cycles = metrics.accuracy(own.mean(axis=1), targets).mean()
        of_runs = metrics.accuracy(own[:size, -1].mean(axis=0), targets)
        rows.append([network, f"{single:.4f}", f"{of_cycles:.4f}", size, f"{of_runs:.4f}"])
    columns = ["network", "one network", f"{cycles} cycles of a chain", "independent runs", "ensemble of these"]
    return pd.DataFrame(rows, columns=columns)
