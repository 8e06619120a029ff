"""Brings the events in the spool to one sink, for as long as it takes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic

from edge_ad.runtime.agent.spool import Spool
from edge_ad.runtime.backoff import Backoff
from edge_ad.runtime.events import Event
from edge_ad.runtime.sinks.sink import DeliveryError, EventSink
from edge_ad.runtime.snapshot import SinkSnapshot
from edge_ad.runtime.troubles import Note

HOPELESS_RETRIES = 10
_BATCH = 16
"""Events that are asked for at a time, where the sink takes fewer at once."""
_MARK_EVERY_S = 1.0
_CLEAN_UP_S = 1.0
"""What a delivery that was cancelled has to finish."""


class Courier:
    """Delivers at least once, and in order to a sink that takes one event at a time.

    What fails is tried again after a wait that doubles from `first_wait_s` to a minute. An event of which the
    sink says that it is hopeless is tried ten times again, and then given up, so that it does not keep all
    others from being delivered. What was delivered is marked with the next commit, within a second or so: a
    process that is killed before delivers it once more.
    """

    def __init__(
        self,
        spool: Spool,
        sink: EventSink,
        name: str,
        kind: str,
        note: Note,
        say: Callable[[str], None],
        *,
        first_wait_s: float = 1.0,
    ) -> None:
        self._spool = spool
        self._sink = sink
        self._name = name
        self._kind = kind
        self._note = note
        self._say = say
        self._backoff = Backoff(first_wait_s)
        self._longest_s = sink.longest_s
        self._hopeless: Counter[str] = Counter()
        """How often the sink said so, by id."""
        self._n_delivered = self._n_failed = self._n_refused = 0
        self._last_error: str | None = None
        self._is_failing = False
        self.is_delivering = False
        """Whether an event is on its way."""

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._spool.wait(self._name)
            events = await self._spool.pending(self._name, max(_BATCH, self._sink.at_once))
            if events and await self._bring(events):
                self._backoff.reset()
            else:
                await asyncio.sleep(self._backoff.next())

    def snapshot(self) -> SinkSnapshot:
        """How it stands."""
        return SinkSnapshot(
            name=self._name,
            kind=self._kind,
            pending=self._spool.n_waiting(self._name),
            delivered=self._n_delivered,
            failed=self._n_failed,
            refused=self._n_refused,
            last_error=self._last_error,
        )

    async def _bring(self, events: Sequence[Event]) -> bool:
        """Deliver in turn, up to the first that is to be tried again; whether there is none."""
        at_once = self._sink.at_once
        self._hopeless = Counter({e.id: self._hopeless[e.id] for e in events if e.id in self._hopeless})
        delivered: list[str] = []
        marked = monotonic()
        self.is_delivering = True
        try:
            for start in range(0, len(events), at_once):
                if not await self._bring_together(events[start : start + at_once], delivered):
                    return False
                if monotonic() - marked > _MARK_EVERY_S:
                    await self._spool.delivered(self._name, delivered)
                    delivered.clear()
                    marked = monotonic()
            if self._is_failing and self._last_error is None:
                self._is_failing = False
                self._say("events get through again")
        finally:
            self.is_delivering = False
            if delivered:
                await self._spool.delivered(self._name, delivered)
        return True

    async def _bring_together(self, events: Sequence[Event], delivered: list[str]) -> bool:
        tasks = [asyncio.create_task(self._attempt(event, delivered)) for event in events]
        try:
            errors = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        all_settled = True
        for event, error in zip(events, errors, strict=True):
            if error is not None:
                self._is_failing = True
                self._n_failed += 1
                all_settled &= await self._is_given_up(event, error)
        return all_settled

    async def _attempt(self, event: Event, delivered: list[str]) -> DeliveryError | None:
        """None where the sink has it now."""
        error = None
        try:
            await self._deliver(event)
        except DeliveryError as its_error:
            error = its_error
        except Exception as its_error:  # noqa: BLE001  a sink may be anybody's, and fail in any way
            error = DeliveryError(f"the sink failed: {its_error!r}")
        if error is None:
            delivered.append(event.id)
            self._n_delivered += 1
            self._hopeless.pop(event.id, None)
        self._last_error = None if error is None else str(error)
        return error

    async def _deliver(self, event: Event) -> None:
        delivery = asyncio.ensure_future(self._sink.deliver(event))
        try:
            await asyncio.wait({delivery}, timeout=self._longest_s)
            if not delivery.done():
                raise DeliveryError(f"no answer within {self._longest_s:g} s")
        finally:
            if not delivery.done():
                delivery.cancel()
                delivery.add_done_callback(_look_at)
                await asyncio.wait({delivery}, timeout=_CLEAN_UP_S)
        if delivery.cancelled():
            raise DeliveryError("the sink broke it off")
        delivery.result()

    async def _is_given_up(self, event: Event, error: DeliveryError) -> bool:
        what = f"event {event.id} ({event.asset}, {event.change})"
        if error.hopeless:
            self._hopeless[event.id] += 1
        if self._hopeless[event.id] <= HOPELESS_RETRIES:
            self._note("delivery", f"{what} did not get through: {error}; it is tried again")
            return False
        del self._hopeless[event.id]
        self._n_refused += 1
        n = HOPELESS_RETRIES + 1
        text = f"{what} is given up after {n} attempts: {error}; the spool keeps it apart"
        self._note("event-refused", text)
        await self._spool.refuse(self._name, [event.id])
        return True


def _look_at(delivery: asyncio.Future[None]) -> None:
    """An error of a delivery that nobody waits for any more is no news."""
    if not delivery.cancelled():
        delivery.exception()
