"""Infrastructure of a notebook: parameters, settings, verdicts, provenance."""

from lib.notebook.page import open_page, open_records
from lib.notebook.tables import show

__all__ = ["open_page", "open_records", "show"]
