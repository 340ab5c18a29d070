"""Sphinx extension: what its readings of docstrings, and the theme's pages, have wrong for this book.

`|x|` in a docstring is no substitution, and a colon in the comment of a constant ends no type, as napoleon has it.
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


def without_thebe(app, pagename, templatename, context, doctree):
    """Drop the scripts of thebe, which runs cells on another host: loaded twice, they fail on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}"
    ]


def plain_citations(app, pagename, templatename, context, doctree):
    """Take the role of a list from the references: what is in it has roles that no list may hold."""
    if "body" in context:
        context["body"] = context["body"].replace('role="list" class="citation-list"', 'class="citation-list"')


def setup(app):
    """Register with Sphinx: before and after napoleon, whose priority is 500, and after what adds scripts to a page."""
    app.connect("autodoc-process-docstring", keep_comment, priority=400)
    app.connect("autodoc-process-docstring", escape_bars, priority=600)
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", plain_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
