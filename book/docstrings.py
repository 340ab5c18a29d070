"""Sphinx extension: docstrings here are plain text with code in single backticks, so that `|x|` is no substitution."""


def escape_bars(app, what, name, obj, options, lines):
    """Escape `|` outside of code, in place."""
    for index, line in enumerate(lines):
        parts = line.split("`")
        lines[index] = "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(parts))


def setup(app):
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", escape_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
