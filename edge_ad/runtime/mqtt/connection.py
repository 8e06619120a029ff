"""A connection to a broker that comes back by itself, whatever befalls it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

from paho.mqtt.client import MQTTMessage

from edge_ad.runtime.backoff import Backoff
from edge_ad.runtime.mqtt import failures
from edge_ad.runtime.mqtt.failures import Failure
from edge_ad.runtime.mqtt.identity import Identity
from edge_ad.runtime.mqtt.link import GOODBYE_S, Link
from edge_ad.runtime.mqtt.mailbox import Mailbox
from edge_ad.runtime.troubles import Note

STEADY_S = 10.0
"""A connection that lasted as long was a good one: the next attempt follows soon."""
_SUSPICIOUS = 3
"""After so many short connections in a row somebody else may be using the client id."""


class Role(Protocol):
    """What a connection is for. All but `opened` and `message` is called on the event loop."""

    def opened(self, link: Link) -> None:
        """There is a connection, and no message has come over it yet. Called in the connection's thread."""

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """There is a connection; it takes `window` publications that are not acknowledged yet."""

    def down(self) -> None:
        """The connection is gone, and with it what was not acknowledged. `up` came before."""

    def message(self, link: Link, message: MQTTMessage) -> None:
        """A message came. Called in the connection's thread; while this waits nothing else is read."""

    def published(self, number: int, code: int, reason: str) -> None:
        """Publication `number` of the link that is up was acknowledged; with QoS 0, written to the socket."""

    def subscribed(self, number: int, code: int, reason: str) -> None:
        """The broker answered subscription `number` of the link that is up."""


class Connection:
    """Keeps a link to a broker in a thread of its own, and a new one after each that ended.

    Every failure is told with `note`, with what is done about it. What the broker sends is told to the role.
    """

    def __init__(
        self,
        identity: Identity,
        role: Role,
        *,
        note: Note,
        say: Callable[[str], None],
        first_wait_s: float = 1.0,
    ) -> None:
        self.identity = identity
        self._role, self._note, self._say = role, note, say
        self._backoff = Backoff(first_wait_s)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._link: Link | None = None
        """Of the thread: the one that it runs."""
        self._n_short = 0
        self._was_up = False
        self._mailbox: Mailbox | None = None
        self._ended = asyncio.Event()
        self.failure: str | None = None
        """Why there is no connection; None while there is one."""

    def start(self) -> None:
        """Begin to connect. To be called on the event loop, once."""
        self._mailbox = Mailbox(asyncio.get_running_loop())
        name = f"mqtt-{self.identity.name}"
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._thread.start()

    def post(self, call: Callable[..., object], *args: object) -> None:
        """Make a call on the event loop, in order with those of the role. May be called in any thread."""
        if self._mailbox is not None:
            self._mailbox.post(call, *args)

    def renew(self) -> None:
        """Connect anew at once, so that the broker hands over again what was not acknowledged."""
        link = self._link
        if link is not None:
            link.leave()

    async def close(self) -> None:
        """End the connection and its thread, within a few seconds."""
        self._closing.set()
        if self._thread is None:
            return
        self.renew()
        # A thread that looks up a host name cannot be stopped. It ends by itself, or with the process.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), GOODBYE_S + 1.0)

    # --- in the thread --------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing.is_set():
            failure = self._one_link()
            if failure is not None and not self._closing.is_set():
                wait_s = self._backoff.next()
                self.post(self._fail, failure.text)
                self._note(failure.kind, f"{failure.text}; tried again in {wait_s:.2g} s")
                self._closing.wait(wait_s)
        self.post(self._ended.set)

    def _one_link(self) -> Failure | None:
        link = None
        try:
            link = self._link = Link(self.identity, self)
            failure = link.run(self._closing)
        except Exception as error:  # noqa: BLE001  whatever paho-mqtt raises, it is tried again
            failure = failures.not_reached(self.identity.name, self.identity.options, error)
        if link is None:
            return failure
        self._link = None
        link.forget()
        if link.lasted_s:
            self.post(self._down)
            if link.lasted_s >= STEADY_S:
                self._n_short = 0
                self._backoff.reset()
            elif failure is not None:
                failure = self._suspect(failure)
        return failure

    def _suspect(self, failure: Failure) -> Failure:
        """Name what may be behind connections that are lost soon; not every broker says it by itself."""
        self._n_short += 1
        if self._n_short < _SUSPICIOUS or failure.kind != "broker-lost":
            return failure
        hint = f"does another client use the client id {self.identity.client_id!r}?"
        text = f"{failure.text} soon after it was made, {self._n_short} times: {hint}"
        return Failure("broker-contested", text)

    # The listener of the links: hands on to the event loop.

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """See Listener."""
        self._role.opened(link)
        self.post(self._up, link, session_present, window)

    def message(self, link: Link, message: MQTTMessage) -> None:
        """See Listener."""
        self._role.message(link, message)

    def published(self, link: Link, number: int, code: int, reason: str) -> None:
        """See Listener."""
        self.post(self._role.published, number, code, reason)

    def subscribed(self, link: Link, number: int, code: int, reason: str) -> None:
        """See Listener."""
        self.post(self._role.subscribed, number, code, reason)

    # --- on the event loop ----------------------------------------------------------------------------

    def _up(self, link: Link, session_present: bool, window: int) -> None:
        self.failure = None
        options, again = self.identity.options, " again" if self._was_up else ""
        self._say(f"connected to the broker {self.identity.name} at {options.address}{again}")
        self._was_up = True
        self._role.up(link, session_present, window)

    def _down(self) -> None:
        self._role.down()

    def _fail(self, text: str) -> None:
        self.failure = text
