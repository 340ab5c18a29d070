"""Sphinx extension: what stands in the head of every page, without the scripts that this book has no use for."""


def without_thebe(app, pagename, templatename, context, doctree):
    """Drop the scripts of thebe, which runs cells on another host: loaded twice, they fail on every page."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', {}).get('body', '')}"
    ]


def setup(app):
    """Register with Sphinx, after the extensions that add scripts to a page."""
    app.connect("html-page-context", without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
