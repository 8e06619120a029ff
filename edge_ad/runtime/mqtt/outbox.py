"""Publishing with QoS 1: in order, and as much at a time as the broker takes."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edge_ad.runtime.mqtt.link import Link

MOST_OPEN = 20
"""Publications that are not acknowledged, where the broker does not take fewer."""
_REFUSED = 128
"""Reason codes from here on are failures."""


class Answer(NamedTuple):
    """What the broker said to a publication."""

    code: int
    reason: str

    @property
    def is_refusal(self) -> bool:
        """Whether the broker did not take it. That nobody subscribes to the topic is no refusal."""
        return self.code >= _REFUSED


class _Publication(NamedTuple):
    topic: str
    payload: str
    retain: bool
    answer: asyncio.Future[Answer | None]


class Outbox:
    """Keeps nothing beyond a connection: what is not acknowledged by then is answered with None."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._window = MOST_OPEN
        self._waiting: deque[_Publication] = deque()
        self._open: dict[int, asyncio.Future[Answer | None]] = {}

    def send(self, topic: str, payload: str, *, retain: bool) -> asyncio.Future[Answer | None]:
        """Publish; the answer is None where the connection ends before the broker has answered."""
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if self._link is None:
            answer.set_result(None)
        else:
            self._waiting.append(_Publication(topic, payload, retain, answer))
            self._send_more()
        return answer

    def up(self, link: Link, window: int) -> None:
        """There is a connection, which takes so many at a time."""
        self._link, self._window = link, min(window, MOST_OPEN)

    def down(self) -> None:
        """It has ended."""
        answers = [*self._open.values(), *(publication.answer for publication in self._waiting)]
        self._link = None
        self._open.clear()
        self._waiting.clear()
        for answer in answers:
            if not answer.done():
                answer.set_result(None)

    def published(self, number: int, code: int, reason: str) -> None:
        """The broker answered a publication, perhaps one of somebody else."""
        answer = self._open.pop(number, None)
        if answer is not None and not answer.done():
            answer.set_result(Answer(code, reason))
        self._send_more()

    def _send_more(self) -> None:
        while self._link is not None and self._waiting and len(self._open) < self._window:
            publication = self._waiting[0]
            topic, payload, retain, answer = publication
            if not answer.done():  # else nobody waits for it any more
                number = self._link.send(topic, payload, qos=1, retain=retain)
                if number is None:  # the connection has ended, as `down` is about to tell
                    return
                self._open[number] = answer
            self._waiting.popleft()
