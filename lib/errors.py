"""Errors that the user can fix, with a one-line message that says how."""

import difflib
from collections.abc import Iterable
from typing import Any


class OneLineError(Exception):
    """An error that the user can fix; its message is one line, and notebooks show only that line."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ConfigError(OneLineError, ValueError):
    """A setting that is not allowed; the message names it and what is allowed."""


def unknown(kind: str, name: Any, allowed: Iterable[str]) -> str:
    """One-line message for an unknown name, with the closest allowed name, if any, and all allowed names."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(name).lower(), allowed, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r};{hint} allowed: {', '.join(allowed)}"
