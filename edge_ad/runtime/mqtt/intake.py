"""What comes from a broker: one connection for all sources of an agent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from paho.mqtt.client import MQTTMessage

from edge_ad.runtime.backoff import Backoff
from edge_ad.runtime.mqtt.connection import Connection
from edge_ad.runtime.mqtt.deliveries import Deliveries, Delivery
from edge_ad.runtime.mqtt.failures import spoken
from edge_ad.runtime.mqtt.identity import Identity
from edge_ad.runtime.mqtt.link import Link
from edge_ad.runtime.mqtt.topics import matches
from edge_ad.runtime.troubles import Note

GRACE_S = 10.0
"""After a source came or went, what nobody takes stays with the broker for so long: another one may come."""
_RENEW_S = 0.2
"""After a source came for whom something may be waiting; others may be about to come as well."""
_REFUSED = 128
"""Reason codes from here on are failures."""


class Subscriber(Protocol):
    """A source, as the intake knows it."""

    note: Note

    @property
    def topic(self) -> str:
        """A topic filter."""

    @property
    def qos(self) -> int:
        """To subscribe with."""

    def take(self, message: MQTTMessage, delivery: Delivery | None) -> None:
        """A message came; with a delivery, it is to be finished or abandoned. In the connection's thread."""

    def granted(self) -> None:
        """The broker took the subscription."""

    def gone(self) -> None:
        """There is no subscription for now."""


