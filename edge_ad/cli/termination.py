"""SIGTERM ends a command in good order, also where a library has swallowed the exception that tells of it."""

from __future__ import annotations

from types import FrameType
from typing import NoReturn

from edge_ad.errors import Terminated

_has_come = False


def on_sigterm(signum: int, frame: FrameType | None) -> NoReturn:
    """Handle the signal. Raises Terminated."""
    global _has_come  # noqa: PLW0603  a signal is the process's
    _has_come = True
    raise Terminated


def end_if_told() -> None:
    """Raise Terminated where the signal has come already.

    To be called before a wait that may last for ever. An import that fails inside a C extension is forgiven
    there, whatever made it fail: a signal that comes while libraries are loaded may be heard by nobody else.
    """
    if _has_come:
        raise Terminated
