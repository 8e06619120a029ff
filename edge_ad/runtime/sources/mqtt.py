"""A stream of messages from an MQTT broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal

from edge_ad.runtime.mqtt.topics import check_filter
from edge_ad.runtime.sources.source import LONGEST_LINE, MOST_AT_ONCE, Line, SourceContext

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

    from edge_ad.runtime.mqtt.backlog import Backlog
    from edge_ad.runtime.mqtt.brokers import Brokers
    from edge_ad.runtime.mqtt.deliveries import Delivery
    from edge_ad.runtime.mqtt.intake import Intake
    from edge_ad.runtime.mqtt.link import Link

SHORTEST_SILENCE_S = 60.0
"""A silence that is told of lasts at least as long, and ten sample periods."""
STALLED_S = 60.0
"""A reader that has not come back for so long must not keep the broker from serving others."""


@dataclass(frozen=True)
class MqttSourceOptions:
    """`kind = "mqtt"` of a source."""

    broker: str
    """Name of a `[broker.NAME]`."""
    topic: str
    """Topic to subscribe to; `+` stands for any one level, and a last `#` for all that are left."""
    qos: Literal[0, 1] = 1
    """With 1 nothing is lost that its publisher sends with 1 or 2; with 0 the broker keeps nothing for the
    agent while that is down or slow."""

    def __post_init__(self) -> None:
        check_filter(self.topic)

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return f"{self.topic} at {self.broker}"


Options = MqttSourceOptions


def open_source(options: MqttSourceOptions, context: SourceContext, brokers: Brokers) -> MqttSource:
    """Subscribe to the topic; to be called on the event loop.

    Raises ConfigurationError for a broker that is not configured, MissingDependencyError without paho-mqtt.
    """
    intake = brokers.intake(options.broker)
    from edge_ad.runtime.mqtt.backlog import Backlog

    patience_s = intake.identity.options.keepalive_s / 3
    return MqttSource(options, context, intake, Backlog(patience_s))


class MqttSource:
    """Gives the lines of the messages on a topic; a message holds one or more.

    With QoS 1 a message is acknowledged when its last line is done with. Until then the broker hands it over
    again, also to the next process. A broker limits how many messages are open, for all sources of an agent
    together (mosquitto: 20 with MQTT 3.1.1, and as many as the agent asks for, 4000, with MQTT 5), and how
    many more it keeps (mosquitto: 1000; it drops what is beyond).

    The queue here is bounded by `backlog.MOST_LINES`. When it is full, nothing more is read from the broker
    for up to a third of the keep-alive time in all, until it is half empty again; this slows the broker down,
    and every source that it serves. After that, messages of QoS 1 are left with the broker, which hands them
    over again over a new connection as soon as there is room (`behind`). Of QoS 0 the oldest lines are
    dropped (`queue-full`).

    A reader that has not come back for a minute, such as one whose model failed and cannot be loaded anew,
    would keep the broker from serving other sources. From then on, where there are others, its messages are
    acknowledged as they come, and wait here alone.

    Retained messages are left out: they hold old samples. Bytes that are not UTF-8 become replacement
    characters. There is no header: the format names the columns.
    """

    def __init__(
        self, options: MqttSourceOptions, context: SourceContext, intake: Intake, backlog: Backlog
    ) -> None:
        self.topic, self.qos = options.topic, options.qos
        self.note = context.note
        self._say = context.say
        self._intake, self._backlog = intake, backlog
        self._loop = asyncio.get_running_loop()
        self._n_lines = 0
        self._wake = asyncio.Event()
        self._is_waking = False
        self._handed: list[Delivery] = []
        """Of the lines that were read and are not done with."""
        self._refusing: Link | None = None
        """A connection over which a message came for which there was no room; nothing more is taken from it,
        since what was refused comes first."""
        self._is_behind = False
        """Whether a message was refused for which no new connection is made yet."""
        self._read_at = monotonic()
        self._is_stalled = False
        self._silence_s = max(SHORTEST_SILENCE_S, 10 * context.sample_period_s)
        self._heard_at: float | None = None
        """When the newest message came, or the subscription began; None without subscription."""
        self._has_heard = self._is_silent = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        intake.subscribe(self)
        self._look_later()

    @property
    def queued(self) -> int:
        """Lines that came and are not read."""
        return len(self._backlog)

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has granted the topic on the connection that there is."""
        return self._heard_at is not None

    async def read(self) -> Sequence[Line]:
        """See Source. The stream has no end."""
        while True:
            lines, deliveries = self._backlog.take(MOST_AT_ONCE)
            if lines:
                self._handed += deliveries
                self._read_at = monotonic()
                if self._is_stalled:
                    self._is_stalled = False
                    self._say("reads its messages again")
                return lines
            self._wake.clear()
            # A line that came between the two found the reader awake.
            if not len(self._backlog):
                self._read_at = monotonic()
                await self._wake.wait()

    def position(self) -> str | None:
        """The broker knows how far it is."""
        return None

    def done(self) -> None:
        """See Source: acknowledges the messages."""
        handed, self._handed = self._handed, []
        for delivery in handed:
            self._intake.deliveries.finish(delivery)
        if self._is_behind and self._backlog.is_half_empty:
            self._is_behind = False
            self._intake.renew()

    async def close(self) -> None:
        """See Source. The broker goes on to keep messages; those not done with it hands over again."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._backlog.close()
        self._intake.unsubscribe(self, self._handed + self._backlog.release())
        self._handed = []

    # --- a subscriber of the intake ---------------------------------------------------------------------

    def take(self, message: MQTTMessage, delivery: Delivery | None) -> None:
        """See Subscriber. In the connection's thread."""
        self._heard_at = arrived = monotonic()
        lines = lines_of(bytes(message.payload), self._n_lines, arrived)
        self._n_lines += len(lines)
        if delivery is not None and (not lines or self._is_stalled):
            self._intake.deliveries.finish(delivery)
            delivery = None
        if delivery is not None and delivery.link is self._refusing:
            self._intake.deliveries.abandon(delivery)
        elif lines:
            self._put(lines, delivery)
        if not self._is_waking:
            self._is_waking = True
            self._intake.post(self._awake)

    def _put(self, lines: list[Line], delivery: Delivery | None) -> None:
        n_forgotten, is_refused = self._backlog.put(lines, delivery)
        if n_forgotten:
            text = (
                f"lines come faster than they are decided on: {self.queued} wait, and the oldest are dropped"
            )
            self.note("queue-full", text, n_forgotten)
        if delivery is None or not is_refused:
            return
        self._intake.deliveries.abandon(delivery)
        if self._is_closed:
            self._intake.post(self._intake.leave_unclaimed)
        else:
            self._refusing, self._is_behind = delivery.link, True
            text = (
                f"lines come faster than they are decided on: {self.queued} wait here, the rest at the broker"
            )
            self.note("behind", text)

    def granted(self) -> None:
        """See Subscriber."""
        self._heard_at = monotonic()

    def gone(self) -> None:
        """See Subscriber."""
        self._heard_at = None

    # --- on the event loop ------------------------------------------------------------------------------

    def _awake(self) -> None:
        self._is_waking = False
        self._wake.set()
        self._has_heard = True
        if self._is_silent:
            self._is_silent = False
            self._say(f"messages arrive on topic {self.topic!r} again")

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(min(self._silence_s, STALLED_S) / 4, self._look)

    def _look(self) -> None:
        """Whether nothing comes in, and whether nothing goes out."""
        now = monotonic()
        heard_at = self._heard_at
        silent_s = 0.0 if heard_at is None else now - heard_at
        if silent_s >= self._silence_s and not self._is_silent:
            self._is_silent = True
            self.note("silent", self._silence(silent_s))
        waiting_s = now - self._read_at if self._handed or self.queued else 0.0
        if waiting_s >= STALLED_S and not self._is_stalled and self._intake.is_shared:
            self._stall(waiting_s)
        self._look_later()

    def _silence(self, silent_s: float) -> str:
        if self._has_heard:
            return f"nothing has come on topic {self.topic!r} for {silent_s:.0f} s (does its publisher run?)"
        user = self._intake.identity.options.username
        may = "" if user is None else f", and may user {user!r} read it"
        return f"nothing arrives on topic {self.topic!r} (is the topic right{may}?)"

    def _stall(self, waiting_s: float) -> None:
        self._is_stalled = True
        text = f"nothing was read for {waiting_s:.0f} s: messages on topic {self.topic!r} now wait in memory"
        self.note("not-read", f"{text}, so that the broker goes on to serve other assets")
        for delivery in self._handed + self._backlog.release():
            self._intake.deliveries.finish(delivery)
        self._handed = []


def lines_of(payload: bytes, n_before: int, arrived: float) -> list[Line]:
    """The lines of a message, without empty ones; `n_before` is how many there were before them."""
    lines: list[Line] = []
    for text in payload.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"):
        if text and not text.isspace():
            number = n_before + len(lines) + 1
            lines.append(_line(text.removesuffix("\r"), number, arrived))
    return lines


def _line(text: str, number: int, arrived: float) -> Line:
    if len(text) <= LONGEST_LINE:
        return Line(text, number, arrived)
    problem = f"longer than {LONGEST_LINE} characters, and cut off there"
    return Line(text[:LONGEST_LINE], number, arrived, problem=problem)
