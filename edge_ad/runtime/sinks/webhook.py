"""Every event, posted to a web address: sinks of the kind `webhook`."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from edge_ad import __version__
from edge_ad.errors import ConfigurationError
from edge_ad.runtime.events import Event
from edge_ad.runtime.sinks.one_thread import OneThread
from edge_ad.runtime.sinks.sink import DeliveryError, EventSink, SinkContext
from edge_ad.text import printable

_NEVER = (400, 413, 415, 422)
"""Answers that say of this very event that it will not be taken."""
_LONGEST_PAUSE_S = 300.0
_EXCERPT = 300
"""Bytes of an answer that are read."""
_CLOSE_WITHIN_S = 3.0
_OWN = {"host", "connection", "content-length", "transfer-encoding", "idempotency-key"}


@dataclass(frozen=True)
class WebhookOptions:
    """`kind = "webhook"`: where events are posted to, and how."""

    url: str
    """Address that takes a POST, `http://` or `https://`."""
    token_file: str | None = None
    """File with a token, which is sent as `Authorization: Bearer TOKEN`; read at every delivery."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers."""
    timeout_s: float = 10.0
    """Seconds for a whole exchange."""
    ca_file: str | None = None
    """Certificates (PEM) that sign the server's; default: those of the system."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must begin with http:// or https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must hold no password: put a token into token_file")
        if not re.fullmatch(r"[!-~]+", self.url) or parts.fragment:
            raise ValueError("url has characters that must be percent-encoded, or a fragment (#…)")
        _ = parts.port  # raises ValueError
        if not 0.1 <= self.timeout_s <= 300:
            raise ValueError("timeout_s must lie between 0.1 and 300")
        if self.ca_file is not None and parts.scheme == "http":
            raise ValueError("ca_file needs a url with https://")
        for name, text in self.headers.items():
            if name.lower() == "authorization":
                raise ValueError("the header Authorization is a secret: put its token into token_file")
            if name.lower() in _OWN:
                raise ValueError(f"the header {name} is set by edge-ad")
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise ValueError(f"{name!r} cannot be the name of a header")
            if not re.fullmatch(r"[ -~]*", text):
                raise ValueError(f"the header {name} must be printable ASCII")


Options = WebhookOptions


def open_sink(options: WebhookOptions, context: SinkContext) -> Webhook:
    """The sink. Raises ConfigurationError for a token or certificate file that cannot be used."""
    return Webhook(options, context.say)


@dataclass(frozen=True)
class _Answer:
    """What the server said."""

    status: int
    reason: str
    location: str | None
    retry_after: str | None
    text: str


class Webhook(EventSink):
    """Posts `Event.body` as JSON, with the event's id as `Idempotency-Key`: it may come more than once.

    Any answer of 2xx says that it was taken. Redirects are not followed, nor are proxies asked. Where the
    server names a time in `Retry-After`, it is left alone for so long, five minutes at most.
    """

    def __init__(self, options: WebhookOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._parts = urlsplit(options.url)
        self._where = _shown(self._parts)
        self._tls = _tls(options) if self._parts.scheme == "https" else None
        self._thread = OneThread("webhook")
        self._connection: http.client.HTTPConnection | None = None
        """Of the exchange that is under way."""
        self._not_before = 0.0
        self.longest_s = options.timeout_s + 5
        if options.token_file is not None:
            _token(options.token_file)
            if self._tls is None and not _is_here(self._parts.hostname or ""):
                say(f"the token goes to {self._where} unencrypted; https:// would protect it")

    async def deliver(self, event: Event) -> None:
        """Post it."""
        left = self._not_before - monotonic()
        if left > 0:
            raise DeliveryError(f"{self._where} has asked to be left alone for {left:.0f} s more")
        headers = self._headers(event)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                answer = await self._thread.run(
                    partial(self._post, event.body.encode(errors="replace"), headers)
                )
        except TimeoutError as error:
            self._break_off()
            raise DeliveryError(f"{self._where}: no answer within {self._options.timeout_s:g} s") from error
        except asyncio.CancelledError:
            self._break_off()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DeliveryError(f"{self._where}: {_spoken(error, self._parts)}") from error
        self._judge(answer)

    async def close(self) -> None:
        """Break off what is under way."""
        self._break_off()
        await self._thread.close(lambda: None, _CLOSE_WITHIN_S)

    def _headers(self, event: Event) -> dict[str, str]:
        own = {"User-Agent": f"edge-ad/{__version__}", "Content-Type": "application/json"}
        given = {name.lower() for name in self._options.headers}
        headers = {name: text for name, text in own.items() if name.lower() not in given}
        headers |= {**self._options.headers, "Idempotency-Key": event.id, "Connection": "close"}
        if self._options.token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {_token(self._options.token_file)}"
            except ConfigurationError as error:
                raise DeliveryError(str(error)) from error
        return headers

    def _post(self, body: bytes, headers: dict[str, str]) -> _Answer:
        parts, timeout = self._parts, self._options.timeout_s
        host = parts.hostname or ""
        if self._tls is None:
            connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
        else:
            connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=self._tls)
        self._connection = connection
        with contextlib.closing(connection):
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, headers)
            with connection.getresponse() as response:
                text = response.read(_EXCERPT) if response.status >= 300 else b""
                get = response.headers.get
                return _Answer(
                    response.status,
                    response.reason,
                    get("Location"),
                    get("Retry-After"),
                    text.decode(errors="replace"),
                )

    def _break_off(self) -> None:
        """Have the thread that waits for the server wake up."""
        connection = self._connection
        if connection is not None and isinstance(connection.sock, socket.socket):
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _judge(self, answer: _Answer) -> None:
        if 200 <= answer.status < 300:
            return
        if answer.retry_after is not None:
            self._not_before = monotonic() + min(_seconds(answer.retry_after), _LONGEST_PAUSE_S)
        said = printable(f"{self._where} says {answer.status} {answer.reason}".rstrip())
        if 300 <= answer.status < 400:
            target = "" if answer.location is None else f" to {_target(answer.location)}"
            raise DeliveryError(
                f"{said}: it redirects{target}, which is not followed; set url to the right address"
            )
        advice = {
            401: "check token_file",
            403: "check token_file, and what its token may do",
            404: "check the path in url",
            405: "it takes no POST; check url",
        }.get(answer.status)
        if advice is None:
            advice = printable(" ".join(answer.text.split()))
        raise DeliveryError(said + (f": {advice}" if advice else ""), hopeless=answer.status in _NEVER)


def _tls(options: WebhookOptions) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{options.ca_file} has no certificates in PEM form") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read ca_file {options.ca_file}: {error.strerror}") from error


def _token(path: str) -> str:
    """Raises ConfigurationError."""
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read token_file {path}: {error.strerror}; the agent's account must be able to"
        ) from error
    except ValueError:
        text = ""
    if not re.fullmatch(r"[!-~]+", text):
        raise ConfigurationError(f"token_file {path} must hold one line with a token, and no spaces in it")
    return text


def _shown(parts: SplitResult) -> str:
    """An address without what may be secret in it."""
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _target(location: str) -> str:
    try:
        return _shown(urlsplit(location))
    except ValueError:
        return "an address that is none"


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _seconds(retry_after: str) -> float:
    """Of a `Retry-After`, which is a number of seconds or a date (RFC 9110); 0 for what is neither."""
    if re.fullmatch(r"\d{1,9}", retry_after):
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _spoken(error: Exception, parts: SplitResult) -> str:
    """What went wrong on the way, and what to look at."""
    host = parts.hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}): the host in url must be the one in "
            "it, and ca_file must name who signed it"
        )
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection ({error.reason or error.strerror}); does it speak https on that port?"
    if isinstance(error, socket.gaierror):
        return f"the name {host} is unknown ({error.strerror}); check url, and the machine's DNS"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; does the server run, on that port?"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, http.client.HTTPException):
        return f"that was no HTTP answer ({printable(repr(error))[:100]}); is it http or https?"
    if isinstance(error, OSError):
        return error.strerror or str(error) or repr(error)
    return printable(str(error))
