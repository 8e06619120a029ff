"""What a check found: one line for people, and the commands that help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    """Which: a short name that stays the same from version to version."""
    level: Level
    """`fail`: a service cannot be trusted, or not run, with this. `warn`: it can, but somebody should look.
    `skip`: it could not be looked at, or does not matter here."""
    text: str
    """What was found, and what it means."""
    fix: tuple[str, ...] = ()
    """Shell commands in the order to give them; what no command can do is in `text`."""


def ok(check: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(check, "ok", text)


def skip(check: str, text: str, *fix: str) -> Finding:
    """Not looked at, or of no account here; `fix` would change that."""
    return Finding(check, "skip", text, fix)


def warn(check: str, text: str, *fix: str) -> Finding:
    """Somebody should look."""
    return Finding(check, "warn", text, fix)


def fail(check: str, text: str, *fix: str) -> Finding:
    """In the way of a service that can be trusted."""
    return Finding(check, "fail", text, fix)
