"""Requests and responses, apart from how they travel."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

PLAIN = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"

SECURITY = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
"""Sent with every response."""
_WORTH_PACKING = 2048
"""Bytes."""
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))")


@dataclass(frozen=True)
class Request:
    """What a viewer asks for."""

    method: str
    path: str
    """Percent signs decoded; starts with a slash."""
    query: str
    peer: str
    """Address that it came from."""
    host: str | None
    """As the viewer named this server."""
    authorization: str
    cookie: str
    accepts_gzip: bool
    body: bytes

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Request:
        """From what WSGI (PEP 3333) hands over. The body is in memory already, and short."""
        length = environ.get("CONTENT_LENGTH") or "0"
        return cls(
            method=environ["REQUEST_METHOD"],
            path=environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace"),
            query=environ.get("QUERY_STRING", ""),
            peer=environ.get("REMOTE_ADDR", ""),
            host=environ.get("HTTP_HOST"),
            authorization=environ.get("HTTP_AUTHORIZATION", ""),
            cookie=environ.get("HTTP_COOKIE", ""),
            accepts_gzip=_GZIP.search(environ.get("HTTP_ACCEPT_ENCODING", "")) is not None,
            body=environ["wsgi.input"].read(int(length)) if length.isdigit() and int(length) else b"",
        )


@dataclass(frozen=True)
class Response:
    """What a viewer gets."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    """Besides those that every response has."""

    @property
    def status_line(self) -> str:
        """Such as `200 OK`."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def all_headers(self) -> list[tuple[str, str]]:
        """With those that every response has."""
        length = ("Content-Length", str(len(self.body)))
        return [("Content-Type", self.content_type), length, *self.headers, *SECURITY]

    def packed(self) -> Response:
        """As gzip (RFC 1952), fast rather than small; unchanged where that is not worth it."""
        if len(self.body) < _WORTH_PACKING:
            return self
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(self.body) + packer.flush()
        return replace(self, body=body, headers=(*self.headers, ("Content-Encoding", "gzip")))


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """A sentence for whoever reads responses."""
    return Response(status, f"{text}\n".encode(errors="replace"), PLAIN, headers)
