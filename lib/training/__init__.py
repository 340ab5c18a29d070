"""The trainer, schedules, the sampler of chains, ensembles."""
