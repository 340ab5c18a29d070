"""A notebook over a grid of parameters: plan and execution."""
