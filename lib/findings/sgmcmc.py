"""Figure S5: cycles of one chain of SG-MCMC are less diverse than independent runs."""

from lib.findings.claim import Finding

#: cSGLD, as in the code of Zhang and colleagues that the paper's appendix C refers to. SGD without BatchNorm takes a
#: lower rate than theirs.
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
        "quick": _CHAIN | {"num_members": 3, "epochs": 9},
        "full": _CHAIN | {"epochs": 120, "noise_epochs": 4},
        "paper": _CHAIN | {"architectures": ["resnet18"], "epochs": 150, "learning_rate": 0.5, "noise_epochs": 5},
    },
)
