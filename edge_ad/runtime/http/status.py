"""The agent's figures for the threads that serve them: asked for in its event loop, kept for a moment."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from edge_ad.bundle.codec import encode
from edge_ad.runtime.http.message import JSON, Response
from edge_ad.runtime.http.view import AgentView
from edge_ad.runtime.snapshot import AgentSnapshot, History

T = TypeVar("T")

KEPT_S = 0.5
"""How long figures are shown again before new ones are made."""
KEPT_COSTS = 10
"""And at least so many times as long as they took to make: viewers never cost more than that share."""
KEPT_AT_MOST_S = 5.0
ANSWER_S = 2.0
"""How long the agent's event loop may take."""
_MOST_HISTORIES = 4
"""Assets whose histories are kept; a technician looks at one."""


class UnavailableError(Exception):
    """The agent does not answer in time, or no more."""


class Kept(Generic[T]):
    """A value that is made when it is asked for, and then kept for a moment; so is a failure to make it.

    Threads that ask while it is being made wait for that one.
    """

    def __init__(self, make: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        """`make` may raise UnavailableError."""
        self._make = make
        self._clock = clock
        self._lock = threading.Lock()
        self._until = -math.inf
        self._made: tuple[T] | None = None
        """None where that failed."""

    def get(self) -> T:
        """The value, at most a moment old. Raises UnavailableError."""
        with self._lock:
            start = self._clock()
            if start >= self._until:
                try:
                    self._made = (self._make(),)
                except UnavailableError:
                    self._made = None
                now = self._clock()
                costs_s = KEPT_COSTS * (now - start) if self._made else 0.0
                self._until = now + min(max(KEPT_S, costs_s), KEPT_AT_MOST_S)
            if self._made is None:
                raise UnavailableError
            return self._made[0]


class Status:
    """What the agent shows, for any thread but that of its event loop."""

    def __init__(self, view: AgentView, loop: asyncio.AbstractEventLoop) -> None:
        self._view = view
        self._loop = loop
        self._snapshot = Kept(lambda: self._ask(view.snapshot))
        self._status = Kept(lambda: _both_ways(self._snapshot.get()))
        self._lock = threading.Lock()
        self._histories: dict[str, Kept[History | None]] = {}

    def snapshot(self) -> AgentSnapshot:
        """Everything. Raises UnavailableError, as do the others."""
        return self._snapshot.get()

    def status(self, *, packed: bool) -> Response:
        """Everything as JSON."""
        plain, gzipped = self._status.get()
        return gzipped if packed else plain

    def history(self, asset: str) -> History | None:
        """The newest decisions of an asset; None where there is no such asset."""
        if all(asset != known.name for known in self.snapshot().assets):
            return None
        with self._lock:
            kept = self._histories.pop(asset, None)
            if kept is None:
                kept = Kept(lambda: self._ask(lambda: self._view.history(asset)))
            self._histories[asset] = kept
            if len(self._histories) > _MOST_HISTORIES:
                del self._histories[next(iter(self._histories))]
        return kept.get()

    def _ask(self, question: Callable[[], T]) -> T:
        answer: Future[T] = Future()

        def put() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # nobody waits any more
            try:
                answer.set_result(question())
            except Exception as error:  # noqa: BLE001  raised where it was asked
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(put)
        except RuntimeError as error:  # the loop is closed
            raise UnavailableError from error
        try:
            return answer.result(ANSWER_S)
        except TimeoutError as error:
            answer.cancel()
            raise UnavailableError from error


def tail(history: History, since: float | None, points: int | None) -> dict[str, Any]:
    """A history as JSON values, or its end.

    With `since`, one of its times, only what is newer. Where it is none of them, as after the clock was set,
    everything, and `since` is null in the result. Of that at most the newest `points`.
    """
    first = 0
    if since is not None:
        at = next((i for i in range(len(history.times) - 1, -1, -1) if history.times[i] == since), None)
        first, since = (0, None) if at is None else (at + 1, since)
    if points is not None:
        first = max(first, len(history.times) - points)
    columns: dict[str, Any] = encode(history)
    return {"since": since, **{name: column[first:] for name, column in columns.items()}}


def to_json(value: object) -> bytes:
    """JSON of values, dataclasses among them; what is no finite number is null."""
    plain = encode(value)
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        return json.dumps(_finite(plain), allow_nan=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _both_ways(snapshot: AgentSnapshot) -> tuple[Response, Response]:
    response = Response(200, to_json(snapshot), JSON)
    return response, response.packed()
