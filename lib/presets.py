"""Training protocols of the networks, and presets for the size of a reproduction."""

from typing import Any

_CNN = {
    "epochs": 40,
    "batch_size": 128,
    "optimizer": "adam",
    "learning_rate": 1.6e-3,
    "schedule": "halving",
    "dropout": 0.1,
    "weight_decay": 0.0,
    "augmentation": "none",
    "pixel_scaling": "raw",
    "sampling": "replacement",
}
_KERAS_RESNET = {
    "epochs": 200,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "keras-resnet",
    "dropout": 0.0,
    # Keras adds 1e-4 times the sum of squares to the loss, whose gradient is 2e-4 times the weight.
    "weight_decay": 2e-4,
    "augmentation": "shift-flip",
    "pixel_scaling": "mean-image",
    "sampling": "permutation",
}
_SGD_RESNET = _KERAS_RESNET | {"optimizer": "momentum", "weight_decay": 5e-4, "pixel_scaling": "standardize"}

#: How each network is trained in the paper, its authors' notebook, and the Keras and cSG-MCMC code that it refers to.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "small_cnn": _CNN,
    "medium_cnn": _CNN,
    "resnet8_v1": _KERAS_RESNET,
    "resnet20_v1": _KERAS_RESNET,
    # One cycle of the paper's cSG-MCMC, without its noise and with momentum: an ordinary run of the same length.
    "resnet18": _SGD_RESNET | {"epochs": 50, "batch_size": 64, "learning_rate": 0.05, "schedule": "cosine"},
    "resnet50_v2": _SGD_RESNET | {"epochs": 160, "batch_size": 256, "learning_rate": 0.15, "schedule": "step"},
}

_OURS = {"pixel_scaling": "standardize", "sampling": "permutation"}

#: Sizes of a reproduction. `architectures`: networks on pages that compare networks; `sampled_architectures`: networks
#: on pages that sample around them, which costs more. `num_images`: number of test images on which pages evaluate many
#: networks, by default all; `statistics_images`: number of training images, the first ones, from which all BatchNorm
#: statistics are computed. `samples`: how pages sample around a run, for `modes` (page 3), the `plane` of diversity and
#: accuracy (4 and 9) or an `ensemble` (5, 7 and 8): samples per method, and fields of `lib.subspaces.samples.Sampler`
#: that are not at their defaults. `by_network`: settings of single networks. All other settings (and `epochs` of an
#: architecture that is not named) are as in `PROTOCOLS`.
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": _OURS
    | {
        "purpose": "tests, in seconds",
        "dataset": "digits",
        "architectures": ["small_cnn", "resnet8_v1"],
        "sampled_architectures": ["small_cnn", "resnet8_v1"],
        "num_members": 3,
        "samples": {"modes": {"count": 4}, "plane": {"count": 6}, "ensemble": {"count": 4}},
        "statistics_images": 200,
        "epochs": dict.fromkeys(PROTOCOLS, 4),
    },
    "quick": _OURS
    | {
        "purpose": "the default: minutes on two cores",
        "dataset": "fashion_mnist_mini",
        "architectures": ["small_cnn", "resnet8_v1"],
        "sampled_architectures": ["small_cnn"],
        "num_members": 6,
        "samples": {"modes": {"count": 5}, "plane": {"count": 12}, "ensemble": {"count": 5}},
        "statistics_images": 2000,
        "epochs": dict.fromkeys(PROTOCOLS, 4) | {"small_cnn": 10, "medium_cnn": 10, "resnet8_v1": 2},
        "num_images": 2000,
    },
    "full": _OURS
    | {
        "purpose": "all of Fashion-MNIST with the paper's epochs: days on two cores, or a GPU",
        "dataset": "fashion_mnist",
        "architectures": ["small_cnn", "resnet20_v1"],
        "sampled_architectures": ["small_cnn", "resnet20_v1"],
        "num_members": 10,
        "samples": {"modes": {"count": 10}, "plane": {"count": 50}, "ensemble": {"count": 10}},
        "statistics_images": 10_000,
        "epochs": {},
    },
    "paper": {
        "purpose": "CIFAR-10 and the paper's protocol to the letter: for a GPU",
        "dataset": "cifar10",
        "architectures": ["small_cnn", "resnet20_v1"],
        "sampled_architectures": ["small_cnn", "medium_cnn", "resnet20_v1"],
        "num_members": 10,
        # Figure 4 has rank 4 and the notebook's number of samples; its scales are not stated. The plane follows the
        # notebook and figure 6, whose ranks are 4; figure 8 has ten samples, with the notebook's scales and rank.
        "samples": {
            "modes": {"count": 30, "rank": 4, "standardized": False},
            "plane": {
                "count": 50,
                "rank": 4,
                "standardized": False,
                "scales": {"random": 70.0, "dropout": 0.1, "diagonal-gaussian": 10.0, "low-rank-gaussian": 6.0},
            },
            "ensemble": {"count": 10, "rank": 5, "standardized": False, "scales": {"random": 10.0}},
        },
        "statistics_images": 10_000,
        "epochs": {},
        "validation_size": 500,
    },
}
PRESETS["reference"] = PRESETS["paper"] | {
    "purpose": "the reference run of the book: the paper's protocol as far as two cores allow, in days",
    "dataset": "cifar10_holdout",
    "statistics_images": 2000,
    "epochs": {"resnet20_v1": 20},
    "by_network": {"medium_cnn": {"num_members": 5}, "resnet20_v1": {"num_members": 4, "batch_size": 128}},
}