class Intake:
    """Subscribes for all sources of a broker, hands messages to those they are for, and acknowledges them.

    The broker keeps the session: what comes while the agent is down, is handed over at the next start, and
    what was handed over and not acknowledged, again. Acknowledgements are in order for every source, not
    among sources: one of them that takes its time holds up no other one, as far as the broker lets more
    messages be open at the same time than that one has.
    """

    def __init__(
        self, identity: Identity, *, note: Note, say: Callable[[str], None], first_wait_s: float
    ) -> None:
        self.identity = identity
        self.deliveries = Deliveries()
        self._note = note
        self._first_wait_s = first_wait_s
        self._connection = Connection(identity, self, note=note, say=say, first_wait_s=first_wait_s)
        self._requests: dict[Subscriber, _Request] = {}
        self._lock = threading.Lock()
        """Of the next three."""
        self._wanted: tuple[Subscriber, ...] = ()
        """All that are there."""
        self._active: tuple[Subscriber, ...] = ()
        """Those that take messages of the present connection."""
        self._has_unclaimed = False
        """Whether there is a message of this connection that nobody took and that is not acknowledged."""
        self._link: Link | None = None
        self._was_up = False
        self._grace_until = 0.0
        self._renewal: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._link is not None

    @property
    def is_shared(self) -> bool:
        """Whether there is more than one source."""
        return len(self._wanted) > 1

    def subscribe(self, subscriber: Subscriber) -> None:
        """A source came. To be called on the event loop."""
        is_first = not self._grace_until
        self._grace_until = monotonic() + GRACE_S
        request = self._requests[subscriber] = _Request(subscriber, Backoff(self._first_wait_s))
        with self._lock:
            self._wanted = tuple(self._requests)
            # Where something may be waiting for the source, that must come first.
            waits = self._has_unclaimed
            if not waits:
                self._active = self._wanted
        if is_first:
            self._connection.start()
        elif self._link is not None:
            self._ask(request)
        if waits:
            self._renew_in(_RENEW_S)

    def unsubscribe(self, subscriber: Subscriber, unfinished: list[Delivery]) -> None:
        """A source goes, perhaps for good, and leaves messages that the broker is to keep for another one."""
        request = self._requests.pop(subscriber, None)
        if request is not None:
            request.cancel()
        self._grace_until = monotonic() + GRACE_S
        with self._lock:
            self._wanted = tuple(self._requests)
            self._active = tuple(one for one in self._active if one is not subscriber)
        for delivery in unfinished:
            self.deliveries.abandon(delivery)
        if unfinished:
            self.leave_unclaimed()

    def leave_unclaimed(self) -> None:
        """There is a message that nobody is going to acknowledge, unless a source comes soon."""
        with self._lock:
            self._has_unclaimed = True
        self._renew_after_grace()

    def renew(self) -> None:
        """Let the broker hand over again what is not acknowledged; what is at work here stays as it is."""
        self._renewal = None
        self._connection.renew()

    async def close(self) -> None:
        """End the connection; the broker keeps the session."""
        self._is_closed = True
        if self._renewal is not None:
            self._renewal.cancel()
        for request in self._requests.values():
            request.cancel()
        await self._connection.close()

    def post(self, call: Callable[..., object], *args: object) -> None:
        """Make a call on the event loop, in order with those of the connection. In any thread."""
        self._connection.post(call, *args)

    # --- in the connection's thread -------------------------------------------------------------------

    def opened(self, link: Link) -> None:
        """See Role."""
        with self._lock:
            self._active, self._has_unclaimed = self._wanted, False

    def message(self, link: Link, message: MQTTMessage) -> None:
        """See Role."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            link.acknowledge(message.mid, message.qos)
            return
        with self._lock:
            takers = [taker for taker in self._active if matches(taker.topic, topic)]
            is_left = not takers and message.qos > 0 and monotonic() < self._grace_until
            self._has_unclaimed |= is_left
        if is_left:
            self.post(self._renew_after_grace)
        elif not takers:
            self._turn_down(link, message)
        elif message.retain:
            link.acknowledge(message.mid, message.qos)
            for taker in takers:
                taker.note("retained", f"a retained message on topic {topic!r} is left out: it is old")
        elif message.qos == 0:
            for taker in takers:
                taker.take(message, None)
        else:
            delivery = self.deliveries.begin(link, message, len(takers))
            if delivery is not None:
                for taker in takers:
                    taker.take(message, delivery)

    def _turn_down(self, link: Link, message: MQTTMessage) -> None:
        link.acknowledge(message.mid, message.qos)
        if not message.retain:
            text = f"no asset takes topic {message.topic!r}, to which an earlier configuration subscribed"
            self._note("unwanted", f"{text}: the message is dropped, and no more of the topic asked for")
        link.unsubscribe(message.topic)

    # --- on the event loop ----------------------------------------------------------------------------

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """See Role."""
        self._link = link
        if self._was_up and not session_present:
            text = f"the broker {self.identity.name} has forgotten the session"
            self._note("session-lost", f"{text}: what came for it while the connection was down is lost")
        self._was_up = True
        for request in self._requests.values():
            self._ask(request)

    def down(self) -> None:
        """See Role."""
        self._link = None
        for request in self._requests.values():
            request.cancel()
            request.subscriber.gone()

    def published(self, number: int, code: int, reason: str) -> None:
        """See Role."""

    def subscribed(self, number: int, code: int, reason: str) -> None:
        """See Role."""
        request = next((r for r in self._requests.values() if r.number == number), None)
        if request is None:
            return
        request.number, subscriber = None, request.subscriber
        if code < _REFUSED:
            request.backoff.reset()
            if code < subscriber.qos:
                text = f"the broker {self.identity.name} grants topic {subscriber.topic!r} QoS {code} only"
                subscriber.note("subscription-reduced", f"{text}: messages may be lost")
            subscriber.granted()
            return
        wait_s = request.backoff.next()
        user = self.identity.options.username
        who = "an anonymous user" if user is None else f"user {user!r}"
        text = (
            f"the broker {self.identity.name} refuses {who} topic {subscriber.topic!r} ({spoken(reason)}): "
            f"check its access rules; tried again in {wait_s:.2g} s"
        )
        subscriber.note("subscription-refused", text)
        request.timer = asyncio.get_running_loop().call_later(wait_s, self._ask, request)

    def _ask(self, request: _Request) -> None:
        request.cancel()
        if self._link is not None:
            request.number = self._link.subscribe(request.subscriber.topic, request.subscriber.qos)

    def _renew_after_grace(self) -> None:
        self._renew_in(max(0.0, self._grace_until - monotonic()))

    def _renew_in(self, wait_s: float) -> None:
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        if self._renewal is not None:
            if self._renewal.when() <= loop.time() + wait_s:
                return
            self._renewal.cancel()
        self._renewal = loop.call_later(wait_s, self.renew)


class _Request:
    """A subscription and how far it is."""

    def __init__(self, subscriber: Subscriber, backoff: Backoff) -> None:
        self.subscriber, self.backoff = subscriber, backoff
        self.number: int | None = None
        """That the broker is to answer."""
        self.timer: asyncio.TimerHandle | None = None
        """Until the next attempt."""

    def cancel(self) -> None:
        self.number = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
