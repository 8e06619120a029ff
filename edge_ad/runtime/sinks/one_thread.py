"""What a sink does that would keep the event loop waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from edge_ad.runtime.sinks.sink import DeliveryError

T = TypeVar("T")


class OneThread:
    """Does one thing at a time beside the event loop."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._work: asyncio.Future[Any] | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, which goes on where this is cancelled.

        Raises what it raises, DeliveryError while earlier work has not come to an end.
        """
        if self._work is not None and not self._work.done():
            raise DeliveryError("the last attempt has not come to an end")
        self._work = result = asyncio.get_running_loop().run_in_executor(self._pool, work)
        result.add_done_callback(_look_at)
        return await asyncio.shield(result)

    async def close(self, last: Callable[[], None], within_s: float) -> None:
        """Do something last, and end the thread, if it has come that far by then."""
        end = asyncio.get_running_loop().run_in_executor(self._pool, last)
        await asyncio.wait({end}, timeout=within_s)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_at(result: asyncio.Future[T]) -> None:
    """What went wrong after nobody waited any more is no news."""
    if not result.cancelled():
        result.exception()
