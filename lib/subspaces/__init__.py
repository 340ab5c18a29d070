"""Samples around a run: the subspaces, and what is drawn from them."""
