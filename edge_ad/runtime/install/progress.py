"""What is said while the board is changed: a line of JSON for every thing that happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edge_ad.errors import EdgeAdError

State = Literal["begin", "note", "done", "kept", "failed", "taken-back", "end"]


class InstallError(EdgeAdError):
    """The board cannot be made what was ordered."""


class TakenBackError(EdgeAdError):
    """What was ordered did not work in service; the board is as it was before."""


@dataclass(frozen=True)
class Event:
    """One line."""

    step: str
    """Empty for what concerns the whole."""
    state: State
    text: str = ""
    exit_code: int = 0
    """With `end`: 0, or what the workstation's command is to end with."""


Say = Callable[[Event], None]


def to_line(event: Event) -> str:
    """As JSON."""
    return json.dumps(event.__dict__)


def from_line(line: str) -> Event | None:
    """Of JSON; None for a line that is none, such as what a login shell prints."""
    try:
        fields: Any = json.loads(line)
        event = Event(str(fields["step"]), fields["state"], str(fields["text"]), int(fields["exit_code"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return event if event.state in get_args(State) and 0 <= event.exit_code <= 255 else None
