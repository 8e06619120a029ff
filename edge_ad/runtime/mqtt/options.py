"""How to reach a broker: `[broker.NAME]` of the agent's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_LONGEST_EXPIRY_S = 0xFFFFFFFF
"""What MQTT takes for never."""


@dataclass(frozen=True)
class BrokerOptions:
    """A broker.

    With any of `tls`, `ca_file` and `cert_file` the connection is encrypted, and the broker's certificate is
    checked, host name included; nothing switches that off.
    """

    host: str
    """Name or address."""
    port: int | None = None
    """Default: 1883, and 8883 with TLS."""
    protocol: Literal["5", "3.1.1"] = "5"
    """MQTT version."""
    username: str | None = None
    password_file: str | None = None
    """File whose first line is the password. Without TLS it travels in the clear."""
    tls: bool = False
    ca_file: str | None = None
    """PEM file of the authority that signed the broker's certificate; default: those the system trusts."""
    cert_file: str | None = None
    """PEM file of the certificate that this agent shows to the broker."""
    key_file: str | None = None
    """Its private key, without passphrase; default: it is in `cert_file`."""
    client_id: str | None = None
    """Unique on the broker; default: `edge-ad-` and the agent's name. Every sink adds its name."""
    keepalive_s: int = 30
    """A broker that has not answered for twice as long counts as gone."""
    session_expiry_s: int = 86_400
    """How long the broker keeps what arrives for the agent while that is down. With MQTT 3.1.1 the broker's
    own configuration decides."""

    def __post_init__(self) -> None:
        if not self.host or any(character.isspace() for character in self.host):
            raise ValueError(f"host {self.host!r} must be a host name or an address")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError("port must lie between 1 and 65535")
        if self.password_file is not None and not self.username:
            raise ValueError("password_file needs a username")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs a cert_file")
        if self.client_id is not None and not 1 <= len(self.client_id) <= 200:
            raise ValueError("client_id must have 1 to 200 characters")
        if not 2 <= self.keepalive_s <= 3600:
            raise ValueError("keepalive_s must lie between 2 and 3600")
        if not 0 <= self.session_expiry_s <= _LONGEST_EXPIRY_S:
            raise ValueError(f"session_expiry_s must lie between 0 and {_LONGEST_EXPIRY_S}")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.tls or self.ca_file is not None or self.cert_file is not None

    @property
    def port_used(self) -> int:
        """The port, or the usual one."""
        return self.port or (8883 if self.uses_tls else 1883)

    @property
    def address(self) -> str:
        """As people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port_used}"
