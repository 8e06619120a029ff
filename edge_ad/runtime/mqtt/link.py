"""One connection to a broker, from the first packet to the last: a paho-mqtt client that is never used again.

A client for every connection keeps paho-mqtt from carrying anything over: messages to be repeated, a lower
protocol version, another client id. What is to be repeated, others decide.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY
from time import monotonic
from typing import Any, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_ad.runtime.mqtt import failures
from edge_ad.runtime.mqtt.failures import Failure
from edge_ad.runtime.mqtt.identity import Identity
from edge_ad.runtime.mqtt.login import read_password, tls_context

ANSWER_S = 10.0
"""For the connection, and again for the answer to the login."""
LARGEST_MESSAGE = 4 << 20
"""Bytes. With MQTT 5 a broker does not hand over larger ones."""
MOST_UNACKNOWLEDGED = 4000
"""With MQTT 5 a broker waits for acknowledgements after so many messages at the latest."""
GOODBYE_S = 2.0
"""For what is still to be sent when the connection is left."""
_WAKE_S = 1.0
"""How often paho-mqtt looks whether it has to send a sign of life."""
_PROTOCOL_ERROR = 130


class Listener(Protocol):
    """Hears what comes over a link, in the thread that runs it."""

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """The broker took the login; it takes `window` publications at a time."""

    def message(self, link: Link, message: MQTTMessage) -> None:
        """A message came. While this waits nothing else is read."""

    def published(self, link: Link, number: int, code: int, reason: str) -> None:
        """Publication `number` was acknowledged, or, with QoS 0, handed to the system."""

    def subscribed(self, link: Link, number: int, code: int, reason: str) -> None:
        """Subscription `number` was answered."""


class Link:
    """Made, run and forgotten by a connection's thread; what sends may be called in any thread."""

    def __init__(self, identity: Identity, listener: Listener) -> None:
        """Raises SecretError."""
        self._identity, self._listener = identity, listener
        self._accepted_at: float | None = None
        self._failure: Failure | None = None
        self._leave_by: float | None = None
        self._errors = _LastError()
        self._client: Client | None = self._new_client()

    @property
    def lasted_s(self) -> float:
        """Since the broker took the login; 0 before."""
        return 0.0 if self._accepted_at is None else monotonic() - self._accepted_at

    # --- in the thread that keeps the connection ----------------------------------------------------

    def run(self, closing: threading.Event) -> Failure | None:
        """Connect and serve until the connection ends; None where it was left on purpose.

        Raises what paho-mqtt raises where it cannot connect.
        """
        identity, client = self._identity, self._client
        if client is None:
            raise RuntimeError("a link runs once")
        options = identity.options
        address = options.host, options.port_used, options.keepalive_s
        if options.protocol == "5":
            properties = _connect_properties(options.session_expiry_s if identity.keeps_session else 0)
            client.connect(*address, clean_start=not identity.keeps_session, properties=properties)
        else:  # the client was told when it was made
            client.connect(*address)
        if closing.is_set() or self._leave_by is not None:
            self.leave()  # what was said before there was a connection was not heard
        until = monotonic() + ANSWER_S
        while client.loop(_WAKE_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if closing.is_set() and self._leave_by is None:
                self.leave()
            if self._leave_by is not None and monotonic() > self._leave_by:
                return None
            if self._accepted_at is None and monotonic() > until:
                return failures.no_answer(identity.name, options)
        if self._leave_by is not None:
            return None
        return self._failure or failures.lost(identity.name, 0, self._errors.take())

    def forget(self) -> None:
        """It has run: let go of the client and its sockets, although messages may still hold the link."""
        self._client = None

    def _new_client(self) -> Client:
        identity, options = self._identity, self._identity.options
        is_5 = options.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            identity.client_id,
            clean_session=None if is_5 else not identity.keeps_session,
            protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = ANSWER_S
        client.enable_logger(self._errors)
        if options.username is not None:
            client.username_pw_set(options.username, read_password(options))
        context = tls_context(options)
        if context is not None:
            client.tls_set_context(context)
        if identity.will is not None:
            client.will_set(identity.will.topic, identity.will.payload, qos=1, retain=True)
        # With this paho-mqtt writes in the thread of `loop` alone. Otherwise publish() writes in its caller's
        # thread as well, where a packet that is sent in parts may get another one into its middle.
        client.on_socket_register_write = _write_later
        client.on_socket_open = _send_at_once
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _on_connect(
        self, client: Client, data: Any, flags: ConnectFlags, code: ReasonCode, properties: Any
    ) -> None:
        identity = self._identity
        if code.is_failure:
            self._failure = failures.refused(
                identity.name, identity.options, identity.client_id, code.value, str(code)
            )
            return
        self._accepted_at = monotonic()
        window = int(getattr(properties, "ReceiveMaximum", 65_535))
        self._listener.up(self, flags.session_present, window)

    def _on_disconnect(
        self, client: Client, data: Any, flags: DisconnectFlags, code: ReasonCode, properties: Any
    ) -> None:
        if self._failure is not None or self._leave_by is not None:
            return
        identity = self._identity
        name, value = identity.name, code.value
        if flags.is_disconnect_packet_from_server:
            self._failure = failures.ended(name, identity.client_id, value, str(code))
        elif self._accepted_at is None:
            self._failure = failures.no_login(
                name, identity.options, self._errors.take(), is_nonsense=value == _PROTOCOL_ERROR
            )
        else:
            self._failure = failures.lost(name, value, self._errors.take())

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        self._listener.message(self, message)

    def _on_publish(self, client: Client, data: Any, number: int, code: ReasonCode, properties: Any) -> None:
        self._listener.published(self, number, code.value, str(code))

    def _on_subscribe(
        self, client: Client, data: Any, number: int, codes: list[ReasonCode], properties: Any
    ) -> None:
        for code in codes[:1]:  # one topic at a time is subscribed to
            self._listener.subscribed(self, number, code.value, str(code))

    def _on_socket_close(self, client: Client, data: Any, connection: Any) -> None:
        """Wait until the broker has hung up, where we are the ones to leave.

        To close a socket with unread data makes the system forget what it has not sent yet, and the broker
        what it has not read: the last acknowledgements.
        """
        if self._leave_by is None:
            return
        with contextlib.suppress(OSError):
            connection.shutdown(SHUT_WR)
            while (left_s := self._leave_by - monotonic()) > 0:
                connection.settimeout(left_s)
                if not connection.recv(65_536):
                    break

    # --- in any thread --------------------------------------------------------------------------------

    def send(self, topic: str, payload: str, *, qos: int, retain: bool) -> int | None:
        """Publish; the number that `published` will be called with. None where the connection is gone."""

        def publish(client: Client) -> int | None:
            answer = client.publish(topic, payload.encode(), qos, retain)
            return answer.mid if answer.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

        return self._attempt(publish)

    def subscribe(self, topic: str, qos: int) -> int | None:
        """Ask for a topic; the number that `subscribed` will be called with. None without a connection."""
        return self._attempt(lambda client: client.subscribe(topic, qos)[1])

    def unsubscribe(self, topic: str) -> None:
        """Ask for no more of a topic."""
        self._attempt(lambda client: client.unsubscribe(topic)[1])

    def acknowledge(self, number: int, qos: int) -> None:
        """Tell the broker that message `number` is safe here."""
        self._attempt(lambda client: client.ack(number, qos))

    def leave(self) -> None:
        """End the connection, after what was sent so far."""
        self._leave_by = monotonic() + GOODBYE_S
        self._attempt(lambda client: client.disconnect())

    def _attempt(self, call: Callable[[Client], int | None]) -> int | None:
        client = self._client
        if client is None:
            return None
        try:
            return call(client)
        except (OSError, ValueError):  # the thread closes the connection at this very moment
            return None


class _LastError(logging.Logger):
    """Keeps what paho-mqtt logs of errors, the only place where it tells why a connection broke."""

    def __init__(self) -> None:
        super().__init__("paho")
        self._text: str | None = None

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """Called several times for every packet, so that nothing else may happen here."""
        if level >= logging.ERROR and args:  # without, it is about paho-mqtt's own state
            self._text = str(msg) % args

    def take(self) -> str | None:
        """The newest error, without paho-mqtt's introduction; None where there was none."""
        return None if self._text is None else self._text.rpartition(": ")[2].rpartition("] ")[2]


def _write_later(client: Client, data: Any, socket: Any) -> None:
    """Nothing to do: `loop` looks for itself what is to be written."""


def _send_at_once(client: Client, data: Any, socket: Any) -> None:
    """Packets are small and somebody waits for each: an alarm's must not wait for the one before it."""
    socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def _connect_properties(session_expiry_s: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = session_expiry_s
    properties.ReceiveMaximum = MOST_UNACKNOWLEDGED
    properties.MaximumPacketSize = LARGEST_MESSAGE
    return properties
