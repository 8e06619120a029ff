"""Waiting in the event loop: for a descriptor that can be read, and before something is tried again."""

from __future__ import annotations

import asyncio
import math
import random
from time import monotonic

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


class Backoff:
    """The waits between tries: they double, and each is made shorter by chance.

    By chance, so that a hundred agents do not all come back to a server in the same moment.
    """

    def __init__(self, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s
        self._until = -math.inf

    def failed(self) -> float:
        """A try failed: how many seconds `wait` waits from now on."""
        seconds = self._next_s * (0.5 + 0.5 * random.random())  # noqa: S311  nothing secret
        self._next_s = min(2 * self._next_s, self._longest_s)
        self._until = monotonic() + seconds
        return seconds

    def worked(self) -> None:
        """What was tried works again."""
        self._next_s, self._until = self._first_s, -math.inf

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
