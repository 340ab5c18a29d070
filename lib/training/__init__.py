"""The trainer, learning-rate schedules, the SG-MCMC sampler, ensembles."""
