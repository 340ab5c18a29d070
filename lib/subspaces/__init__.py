"""Subspaces around the end of a training run, and samples drawn from them."""
