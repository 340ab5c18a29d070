"""Sphinx extension: pages without scripts that this book has no use for, and without a role that is wrong."""


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
    """Register with Sphinx, after the extensions that add scripts to a page."""
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", plain_citations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
