"""The agent's HTTP server: opened as soon as it can be, for as long as the agent runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_ad.errors import MissingDependencyError
from edge_ad.runtime.http import metrics
from edge_ad.runtime.http.app import App
from edge_ad.runtime.http.auth import Gate, read_token
from edge_ad.runtime.http.options import Address, HttpOptions
from edge_ad.runtime.http.status import Status
from edge_ad.runtime.http.view import AgentView
from edge_ad.runtime.troubles import Note

if TYPE_CHECKING:
    from edge_ad.runtime.http.listener import Listener

RETRY_AT_MOST_S = 30.0


class HttpServer:
    """Shows an agent to viewers. An address that cannot be listened on is tried again, and stops no agent."""

    def __init__(
        self,
        options: HttpOptions,
        view: AgentView,
        note: Note,
        say: Callable[[str], None],
        *,
        retry_s: float = 1.0,
    ) -> None:
        """`note` and `say` are called from several threads; `retry_s` is the first wait, doubled each time.

        Raises ConfigurationError for a token that cannot be used, MissingDependencyError.
        """
        if importlib.util.find_spec("waitress") is None:
            raise MissingDependencyError("[http] needs waitress: pip install 'edge-ad[http,prometheus]'")
        if options.metrics:
            metrics.check_installed()
        self._gate = None
        if options.token_file is not None:
            self._gate = Gate(read_token(Path(options.token_file), note), note)
        self._options = options
        self._view = view
        self._note = note
        self._say = say
        self._retry_s = retry_s
        self._task: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._ended = asyncio.Event()
        """Whether the listener is done."""
        self.address: Address | None = None
        """Where it listens; None while it does not."""

    async def start(self) -> None:
        """Begin to listen, or to try to. Returns at once."""
        status = Status(self._view, asyncio.get_running_loop())
        app = App(self._options, self._gate, status, self._note)
        self._listen(app)
        self._task = asyncio.create_task(self._keep_listening(app))

    async def close(self) -> None:
        """Let go of the port and of all viewers, within seconds."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._listener is not None:
            self._listener.stop()
            await self._let_go()

    async def _keep_listening(self, app: App) -> None:
        wait_s = self._retry_s
        while True:
            if self._listener is not None:
                await self._let_go()  # which it does not do by itself, unless something is badly wrong
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_AT_MOST_S)
            if self._listen(app):
                self._say(f"listening on {self._options.listen} at last")
                wait_s = self._retry_s

    async def _let_go(self) -> None:
        await self._ended.wait()
        if self._listener is not None:
            self._listener.join()
        self._listener = self.address = None

    def _listen(self, app: App) -> bool:
        sock = self._open()
        if sock is None:
            return False
        from edge_ad.runtime.http.listener import Listener

        loop = asyncio.get_running_loop()
        host, port, *_ = sock.getsockname()
        self._ended.clear()
        self._listener = Listener(sock, app, self._note)
        self._listener.start(self._ended.set, loop)
        self.address = Address(str(host), int(port))
        return True

    def _open(self) -> socket.socket | None:
        """A socket bound to the address; None, and a note, where that cannot be."""
        address = self._options.address
        try:
            sock = socket.socket(socket.AF_INET6 if address.is_v6 else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            self._note("http-port", self._why(error))
            return None
        try:
            # after a restart the port is free again at once
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if address.is_v6:
                # [::] is every address of this machine, those of IPv4 among them
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(socket.getaddrinfo(address.host, address.port, sock.family, sock.type)[0][4])
            sock.listen()
        except OSError as error:
            sock.close()
            self._note("http-port", self._why(error))
            return None
        return sock

    def _why(self, error: OSError) -> str:
        address = self._options.address
        again = f"tried again every {RETRY_AT_MOST_S:.0f} s at least; the agent runs on without its page"
        if error.errno == errno.EADDRINUSE:
            return (
                f"port {address.port} on {address.host} is taken; {again}. `ss -ltnp` shows by whom, "
                "[http] listen = … chooses another"
            )
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{address.host} is no address of this machine now; {again}"
        if error.errno == errno.EACCES:
            return f"port {address.port} is for privileged programs; {again}. Ports above 1023 are for all"
        return f"cannot listen on {self._options.listen}: {error.strerror or error}; {again}"
