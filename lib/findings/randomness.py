"""Figure S4: diversity comes from the first weights more than from the order of the data."""

from lib.findings.claim import Finding

#: Many runs, and so, at `quick`, short ones.
FINDING = Finding(
    "10_randomness",
    settings={
        "smoke": {"architectures": ["small_cnn"]},
        "quick": {"architectures": ["small_cnn"], "num_members": 3, "epochs": 2},
        "full": {"architectures": ["small_cnn"], "num_members": 5},
        "paper": {"architectures": ["small_cnn"], "num_members": 5},
    },
)
