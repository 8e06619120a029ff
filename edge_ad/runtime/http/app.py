"""What is at which path: the WSGI application (PEP 3333) that any server of threads can run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from edge_ad.runtime.http.auth import Gate, is_this_machine
from edge_ad.runtime.http.message import HTML, JSON, PLAIN, Request, Response, plain
from edge_ad.runtime.http.metrics import CONTENT_TYPE, exposition
from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.http.status import Status, UnavailableError, tail, to_json
from edge_ad.runtime.troubles import Note

_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", HTML),
    "/login": ("login.html", HTML),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
}
_FOR_ALL = ("/style.css",)
"""What the login form needs; it tells nothing."""
_HISTORY = ("/api/assets/", "/history")
_MESSAGE = b"<!-- message -->"
"""In the login form."""


class App:
    """Answers requests. Only reads: there is nothing here that changes what the agent does."""

    def __init__(self, options: HttpOptions, gate: Gate | None, status: Status, note: Note) -> None:
        """`gate` is None where no token is asked for."""
        self._metrics = options.metrics
        self._only_this_machine = options.address.is_loopback
        self._gate = gate
        self._status = status
        self._note = note
        self._files: dict[str, tuple[Response, Response]] = {}
        """As they are and packed: read once, so that no request leads to any other file."""
        if options.page:
            for path, (name, content_type) in _FILES.items():
                response = Response(200, (_PAGE / name).read_bytes(), content_type)
                self._files[path] = response, response.packed()
        login = self._files.pop("/login", None)
        self._login = None if login is None else login[0]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request, as WSGI wants it."""
        request = Request.of(environ)
        response = self.answer(request)
        start_response(response.status_line, response.all_headers())
        return [] if request.method == "HEAD" else [response.body]

    def answer(self, request: Request) -> Response:
        """The response to a request."""
        if self._only_this_machine and not is_this_machine(request.host):
            self._note("foreign-host", f"a request from {request.peer} for another host was refused")
            return plain(403, "This agent answers this machine only, by the names localhost and 127.0.0.1.")
        if request.path == "/login" and self._gate is not None and self._login is not None:
            return self._log_in(self._gate, request)
        if request.method not in ("GET", "HEAD"):
            return plain(405, "There is nothing to change here.", ("Allow", "GET, HEAD"))
        if request.path == "/healthz":
            return plain(200, "ok")
        if self._gate is not None and request.path not in _FOR_ALL:
            refusal = self._refusal(self._gate, request)
            if refusal is not None:
                return refusal
        try:
            return self._show(request)
        except UnavailableError:
            self._note("no-answer", "the agent was too busy to answer a viewer, who asks again")
            return plain(503, "The agent does not answer in time.", ("Retry-After", "1"))

    def _show(self, request: Request) -> Response:
        path, packed = request.path, request.accepts_gzip
        if path in self._files:
            return self._files[path][packed]
        if path == "/api/status":
            return self._status.status(packed=packed)
        if path == "/metrics" and self._metrics:
            response = Response(200, exposition(self._status.snapshot()), CONTENT_TYPE)
            return response.packed() if packed else response
        before, after = _HISTORY
        if path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after):
            response = self._history(path[len(before) : -len(after)], request.query)
            return response.packed() if packed else response
        return plain(404, "There is nothing at this path.")

    def _history(self, asset: str, query: str) -> Response:
        try:
            fields = parse_qs(query, max_num_fields=8)
            since, points = (fields.get(name, [None])[-1] for name in ("since", "points"))
            after = None if since is None else float(since)
            most = None if points is None else int(points)
            if (after is not None and not math.isfinite(after)) or (most is not None and most < 1):
                raise ValueError
        except ValueError:
            return plain(400, "?since= takes a time of the history, ?points= a number above 0.")
        history = self._status.history(asset)
        if history is None:
            return plain(404, "There is no such asset.")
        return Response(200, to_json(tail(history, after, most)), JSON)

    def _refusal(self, gate: Gate, request: Request) -> Response | None:
        if request.path == "/" and self._login is not None and not request.authorization:
            # somebody opens the page: asked for the token, which is no trouble
            return None if gate.has_session(request) else self._login_form(401)
        return gate.refusal(request)

    def _log_in(self, gate: Gate, request: Request) -> Response:
        # relative, since a proxy in front may show the agent below a path of its own
        to_page = ("Location", "./")
        if request.method in ("GET", "HEAD"):
            return Response(303, b"", PLAIN, (to_page,))
        if request.method != "POST":
            return plain(405, "POST logs in.", ("Allow", "GET, HEAD, POST"))
        refusal = gate.log_in(request)
        if refusal is None:
            return Response(303, b"", PLAIN, (to_page, gate.session()))
        return self._login_form(refusal.status, refusal.body, refusal.headers)

    def _login_form(
        self, status: int, message: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        form = b"" if self._login is None else self._login.body
        text = b'<p role="alert" class="warn">%s</p>' % message.strip() if message else b""
        return Response(status, form.replace(_MESSAGE, text), HTML, headers)
