"""Waiting in the event loop: for a descriptor that can be read, and before something is tried again."""

from __future__ import annotations

import asyncio
import math
from time import monotonic

from edge_ad.runtime.backoff import LONGEST_S, Backoff


class Pause:
    """Keeps tries apart, each time longer; see `Backoff`."""

    def __init__(self, first_s: float = 1.0, longest_s: float = LONGEST_S) -> None:
        self._backoff = Backoff(first_s, longest_s)
        self._until = -math.inf

    def failed(self) -> float:
        """A try failed: how many seconds `wait` waits from now on."""
        seconds = self._backoff.next()
        self._until = monotonic() + seconds
        return seconds

    def worked(self) -> None:
        """What was tried works again."""
        self._backoff.reset()
        self._until = -math.inf

    async def wait(self) -> None:
        """Wait until it is time; if this is cancelled and called again, for the rest of the time only."""
        while (left := self._until - monotonic()) > 0:
            await asyncio.sleep(left)


async def readable(descriptor: int) -> None:
    """Wait until a pipe, socket or terminal has something to read, its end or an error included.

    Raises PermissionError for what one cannot wait for, such as a regular file.
    """
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
