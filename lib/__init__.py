"""A reproduction of "Deep Ensembles: A Loss Landscape Perspective" (Fort, Hu and Lakshminarayanan, arXiv 1912.02757).

Two arrays and a bridge: `weights (N, P)`, N networks of P numbers each; `probs (N, n, K)`, what they predict on n
images of K classes; and `predict(model, weights, images)` from the one to the other. No folder imports from a later
one:

    presets.py   how each network is trained, and the sizes of the project
    config.py    experiments, the members of an ensemble and their content keys
    run          files, the run store, engines, progress, provenance
    data         datasets by name or path, readers of formats, corruptions, shift
    models       networks by name, weights as vectors, predict
    metrics      scores, similarity, diversity, intervals
    training     the trainer, schedules, the sampler of chains, ensembles
    subspaces    samples around a run
    landscape    planes, paths and maps of weight space
    findings     the claims of the paper by finding, and how a claim is judged
    plots        pictures by finding
    notebook     what a page needs around its science
    sweep        notebooks over a grid of parameters
"""

from importlib import import_module

#: Names that users import, and the modules that have them, which are imported when a name is asked for.
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
