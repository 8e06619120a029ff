"""Lines that came and are not read yet: bounded, between the connection's thread and the event loop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from edge_ad.runtime.sources.source import Line

if TYPE_CHECKING:
    from edge_ad.runtime.mqtt.deliveries import Delivery

MOST_LINES = 4096
MOST_CHARACTERS = 8 << 20
"""Of all lines together. What exceeds a limit is at most one message."""


class Outcome(NamedTuple):
    """What became of a message that was to be put into the queue."""

    n_forgotten: int
    """Lines that were given up for good, to make room or for want of it."""
    is_refused: bool
    """Whether it is to be left with the broker."""


class _Entry(NamedTuple):
    line: Line
    delivery: Delivery | None
    """Of its message, which the broker has as well; None for one that exists nowhere else."""
    is_last: bool
    """Of its message."""


class Backlog:
    """A queue that makes its writer wait when it is full: `patience_s` in all, until it is half empty again.

    So a reader that pauses slows the broker down and loses nothing, and one that is too slow for good does
    not bring the connection down. After that a message with a delivery is refused; for one without, the
    oldest lines are forgotten that have none either.

    With a delivery the writer waits until the queue is half empty, and so as long as a slow reader needs. For
    one without it must not: nothing limits how much the broker has sent already, and signs of life lie behind
    all of that.
    """

    def __init__(self, patience_s: float, most_lines: int = MOST_LINES) -> None:
        self._patience_s = self._left_s = patience_s
        self._most_lines = most_lines
        self._changed = threading.Condition()
        self._entries: deque[_Entry] = deque()
        self._n_characters = 0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_half_empty(self) -> bool:
        """Whether there is much room again."""
        return len(self._entries) <= self._most_lines // 2 and self._n_characters <= MOST_CHARACTERS // 2

    def put(self, lines: Sequence[Line], delivery: Delivery | None) -> Outcome:
        """Add the lines of a message, in the connection's thread."""
        with self._changed:
            if self.is_half_empty:
                self._left_s = self._patience_s
            self._wait_for_room(much=delivery is not None)
            if delivery is not None:
                if self._is_closed or self._is_full():
                    return Outcome(0, True)
                n_forgotten = 0
            else:
                n_forgotten = self._forget()
                if self._is_full():
                    return Outcome(n_forgotten + len(lines), False)
            for place, line in enumerate(lines, 1):
                self._entries.append(_Entry(line, delivery, place == len(lines)))
                self._n_characters += len(line.text)
            return Outcome(n_forgotten, False)

    def take(self, most: int) -> tuple[list[Line], list[Delivery]]:
        """The oldest lines, and the deliveries that end with them."""
        lines, deliveries = [], []
        with self._changed:
            for _ in range(min(most, len(self._entries))):
                line, delivery, is_last = self._pop()
                lines.append(line)
                if delivery is not None and is_last:
                    deliveries.append(delivery)
            self._changed.notify()
        return lines, deliveries

    def release(self) -> list[Delivery]:
        """The deliveries of all that is in the queue; the lines stay, without them."""
        with self._changed:
            released = [e.delivery for e in self._entries if e.delivery is not None and e.is_last]
            self._entries = deque(entry._replace(delivery=None) for entry in self._entries)
        return released

    def close(self) -> None:
        """Make nobody wait any more, and refuse what comes."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _wait_for_room(self, *, much: bool) -> None:
        if not self._is_full():
            return
        while not self._is_closed and self._left_s > 0:
            if self.is_half_empty if much else not self._is_full():
                return
            before = monotonic()
            self._changed.wait(self._left_s)
            self._left_s -= monotonic() - before

    def _forget(self) -> int:
        """Make room as far as that can be done; how many lines it took."""
        n = 0
        while self._is_full() and self._entries[0].delivery is None:
            self._pop()
            n += 1
        return n

    def _pop(self) -> _Entry:
        entry = self._entries.popleft()
        self._n_characters -= len(entry.line.text)
        return entry

    def _is_full(self) -> bool:
        return len(self._entries) >= self._most_lines or self._n_characters >= MOST_CHARACTERS
