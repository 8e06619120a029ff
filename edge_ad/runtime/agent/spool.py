"""The spool as the event loop uses it: undelivered events, in a thread of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

from edge_ad.runtime.agent.undelivered import Undelivered
from edge_ad.runtime.events import Event
from edge_ad.runtime.troubles import Note

T = TypeVar("T")


class Spool:
    """See `Undelivered` for what it keeps and how.

    Calls are carried out one after another, in their order, even where the task that made one was cancelled.
    """

    def __init__(
        self,
        path: Path,
        sinks: Sequence[str],
        *,
        note: Note,
        say: Callable[[str], None],
        most_events: int = 100_000,
        most_bytes: int = 256_000_000,
        sinks_of: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Open the file; `sinks` are the names of those that take events.

        `sinks_of` says for an asset which of them are told of it; without, all are. Raises ConfigurationError
        for a file that is none of this edge-ad's, StoreBusyError for one that another process has open,
        OutputError where this account may not write. Of a disk that is full or broken it only notes.
        """
        self._undelivered = Undelivered(
            path,
            sinks,
            note=note,
            say=say,
            most_events=most_events,
            most_bytes=most_bytes,
            sinks_of=sinks_of,
        )
        self._thread = ThreadPoolExecutor(1, "spool")
        self._begun: deque[float] = deque()
        self._arrivals = {sink: asyncio.Event() for sink in sinks}

    def checkpoints(self) -> dict[str, str]:
        """Where the streams were, by asset; ask at the start."""
        return dict(self._undelivered.checkpoints)

    async def add(self, events: Sequence[Event], checkpoints: Mapping[str, str]) -> bool:
        """Take in events, and where the streams are after them; whether all of it is on disk.

        If not, it is kept in memory, delivered from there, and written with the next call that succeeds.
        """
        return await self._call(partial(self._undelivered.add, events, checkpoints))

    async def retry(self) -> None:
        """Write what is only in memory, if there is any; to be called every few seconds."""
        await self._call(self._undelivered.retry)

    async def pending(self, sink: str, limit: int) -> list[Event]:
        """What a sink does not have yet, oldest first, at most so many; may be none in spite of `wait`."""
        return await self._call(partial(self._undelivered.pending, sink, limit))

    async def delivered(self, sink: str, ids: Sequence[str]) -> None:
        """A sink has these."""
        await self._call(partial(self._undelivered.done, sink, ids))

    async def refuse(self, sink: str, ids: Sequence[str]) -> None:
        """A sink will never take these: they are kept apart, for a person, and offered to it no more."""
        await self._call(partial(self._undelivered.done, sink, ids, refused=True))

    async def wait(self, sink: str) -> None:
        """Return once there is something that a sink does not have yet."""
        arrival = self._arrivals[sink]
        while not self.n_waiting(sink):
            arrival.clear()
            await arrival.wait()

    async def close(self) -> None:
        """Write what there is, and let go of the file."""
        await self._call(self._undelivered.close)
        self._thread.shutdown()

    def n_waiting(self, sink: str) -> int:
        """How many events a sink does not have yet."""
        return self._undelivered.n_waiting[sink]

    @property
    def busy_since(self) -> float | None:
        """Since when, on the monotonic clock, the disk has been waited for; None while it is not."""
        return self._begun[0] if self._begun else None

    @property
    def dropped(self) -> dict[str, int]:
        """Events that there was no room for, ever, by severity (`none` without one)."""
        return dict(self._undelivered.dropped)

    @property
    def n_unsaved(self) -> int:
        """Events that are in memory alone."""
        return self._undelivered.n_unsaved

    async def _call(self, work: Callable[[], T]) -> T:
        call = asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._begun.append(monotonic())
        call.add_done_callback(self._wake)
        return await asyncio.shield(call)

    def _wake(self, call: asyncio.Future[T]) -> None:
        self._begun.popleft()  # they are carried out in their order
        if not call.cancelled():
            call.exception()  # seen, also where nobody waits for it any more
        for sink, arrival in self._arrivals.items():
            if self.n_waiting(sink):
                arrival.set()
