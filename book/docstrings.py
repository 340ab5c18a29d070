"""Sphinx extension: docstrings of this project as they are meant, where reStructuredText would read them otherwise.

`|x|` is no substitution, and a colon in the comment of a constant does not end a type (napoleon's reading).
"""

COMMENTS: dict[str, list[str]] = {}


def keep_comment(app, what, name, obj, options, lines):
    """Remember what a constant or property says before napoleon sees it."""
    if what in ("attribute", "data", "property"):
        COMMENTS[name] = list(lines)


def escape_bars(app, what, name, obj, options, lines):
    """Put that back, and escape `|` outside of code, in place."""
    lines[:] = COMMENTS.pop(name, lines)
    for index, line in enumerate(lines):
        parts = line.split("`")
        lines[index] = "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(parts))


def setup(app):
    """Register with Sphinx, before and after napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", keep_comment, priority=400)
    app.connect("autodoc-process-docstring", escape_bars, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
