"""The states of assets on their way to the broker: newest first in mind, never a queue without bound."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_ad.runtime.mqtt.link import Link

MOST_OPEN = 100
"""Publications that are not written to the socket yet."""
MOST_WAITING = 1000
"""Further ones, where every one counts; then the oldest are dropped."""


class States:
    """Publishes retained states with QoS 0: a lost one is followed by the next.

    While there is no connection only the newest of every topic is kept. A new connection gets them all, since
    the broker may have forgotten what it retained.
    """

    def __init__(self, *, keeps_all: bool, dropped: Callable[[int], None]) -> None:
        """`keeps_all`: to publish every state, not only the newest; `dropped` hears of those it cannot."""
        self._keeps_all, self._dropped = keeps_all, dropped
        self._link: Link | None = None
        self._newest: dict[str, str] = {}
        self._waiting: dict[object, tuple[str, str]] = {}
        """By topic, or in a row where every state is published."""
        self._open: set[int] = set()
        self._row = itertools.count()

    def put(self, topic: str, payload: str) -> None:
        """The newest state of a topic."""
        self._newest[topic] = payload
        if self._link is None:
            return
        self._waiting[next(self._row) if self._keeps_all else topic] = topic, payload
        if self._keeps_all and len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self._dropped(1)

    def send(self) -> None:
        """Publish what waits, as far as the socket takes it."""
        while self._link is not None and self._waiting and len(self._open) < MOST_OPEN:
            key, (topic, payload) = next(iter(self._waiting.items()))
            number = self._link.send(topic, payload, qos=0, retain=True)
            if number is None:  # the connection has ended, as `down` is about to tell
                return
            del self._waiting[key]
            self._open.add(number)

    def up(self, link: Link) -> None:
        """There is a connection."""
        self._link = link
        self._waiting = {topic: (topic, payload) for topic, payload in self._newest.items()}
        self.send()

    def down(self) -> None:
        """It has ended."""
        self._link = None
        self._waiting.clear()
        self._open.clear()

    def published(self, number: int) -> None:
        """A publication was written to the socket, perhaps one of somebody else."""
        self._open.discard(number)
        self.send()
