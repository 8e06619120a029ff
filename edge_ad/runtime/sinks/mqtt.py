"""Decisions and events of alarm episodes to an MQTT broker, and from there to Home Assistant."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal

from edge_ad.detect.decision import Decision
from edge_ad.runtime.events import Event
from edge_ad.runtime.health_report import HealthReport
from edge_ad.runtime.mqtt.failures import spoken
from edge_ad.runtime.mqtt.identity import Will
from edge_ad.runtime.mqtt.outbox import Answer, Outbox
from edge_ad.runtime.mqtt.states import States
from edge_ad.runtime.mqtt.topics import check_prefix
from edge_ad.runtime.sinks.home_assistant import BIRTH, announcements, birth_topic
from edge_ad.runtime.sinks.sink import (
    DecisionSink,
    DeliveryError,
    EventSink,
    HealthSink,
    InService,
    SinkContext,
    TakeDecision,
)

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from edge_ad.runtime.mqtt.brokers import Brokers
    from edge_ad.runtime.mqtt.link import Link

CONNECTION_S = 10.0
"""How long a delivery waits for a connection."""
ANSWER_S = 15.0
"""How long it then waits for the acknowledgement."""
_GOODBYE_S = 2.0
_NEVER_TAKEN = (144, 153)
"""Reason codes of MQTT 5: topic name invalid, payload format invalid."""


@dataclass(frozen=True)
class MqttSinkOptions:
    """`kind = "mqtt"` of a sink."""

    broker: str
    """Name of a `[broker.NAME]`."""
    prefix: str = "edge-ad"
    """First part of all topics."""
    decisions: Literal["changes", "all", "none"] = "changes"
    """Which become an asset's state: where state or severity change, and one now and then; all; none."""
    every_s: float = 10.0
    """With `changes`: so often at most while nothing changes."""
    health_every_s: float = 300.0
    """How often the health of every asset is told; 0: never."""
    home_assistant: bool = False
    """Whether to make the assets known to Home Assistant."""
    discovery_prefix: str = "homeassistant"
    """As set there."""

    def __post_init__(self) -> None:
        check_prefix(self.prefix, "prefix")
        check_prefix(self.discovery_prefix, "discovery_prefix")
        if not 0.1 <= self.every_s <= 86_400:
            raise ValueError("every_s must lie between 0.1 and 86400")
        if self.health_every_s != 0 and not 1 <= self.health_every_s <= 86_400:
            raise ValueError("health_every_s must lie between 1 and 86400, or be 0")
        if self.home_assistant and self.decisions == "none":
            raise ValueError('home_assistant needs the states of assets: decisions must not be "none"')


Options = MqttSinkOptions


def open_sink(options: MqttSinkOptions, context: SinkContext, brokers: Brokers) -> MqttSink:
    """A sink that connects when it is started.

    Raises ConfigurationError for a broker that is not configured, MissingDependencyError without paho-mqtt.
    """
    return MqttSink(options, context, brokers)


