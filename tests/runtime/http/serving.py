"""An HTTP server of the agent in an event loop of its own, and a client to ask it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from edge_ad.runtime.http.options import HttpOptions
from edge_ad.runtime.http.server import HttpServer
from edge_ad.runtime.http.view import AgentView
from tests.runtime.http.fake_agent import FakeAgent

TOKEN = "correct-horse-battery-staple"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """Use it in a `with` statement."""

    def __init__(
        self, view: AgentView | None = None, options: HttpOptions | None = None, *, retry_s: float = 1.0
    ) -> None:
        self.view = view if view is not None else FakeAgent()
        self.options = options or HttpOptions("127.0.0.1:0")
        self.notes: list[tuple[str, str]] = []
        self.said: list[str] = []
        self._retry_s = retry_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="agent")

    def __enter__(self) -> Serving:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.call(self.server.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _start(self) -> None:
        def note(kind: str, text: str, n: int = 1) -> None:
            self.notes.append((kind, text))

        self.server = HttpServer(self.options, self.view, note, self.said.append, retry_s=self._retry_s)
        await self.server.start()

    def call(self, work: Any) -> Any:
        """Run a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def port(self) -> int:
        assert self.server.address is not None, self.notes
        return self.server.address.port

    @property
    def url(self) -> str:
        assert self.server.address is not None, self.notes
        return self.server.address.url

    @property
    def kinds(self) -> list[str]:
        """Of the troubles that were noted."""
        return [kind for kind, _ in self.notes]

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        token: str | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


def wait_until(condition: Callable[[], Any], what: str = "", timeout_s: float = 30) -> Any:
    """Its value, as soon as that is something."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"in vain: {what or condition}"
        time.sleep(0.01)
    return value


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has closed the connection, all that it sent before aside."""
    sock.setblocking(False)
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
