"""A reproduction of "Deep Ensembles: A Loss Landscape Perspective" (Fort, Hu and Lakshminarayanan, arXiv 1912.02757).

The package works on two arrays: `weights (N, P)`, N networks of P parameters each, and `probs (N, n, K)`, their
predictions for n images and K classes; `predict(model, weights, images)` turns weights into probs. No folder imports
from a later one:

    presets.py   training protocols of the networks, and presets for the size of a reproduction
    config.py    experiments, the members of an ensemble and their content keys
    run          files, the run store, engines, progress, provenance
    data         datasets by name or path, readers for file formats, corruptions, shift
    models       networks by name, weights as vectors, predict
    metrics      scores, similarity, diversity, intervals
    training     the trainer, learning-rate schedules, the SG-MCMC sampler, ensembles
    subspaces    samples around a run
    landscape    planes, paths and maps of weight space
    findings     the claims of the paper by finding, and how a claim is judged
    plots        figures by finding
    notebook     everything a notebook needs besides its science
    sweep        notebooks over a grid of parameters
"""

from importlib import import_module

#: Public names and their modules, which are imported when a name is first used.
_NAMES = {
    "Experiment": "lib.config",
    "load_dataset": "lib.data.datasets",
    "build_model": "lib.models.networks",
    "predict": "lib.models.predict",
    "train_ensemble": "lib.training.ensemble",
}

__all__ = [*_NAMES, "metrics"]


def __getattr__(name: str) -> object:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'lib' has no attribute {name!r}")