class MqttSink(DecisionSink, EventSink, HealthSink):
    """Publishes below `PREFIX/AGENT`.

    `status`: `online` or `offline`, retained; the broker says `offline` where the agent vanishes.
    `ASSET/state`: the newest decision as JSON, retained, QoS 0; see `state_json`. Of a batch of samples that
    are decided at once, `changes` publishes the last.
    `ASSET/events`: `Event.body`, QoS 1, in order.
    `ASSET/health`: the newest `HealthReport`, retained, QoS 0.

    An event is delivered when the broker has acknowledged it, also where nobody subscribes to the topic. A
    broker with MQTT 3.1.1 acknowledges what its access rules forbid as well and drops it: that cannot be
    known here. With MQTT 5 it says so, and the event is tried again.
    """

    at_once = 20

    def __init__(self, options: MqttSinkOptions, context: SinkContext, brokers: Brokers) -> None:
        self._options, self._agent, self._note = options, context.agent, context.note
        self.health_every_s = options.health_every_s
        self._base = f"{options.prefix}/{context.agent}"
        self._status = f"{self._base}/status"
        self._broker = options.broker
        will = Will(self._status, "offline")
        self._connection = brokers.connection(
            options.broker, context.name, will, self, note=context.note, say=context.say
        )
        self._outbox = Outbox()
        self._states = States(keeps_all=options.decisions == "all", dropped=self._dropped)
        self._is_up = asyncio.Event()
        self._link: Link | None = None
        self._services: dict[str, InService] = {}

    # --- a sink -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See Sink."""
        self._connection.start()

    async def close(self) -> None:
        """See Sink."""
        if self._link is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._outbox.send(self._status, "offline", retain=True), _GOODBYE_S)
        await self._connection.close()

    def begin(self, service: InService) -> TakeDecision:
        """See DecisionSink."""
        self._services[service.asset] = service
        self._announce(service)
        topic = f"{self._base}/{service.asset}/state"
        if self._options.decisions == "none":
            return _nothing
        put = self._states.put
        if self._options.decisions == "all":
            return lambda decision, stamp: put(topic, state_json(service, decision, stamp))
        every_s = self._options.every_s
        known: tuple[str, str | None] | None = None
        due = 0.0

        def take(decision: Decision, stamp: str) -> None:
            nonlocal known, due
            state, now = (decision.state, decision.severity), monotonic()
            if state != known or now >= due:
                known, due = state, now + every_s
                put(topic, state_json(service, decision, stamp))

        return take

    def flush(self) -> None:
        """See DecisionSink."""
        self._states.send()

    async def deliver(self, event: Event) -> None:
        """See EventSink."""
        if not self._is_up.is_set():
            try:
                await asyncio.wait_for(self._is_up.wait(), CONNECTION_S)
            except TimeoutError:
                why = self._connection.failure or f"no connection to the broker {self._broker} yet"
                raise DeliveryError(why) from None
        topic = f"{self._base}/{event.asset}/events"
        try:
            answer = await asyncio.wait_for(self._outbox.send(topic, event.body, retain=False), ANSWER_S)
        except TimeoutError:
            text = f"the broker {self._broker} has not acknowledged the event within {ANSWER_S:.0f} s"
            raise DeliveryError(text) from None
        if answer is None:
            raise DeliveryError(
                f"the connection to the broker {self._broker} ended before the acknowledgement"
            )
        if answer.is_refusal:
            raise DeliveryError(self._refusal(topic, answer), hopeless=answer.code in _NEVER_TAKEN)

    def report(self, report: HealthReport) -> None:
        """See HealthSink."""
        self._states.put(f"{self._base}/{report.asset}/health", report.text())
        self._states.send()

    # --- the role of the connection ---------------------------------------------------------------------

    def opened(self, link: Link) -> None:
        """See Role."""

    def up(self, link: Link, session_present: bool, window: int) -> None:
        """See Role."""
        self._link = link
        self._outbox.up(link, window)
        self._publish(self._status, "online")
        if self._options.home_assistant:
            link.subscribe(birth_topic(self._options.discovery_prefix), 0)
            self._announce_all()
        self._states.up(link)
        self._is_up.set()

    def down(self) -> None:
        """See Role."""
        self._link = None
        self._is_up.clear()
        self._outbox.down()
        self._states.down()

    def message(self, link: Link, message: MQTTMessage) -> None:
        """See Role."""
        # All that is subscribed to is the birth of Home Assistant.
        if bytes(message.payload) == BIRTH.encode():
            self._connection.post(self._announce_all)

    def published(self, number: int, code: int, reason: str) -> None:
        """See Role."""
        self._outbox.published(number, code, reason)
        self._states.published(number)

    def subscribed(self, number: int, code: int, reason: str) -> None:
        """See Role."""
        # Without the birth message Home Assistant still finds what is retained.

    # --- what is published on its own -------------------------------------------------------------------

    def _announce_all(self) -> None:
        for service in self._services.values():
            self._announce(service)

    def _announce(self, service: InService) -> None:
        if self._link is None or not self._options.home_assistant:
            return
        for topic, payload in announcements(
            service,
            agent=self._agent,
            discovery_prefix=self._options.discovery_prefix,
            state_topic=f"{self._base}/{service.asset}/state",
            status_topic=self._status,
        ):
            self._publish(topic, payload)

    def _publish(self, topic: str, payload: str) -> None:
        """Retained, and repeated with the next connection where this one ends."""
        answer = self._outbox.send(topic, payload, retain=True)
        answer.add_done_callback(lambda done: self._check(topic, done))

    def _check(self, topic: str, done: asyncio.Future[Answer | None]) -> None:
        answer = None if done.cancelled() else done.result()
        if answer is not None and answer.is_refusal:
            self._note("publish-refused", self._refusal(topic, answer))

    def _refusal(self, topic: str, answer: Answer) -> str:
        why = spoken(answer.reason)
        text = f"the broker {self._broker} does not take messages on topic {topic!r} ({why})"
        return f"{text}: check its access rules"

    def _dropped(self, n: int) -> None:
        text = "states come faster than the broker takes them; the oldest are dropped"
        self._note("state-dropped", text, n)


def state_json(service: InService, decision: Decision, stamp: str) -> str:
    """A decision as an asset's state.

    Keys: `time` as it was written, `state`, `score`, `ucl`, `ratio` (score to UCL), `severity` of an alarm,
    `contributions` by channel name, `top_channel` (that with the largest), `bundle` (12 characters of its
    id), `reason` of `unknown` and `warming`. What does not apply is null.
    """
    _, state, score, ucl, shares, reason, severity, _, _ = decision
    contributions, top = None, None
    if shares is not None:
        names = [channel.name for channel in service.channels]
        contributions = {name: float(f"{x:.7g}") for name, x in zip(names, shares.tolist(), strict=True)}
        top = names[int(shares.argmax())]
    record = {
        "time": stamp,
        "state": state,
        "score": score,
        "ucl": ucl,
        "ratio": None if score is None or ucl <= 0 else round(score / ucl, 6),
        "severity": severity,
        "contributions": contributions,
        "top_channel": top,
        "bundle": service.label,
        "reason": reason,
    }
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def _nothing(decision: Decision, stamp: str) -> None:
    """For `decisions = "none"`."""
