"""Health, states and events from a broker: what it has retained, and what comes while one listens."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from time import monotonic
from typing import TYPE_CHECKING

from edge_ad.errors import ConfigurationError, ConnectionFailedError, MissingDependencyError
from edge_ad.runtime.mqtt.identity import Identity
from edge_ad.runtime.mqtt.login import SecretError
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.mqtt.topics import check_prefix
from edge_ad.toolchain.collect.files import Heard, LeftOut
from edge_ad.toolchain.collect.observation import (
    ReportError,
    iso,
    of_event,
    of_report,
    of_state,
    parse_object,
)

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from edge_ad.runtime.mqtt.link import Link

_BATCH = 1000
_ASSET_TOPICS = ("health", "state", "events")


@dataclass(frozen=True)
class HeardOnline(Heard):
    """Also of agents: name, `online` or `offline`, and when that was heard."""

    agents: list[tuple[str, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.observations) + len(self.events) + len(self.bad) + len(self.agents)


def listen(
    options: BrokerOptions,
    prefix: str,
    take: Callable[[HeardOnline], object],
    *,
    quiet_s: float,
    longest_s: float | None,
) -> None:
    """Hand on, in batches, what agents publish below `prefix`.

    Ends when nothing that was retained has come for `quiet_s` (inf: never), and after `longest_s`. Raises
    ConfigurationError, ConnectionFailedError where the broker cannot be reached or hangs up (what was handed
    on until then stays so), MissingDependencyError without paho-mqtt.
    """
    try:
        check_prefix(prefix, "prefix")
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    try:
        from edge_ad.runtime.mqtt.link import Link
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"MQTT needs {error.name}: pip install 'edge-ad[mqtt]'") from error
    listener = _Listener(options, prefix)
    identity = Identity(options.address, options, f"edge-ad-collect-{secrets.token_hex(6)}", False, None)
    try:
        link = Link(identity, listener)
    except SecretError as error:
        raise ConfigurationError(str(error)) from error
    closing = threading.Event()
    thread = threading.Thread(target=listener.serve, args=(link, closing), daemon=True)
    thread.start()
    try:
        _gather(listener, prefix, take, quiet_s, longest_s)
    finally:
        closing.set()
        link.leave()
        thread.join(5.0)
    if listener.failure is not None:
        raise ConnectionFailedError(f"{listener.failure}; what was heard until then is kept")


def _gather(
    listener: _Listener,
    prefix: str,
    take: Callable[[HeardOnline], object],
    quiet_s: float,
    longest_s: float | None,
) -> None:
    end = None if longest_s is None else monotonic() + longest_s
    last = monotonic()
    heard = HeardOnline()
    while True:
        now = monotonic()
        if not listener.is_up:
            last = now  # to connect takes its time, and has a limit of its own
        if listener.has_ended or now - last >= quiet_s or (end is not None and now >= end):
            break
        try:
            topic, payload, retained = listener.messages.get(timeout=min(0.2, quiet_s))
        except queue.Empty:
            if len(heard):
                take(heard)
                heard = HeardOnline()
            continue
        if retained:  # a large fleet is never quiet
            last = monotonic()
        _take(heard, prefix, topic, payload, retained=retained)
        if len(heard) >= _BATCH:
            take(heard)
            heard = HeardOnline()
    while not listener.messages.empty():
        topic, payload, retained = listener.messages.get_nowait()
        _take(heard, prefix, topic, payload, retained=retained)
    if len(heard):
        take(heard)


def _take(heard: HeardOnline, prefix: str, topic: str, payload: bytes, *, retained: bool) -> None:
    """A message; what makes no sense is left out."""
    try:
        _sort_in(heard, prefix, topic, payload, retained=retained)
    except ReportError as error:
        heard.bad.append(LeftOut(f"topic {topic}: {error}", error.why))


def _sort_in(heard: HeardOnline, prefix: str, topic: str, payload: bytes, *, retained: bool) -> None:
    """A message, by its topic: PREFIX/AGENT/status, PREFIX/AGENT/ASSET/health and so on."""
    levels = topic.removeprefix(f"{prefix}/").split("/")
    received = iso(datetime.now(timezone.utc))
    if len(levels) == 2 and levels[1] == "status":
        status = payload.decode(errors="replace")
        if status not in ("online", "offline"):
            raise ReportError(f"{status[:40]!r} is no status")
        heard.agents.append((levels[0], status, received))
        return
    agent, asset, kind = levels[0], "/".join(levels[1:-1]), levels[-1]
    if kind not in _ASSET_TOPICS or not asset or not payload:
        return
    record = parse_object(payload)
    if kind == "events":
        heard.events.append(of_event(record, agent))
    elif kind == "health":
        heard.observations.append(of_report(record, agent))
    else:
        heard.observations.append(of_state(record, asset, agent, None if retained else received))


class _Listener:
    """Hears what comes over the link, in its thread."""

    def __init__(self, options: BrokerOptions, prefix: str) -> None:
        self._options, self._prefix = options, prefix
        self.messages: queue.Queue[tuple[str, bytes, bool]] = queue.Queue(20 * _BATCH)
        self.is_up = False
        self.has_ended = False
        self.failure: str | None = None

    def serve(self, link: Link, closing: threading.Event) -> None:
        """Connect, and serve until the connection ends or is left."""
        from edge_ad.runtime.mqtt import failures

        try:
            failure = link.run(closing)
        except Exception as error:  # noqa: BLE001  whatever paho-mqtt raises, it is told in our words
            failure = failures.not_reached(self._options.address, self._options, error)
        if failure is not None and not closing.is_set():
            self.failure = failure.text
        self.has_ended = True

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """See link.Listener."""
        link.subscribe(f"{self._prefix}/#", 0)
        self.is_up = True

    def message(self, link: Link, message: MQTTMessage) -> None:
        """See link.Listener."""
        self.messages.put((message.topic, bytes(message.payload), bool(message.retain)))

    def published(self, link: Link, number: int, code: int, reason: str) -> None:
        """See link.Listener."""

    def subscribed(self, link: Link, number: int, code: int, reason: str) -> None:
        """See link.Listener."""
        if code >= 128:
            self.failure = f"the broker refuses the subscription to {self._prefix}/# ({reason})"
            self.has_ended = True
