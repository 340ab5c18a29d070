"""How fast the project is, and against what: scripts that print a table and write `results/<name>.json`."""
