"""Lines from a TCP server: a device, a serial server, a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from edge_ad.runtime.sources.source import MOST_AT_ONCE, Line, Source, SourceContext
from edge_ad.runtime.sources.splitter import LineSplitter
from edge_ad.runtime.sources.waiting import Pause, readable

_CHUNK = 1 << 15
_SHORTEST_TIMEOUT_S = 60.0
_PERIODS = 10
_LONGEST_CONNECTING_S = 30.0
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A peer that is gone without a word is found out after a minute, where the options are known."""


@dataclass(frozen=True)
class TcpOptions:
    """Table of a source of kind `tcp`."""

    host: str
    """Name or address (IPv4 or IPv6) of what sends the lines once one connects to it."""
    port: int
    timeout_s: float | None = None
    """Seconds without a byte after which it connects anew; default: 10 sample periods, at least 60."""

    def __post_init__(self) -> None:
        if not self.host or not self.host.isprintable() or any(map(str.isspace, self.host)):
            raise ValueError(f"host {self.host!r} is neither a name nor an address")
        if not 1 <= self.port <= 65535:
            raise ValueError("port must lie between 1 and 65535")
        if self.timeout_s is not None and not 0.1 <= self.timeout_s <= 1e6:
            raise ValueError("timeout_s must lie between 0.1 and 1e6")

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return f"{self.host}:{self.port}"


Options = TcpOptions


def open_source(options: TcpOptions, context: SourceContext) -> Source:
    """The source; it connects when it is read."""
    return TcpLines(options, context)


class TcpLines:
    """Connects, reads lines, and connects again whenever that ends. What is not read, the sender keeps.

    The first line of every connection counts as such; the last one of a connection, if it is cut off, is a
    bad line.
    """

    def __init__(self, options: TcpOptions, context: SourceContext, pause: Pause | None = None) -> None:
        """`pause` tells how long to wait before connecting again."""
        self._host, self._port = options.host, options.port
        shown = f"[{options.host}]" if ":" in options.host else options.host
        self._name = f"{shown}:{options.port}"
        self._timeout_s = options.timeout_s or max(_SHORTEST_TIMEOUT_S, _PERIODS * context.sample_period_s)
        self._note, self._say = context.note, context.say
        self._pause = pause or Pause()
        self._splitter = LineSplitter()
        self._socket: socket.socket | None = None
        self._connecting: asyncio.Task[socket.socket] | None = None
        self._heard = 0.0
        """When there last was a sign of life, by the monotonic clock."""
        self._is_missed = False

    async def read(self) -> Sequence[Line]:
        """See Source."""
        while True:
            if lines := self._splitter.take(MOST_AT_ONCE):
                self._pause.worked()
                return lines
            try:
                data = await self._receive()
            except OSError as error:
                is_silence = isinstance(error, TimeoutError) and not error.errno
                silence = f"nothing came for {self._timeout_s:g} s"
                torn = self._disconnect(silence if is_silence else _reason(error))
            else:
                if data:
                    self._heard = monotonic()
                    self._splitter.push(data, self._heard)
                    await asyncio.sleep(0)  # others have their turn while a line without end comes
                    continue
                torn = self._disconnect("the other side closed the connection")
            if torn is not None:
                return [torn]

    async def _receive(self) -> bytes:
        """What has come; nothing at the end of the connection. Raises OSError, TimeoutError among them.

        Data leave the kernel only after the last wait, so that none are lost where this is cancelled.
        """
        if self._socket is None:
            await self._pause.wait()
            self._socket = await self._connect()
        while True:
            # What came while nobody read is no silence.
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv(_CHUNK)
            async with asyncio.timeout(max(0.0, self._heard + self._timeout_s - monotonic())):
                await readable(self._socket.fileno())

    async def _connect(self) -> socket.socket:
        # A task of its own: who is cancelled while it waits finds it further on, the next time.
        if self._connecting is None:
            self._connecting = asyncio.create_task(_connected(self._host, self._port, self._timeout_s))
        task = self._connecting
        await asyncio.wait([task])
        self._connecting = None
        connection = task.result()
        self._heard = monotonic()
        self._splitter = LineSplitter(self._splitter.number)
        if self._is_missed:
            self._say(f"{self._name} is connected again")
            self._is_missed = False
        return connection

    def _disconnect(self, why: str) -> Line | None:
        """Let go of the connection, and say why; its last line, if that is cut off."""
        what = "cannot be reached" if self._socket is None else "is lost"
        self._is_missed = True
        wait_s = self._pause.failed()
        self._note("disconnected", f"{self._name} {what}: {why}; tried again in {wait_s:.1f} s")
        torn = self._splitter.flush("cut off: the connection ended within it")
        self._let_go()
        return torn

    def position(self) -> str | None:
        """See Source. What was read is gone."""
        return None

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source."""
        task, self._connecting = self._connecting, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                (await task).close()
        self._let_go()

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _reason(error: OSError) -> str:
    # The event loop puts the address into the text; numbers of failed look-ups are below zero.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


async def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError, TimeoutError among them."""
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, type_, protocol, _, address in await _addresses(host, port):
        connection = socket.socket(family, type_ | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        try:
            _keep_alive(connection)
            async with asyncio.timeout(min(timeout_s, _LONGEST_CONNECTING_S)):
                await loop.sock_connect(connection, address)
        except OSError as error:
            failure = OSError("no answer") if isinstance(error, TimeoutError) else error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
        connection.close()
    raise failure or OSError("the name has no address")


async def _addresses(host: str, port: int) -> Sequence[tuple[int, int, int, str, tuple[object, ...]]]:
    kind = socket.SOCK_STREAM
    try:
        return socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name: to look it up may take long, which a thread does
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
