"""Sphinx extension that corrects how docstrings are read, and parts of the theme's pages.

`|x|` in a docstring is not a substitution, and a colon in a constant's comment ends no type, as napoleon assumes.
"""

COMMENTS: dict[str, list[str]] = {}


def keep_comment(app, what, name, obj, options, lines):
    """Save the comment of a constant or property before napoleon sees it."""
    if what in ("attribute", "data", "property"):
        COMMENTS[name] = list(lines)


def escape_bars(app, what, name, obj, options, lines):
    """Restore that comment, and escape `|` outside of code, in place."""
    lines[:] = COMMENTS.pop(name, lines)
    for index, line in enumerate(lines):
        parts = line.split("`")
        lines[index] = "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(parts))


def without_thebe(app, pagename, templatename, context, doctree):
    """Drop the scripts of thebe, which runs cells on another host: they are loaded twice and fail on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}"
    ]


def plain_citations(app, pagename, templatename, context, doctree):
    """Remove the list role from the references: their items have roles that a list may not contain."""
    if "body" in context:
        context["body"] = context["body"].replace('role="list" class="citation-list"', 'class="citation-list"')


def setup(app):
    """Register with Sphinx: before and after napoleon, whose priority is 500, and after scripts are added to a page."""
    app.connect("autodoc-process-docstring", keep_comment, priority=400)
    app.connect("autodoc-process-docstring", escape_bars, priority=600)
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", plain_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
