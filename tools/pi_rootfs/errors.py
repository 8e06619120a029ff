"""The one error of this package."""

from __future__ import annotations


class RootError(Exception):
    """A root could not be built, opened or used; the message says what to do."""
