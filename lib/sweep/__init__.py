"""Notebooks over a grid of parameters: planning and execution."""
