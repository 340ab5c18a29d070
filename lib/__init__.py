"""Deep Ensembles: A Loss Landscape Perspective, reproduced: models, trainers, metrics and claims."""
