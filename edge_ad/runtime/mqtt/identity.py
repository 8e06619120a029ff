"""Who connects to what."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.runtime.mqtt.options import BrokerOptions


@dataclass(frozen=True)
class Will:
    """What the broker publishes, and keeps for later subscribers, where the connection breaks."""

    topic: str
    payload: str


@dataclass(frozen=True)
class Identity:
    """One client of a broker."""

    name: str
    """Of the broker, as configured."""
    options: BrokerOptions
    client_id: str
    """Unique on the broker."""
    keeps_session: bool
    """Whether the broker is to remember subscriptions and messages while the client is not connected."""
    will: Will | None
