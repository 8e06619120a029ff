"""An agent's view of a broker in a test, and what else happens there."""

from __future__ import annotations

import asyncio
import functools
import json
import time

import pytest

from edge_ad.runtime.mqtt.brokers import Brokers
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.sinks.mqtt import MqttSinkOptions, open_sink
from edge_ad.runtime.sinks.sink import SinkContext
from edge_ad.runtime.sources.mqtt import MqttSourceOptions, open_source
from edge_ad.runtime.sources.source import SourceContext
from edge_ad.runtime.troubles import Troubles
from tests.runtime.mqtt.broker import WITHIN_S


def on_loop(test):
    """Run an asynchronous test."""

    @functools.wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


async def until(condition, what: str = "") -> None:
    """Wait for something to become true; fails after a long time."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"has not happened: {what or condition}")
        await asyncio.sleep(0.01)


class Log:
    """What was noted and said, of every place."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.troubles = Troubles(self.lines.append)

    def has(self, *parts: str) -> bool:
        return any(all(part in line for part in parts) for line in self.lines)

    def count(self, kind: str) -> int:
        return sum(n for (_, its_kind), n in self.troubles.counts().items() if its_kind == kind)


class Plant:
    """Sources and sinks of one agent at one broker, closed at the end."""

    def __init__(
        self, port: int, protocol: str = "5", agent: str = "agent", log: Log | None = None, **options
    ):
        self.log = log or Log()
        self.broker = BrokerOptions(**{"host": "127.0.0.1", "port": port, "protocol": protocol, **options})
        self.agent = agent
        self.brokers = Brokers({"plant": self.broker}, agent, self.log.troubles, first_wait_s=0.05)
        self._open = []

    def source(self, topic: str, asset: str = "pump", period_s: float = 1.0, **options):
        note = self.log.troubles.at(asset)
        context = SourceContext(asset, period_s, None, note, lambda text: self.log.troubles.say(asset, text))
        source = open_source(MqttSourceOptions("plant", topic, **options), context, self.brokers)
        self._open.append(source)
        return source

    async def subscribed(self, topic: str, asset: str = "pump", **options):
        """A source whose subscription the broker has granted."""
        source = self.source(topic, asset, **options)
        await until(lambda: source.is_subscribed, f"{topic} is granted")
        return source

    async def sink(self, name: str = "plant", **options):
        note = self.log.troubles.at(name)
        context = SinkContext(self.agent, name, note, lambda text: self.log.troubles.say(name, text))
        sink = open_sink(MqttSinkOptions("plant", **options), context, self.brokers)
        self._open.append(sink)
        await sink.start()
        return sink

    async def __aenter__(self) -> Plant:
        return self

    async def __aexit__(self, *exception) -> None:
        for part in self._open:
            await part.close()
        await self.brokers.close()


async def lines_of(source, n: int) -> list[str]:
    """The next `n` lines, acknowledged."""
    found: list[str] = []
    while len(found) < n:
        found += [line.text for line in await asyncio.wait_for(source.read(), WITHIN_S)]
        source.done()
    return found


class Friend:
    """Somebody else on the broker: paho-mqtt used plainly."""

    def __init__(self, port: int, username: str | None = None, password: str | None = None) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, str, bool]] = []
        """Topic, payload, retained."""
        self._subscribed = 0
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, client, data, message) -> None:
        self.got.append((message.topic, message.payload.decode(), message.retain))

    def _on_subscribe(self, *arguments) -> None:
        self._subscribed += 1

    def subscribe(self, *topics: str) -> Friend:
        wanted = self._subscribed + len(topics)
        deadline = time.monotonic() + WITHIN_S
        for topic in topics:
            while self._client.subscribe(topic, 1)[0]:  # not connected yet
                assert time.monotonic() < deadline
                time.sleep(0.01)
        while self._subscribed < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def publish(self, topic: str, payload: str | bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain).wait_for_publish(WITHIN_S)

    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.got]

    def payloads(self, topic: str) -> list[str]:
        return [payload for its_topic, payload, _ in self.got if its_topic == topic]

    def records(self, topic: str) -> list[dict]:
        return [json.loads(payload) for payload in self.payloads(topic)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client = None

    def __enter__(self) -> Friend:
        return self

    def __exit__(self, *exception) -> None:
        self.close()
