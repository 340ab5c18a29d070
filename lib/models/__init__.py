"""Networks by name, their layers, stacked members, weights as vectors, predict."""
