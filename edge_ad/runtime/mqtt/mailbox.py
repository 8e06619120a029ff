"""Calls from another thread to the event loop's, in order, with one wake-up per burst."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Takes calls in any thread and makes them in the event loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_waking = False

    def post(self, call: Callable[..., object], *args: Any) -> None:
        """Make `call` soon, after all that were posted before it. Lost where the loop has ended."""
        with self._lock:
            self._calls.append((call, args))
            if self._is_waking:
                return
            self._is_waking = True
        try:
            self._loop.call_soon_threadsafe(self._empty)
        except RuntimeError:  # it is closed: nobody is left to tell
            with self._lock:
                self._calls.clear()

    def _empty(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, deque()
            self._is_waking = False
        for call, args in calls:
            self._loop.call_soon(call, *args)  # each by itself: one that fails does not take others along
