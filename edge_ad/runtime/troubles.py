"""What goes wrong while a service runs: counted, and told without flooding the log."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Protocol

QUIET_S = 60.0
"""After a line about a kind of trouble, further ones of the kind are only counted for so long."""
TURNS = 3
"""How often in that time the end of a trouble is told at a place."""
MOST_KINDS = 10_000
"""Pairs of place and kind that are told apart; further ones are counted together."""
_OTHER = ("other", "other")


class Note(Protocol):
    """How a part of the service reports trouble: `note(kind, text)`."""

    def __call__(self, kind: str, text: str, n: int = 1) -> None:
        """Count `n` troubles of a kind; `text` tells the person at the log what, and what happens next."""
        ...


class Troubles:
    """Counts troubles by place and kind, and says the first of each at once, then one line a minute.

    May be called from any thread.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        """`say` writes a line to the log."""
        self._say = say
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        """When each was last told, and the count by then."""
        self._overs: dict[str, list[float]] = {}
        """When the end of a trouble was told, by place."""

    def note(self, where: str, kind: str, text: str, n: int = 1) -> None:
        """Count `n` troubles of `kind` (a short name with hyphens) at `where` (an asset, a sink, …)."""
        with self._lock:
            key = (where, kind) if (where, kind) in self._counts or len(self._counts) < MOST_KINDS else _OTHER
            self._counts[key] += n
            now, count = self._clock(), self._counts[key]
            last, told = self._told.get(key, (None, 0))
            if last is not None and now - last < QUIET_S:
                return
            self._told[key] = now, count
        more = count - told - n
        self._say(f"{where}: {text}" + (f" ({more} more of the kind before it)" if more > 0 else ""))

    def at(self, where: str) -> Note:
        """`note` for one place."""

        def note(kind: str, text: str, n: int = 1) -> None:
            self.note(where, kind, text, n)

        return note

    def count(self, where: str, kind: str) -> None:
        """Count a trouble that is told otherwise."""
        with self._lock:
            self._counts[where, kind] += 1

    def over(self, where: str, text: str) -> None:
        """Tell that a trouble is over; the next one at the place is then told at once.

        Of a connection that comes and goes all the time, only some turns a minute are told.
        """
        with self._lock:
            now = self._clock()
            recent = [told for told in self._overs.get(where, ()) if now - told < QUIET_S]
            if len(recent) >= TURNS:
                return
            self._overs[where] = [*recent, now]
            for key, (_, told_count) in self._told.items():
                if key[0] == where:
                    self._told[key] = -math.inf, told_count
        self._say(f"{where}: {text}")

    def say(self, where: str, text: str) -> None:
        """Tell something that is no trouble, such as what became of a request."""
        self._say(f"{where}: {text}")

    def counts(self) -> dict[tuple[str, str], int]:
        """How often so far, by place and kind."""
        with self._lock:
            return dict(self._counts)
