"""Datasets by name or path, readers of formats, streaming, corruptions, shift."""
