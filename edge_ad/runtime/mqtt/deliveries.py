"""Messages that the broker has handed over and that are not acknowledged yet."""

from __future__ import annotations

import threading

from paho.mqtt.client import MQTTMessage

from edge_ad.runtime.mqtt.link import MOST_UNACKNOWLEDGED, Link


class Delivery:
    """One message, on its way through those who take it. Only `Deliveries` looks inside."""

    __slots__ = ("content", "is_abandoned", "link", "n_takers", "number", "qos")

    def __init__(self, link: Link, message: MQTTMessage, content: int, n_takers: int) -> None:
        self.link = link
        """That the acknowledgement goes to."""
        self.number, self.qos = message.mid, message.qos
        self.content = content
        self.n_takers = n_takers
        """Who are not done with it."""
        self.is_abandoned = False


class Deliveries:
    """Acknowledges a message when everyone who took it is done with it. May be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, Delivery] = {}
        """By the broker's number, which it uses again after the acknowledgement."""
        self._finished: dict[int, int] = {}
        """Content of the newest ones that were acknowledged, by number."""

    def begin(self, link: Link, message: MQTTMessage, n_takers: int) -> Delivery | None:
        """A message came for so many takers; None where they have it, or had it, already.

        That is the case after a connection was lost: over the next one the broker hands over again all whose
        acknowledgement it did not get. What is still at work here is then acknowledged over the new one.
        """
        content = _content(message)
        with self._lock:
            known = self._open.get(message.mid)
            if known is not None and message.dup and known.content == content:
                known.link = link
                return None
            if not message.dup or self._finished.get(message.mid) != content:
                delivery = self._open[message.mid] = Delivery(link, message, content, n_takers)
                return delivery
        link.acknowledge(message.mid, message.qos)
        return None

    def finish(self, delivery: Delivery) -> None:
        """One taker is done with it."""
        with self._lock:
            delivery.n_takers -= 1
            if delivery.n_takers or delivery.is_abandoned:
                return
            self._remove(delivery)
            self._finished.pop(delivery.number, None)
            self._finished[delivery.number] = delivery.content
            if len(self._finished) > MOST_UNACKNOWLEDGED:
                del self._finished[next(iter(self._finished))]
        delivery.link.acknowledge(delivery.number, delivery.qos)

    def abandon(self, delivery: Delivery) -> None:
        """One taker has gone: the broker is to keep the message and hand it over again."""
        with self._lock:
            delivery.is_abandoned = True
            self._remove(delivery)

    def _remove(self, delivery: Delivery) -> None:
        if self._open.get(delivery.number) is delivery:
            del self._open[delivery.number]


def _content(message: MQTTMessage) -> int:
    return hash((message.topic, bytes(message.payload)))
