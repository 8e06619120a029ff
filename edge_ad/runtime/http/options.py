"""`[http]` of the agent's configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_LISTEN = re.compile(r"(\[(?P<v6>[^\[\]]+)\]|(?P<v4>[^:\[\]]+)):(?P<port>[0-9]{1,5})")

MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE; chmod 600 FILE"  # noqa: S105
"""How a person makes a token."""


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    """An IP address."""
    port: int
    """0 for any that is free."""

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return ip_address(self.host).is_loopback

    @property
    def is_v6(self) -> bool:
        """Whether it is an address of IPv6."""
        return ip_address(self.host).version == 6

    @property
    def url(self) -> str:
        """As a person types it, at this machine."""
        address = ip_address(self.host)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}/" if address.version == 6 else f"http://{host}:{self.port}/"


@dataclass(frozen=True)
class HttpOptions:
    """`[http]`: without this table nothing listens."""

    listen: str = "127.0.0.1:8080"
    """IP address and port; IPv6 in brackets. `0.0.0.0:8080` is every address of this machine; other than
    loopback only with a token."""
    token_file: str | None = None
    """File whose only line is what a viewer must know; default: none is asked for."""
    page: bool = True
    """Whether there is a status page."""
    metrics: bool = True
    """Whether there is `/metrics`, for Prometheus."""

    def __post_init__(self) -> None:
        if not self.address.is_loopback and self.token_file is None:
            raise ValueError(
                f"listen = {self.listen!r} is open to the network, so it needs a token that viewers must "
                f"know: make one with {MAKE_TOKEN} and name it in token_file"
            )

    @property
    def address(self) -> Address:
        """`listen`, read. Raises ValueError."""
        match = _LISTEN.fullmatch(self.listen.strip())
        try:
            if match is None:
                raise ValueError("no address and port")
            text, port = match["v6"] or match["v4"], int(match["port"])
            host = ip_address("127.0.0.1" if text == "localhost" else text)
            if (host.version == 6) != (match["v6"] is not None) or port > 65535:
                raise ValueError("not of this form")
        except ValueError as error:
            raise ValueError(
                f"listen must be an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or "
                f"0.0.0.0:8080, not {self.listen!r}"
            ) from error
        return Address(str(host), port)
