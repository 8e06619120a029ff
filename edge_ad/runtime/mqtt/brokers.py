"""The brokers of an agent, by the names that its configuration gives them."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from edge_ad.errors import ConfigurationError, MissingDependencyError
from edge_ad.runtime.mqtt.identity import Identity, Will
from edge_ad.runtime.mqtt.login import check_secrets
from edge_ad.runtime.mqtt.options import BrokerOptions
from edge_ad.runtime.troubles import Note, Troubles

if TYPE_CHECKING:
    from edge_ad.runtime.mqtt.connection import Connection, Role
    from edge_ad.runtime.mqtt.intake import Intake


class Brokers:
    """Hands out connections: one for all sources of a broker, and one for every sink.

    Every one has a client id of its own: a broker that sees an id twice ends the first connection.
    """

    def __init__(
        self,
        options: Mapping[str, BrokerOptions],
        agent: str,
        troubles: Troubles,
        *,
        first_wait_s: float = 1.0,
    ) -> None:
        """`agent` is its name; `first_wait_s` the pause after the first failure to connect.

        Raises ConfigurationError where a password or certificate that an option names is not there.
        """
        for name, broker in options.items():
            check_secrets(name, broker)
        self.agent = agent
        self._options = dict(options)
        self._troubles = troubles
        self._first_wait_s = first_wait_s
        self._intakes: dict[str, Intake] = {}

    def options(self, name: str) -> BrokerOptions:
        """How to reach the broker called `name`. Raises ConfigurationError where there is none."""
        if name in self._options:
            return self._options[name]
        close = difflib.get_close_matches(name, self._options, 1)
        hint = f" (is it {close[0]!r}?)" if close else ""
        known = ", ".join(self._options) or "none"
        raise ConfigurationError(f"there is no [broker.{name}]{hint}; there are: {known}")

    def intake(self, name: str) -> Intake:
        """The connection that all sources of a broker share.

        Raises ConfigurationError where there is no such broker, MissingDependencyError without paho-mqtt.
        """
        if name not in self._intakes:
            identity = self._identity(name, None, keeps_session=True, will=None)
            need_paho()
            from edge_ad.runtime.mqtt.intake import Intake

            place = f"broker {name}"
            self._intakes[name] = Intake(
                identity,
                note=self._troubles.at(place),
                say=lambda text: self._troubles.over(place, text),
                first_wait_s=self._first_wait_s,
            )
        return self._intakes[name]

    def connection(
        self, name: str, sink: str, will: Will, role: Role, *, note: Note, say: Callable[[str], None]
    ) -> Connection:
        """A connection for the sink called `sink`, which starts and closes it. Raises as `intake` does."""
        identity = self._identity(name, sink, keeps_session=False, will=will)
        need_paho()
        from edge_ad.runtime.mqtt.connection import Connection

        return Connection(identity, role, note=note, say=say, first_wait_s=self._first_wait_s)

    async def close(self) -> None:
        """End the connections of all sources, within a few seconds."""
        intakes = list(self._intakes.values())
        self._intakes.clear()
        await asyncio.gather(*(intake.close() for intake in intakes))

    def _identity(self, name: str, sink: str | None, *, keeps_session: bool, will: Will | None) -> Identity:
        options = self.options(name)
        client_id = options.client_id or f"edge-ad-{self.agent}"
        if sink is not None:
            client_id = f"{client_id}-{sink}"
        return Identity(name, options, client_id, keeps_session, will)


def need_paho() -> None:
    """Raise MissingDependencyError where paho-mqtt is not installed."""
    if find_spec("paho") is None:
        raise MissingDependencyError("MQTT needs paho-mqtt: pip install 'edge-ad[mqtt]'")
