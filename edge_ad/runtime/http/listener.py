"""waitress, held to what a small machine can bear: slow, silent and greedy viewers give way to others.

Loaded only where `[http]` is configured.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from waitress.adjustments import Adjustments  # type: ignore[import-untyped, unused-ignore]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped, unused-ignore]
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped, unused-ignore]
from waitress.task import (  # type: ignore[import-untyped, unused-ignore]
    ErrorTask,
    ThreadedTaskDispatcher,
    WSGITask,
)
from waitress.wasyncore import close_all, loop  # type: ignore[import-untyped, unused-ignore]

from edge_ad.runtime.http.message import SECURITY
from edge_ad.runtime.troubles import Note
from edge_ad.text import printable

THREADS = 2
"""Requests that are answered at the same time."""
MOST_CONNECTIONS = 100
LONGEST_HEADER = 16384
"""Bytes."""
LONGEST_BODY = 4096
RECEIVE_S = 10.0
"""How long a viewer may take to ask."""
SEND_S = 30.0
"""How long it may take to accept an answer."""
IDLE_S = 60.0
"""How long it may stay connected and ask nothing more."""
_CLOSE_S = 5.0

_FULL = "connection limit"
"""Is in what waitress says of it, too."""
_LIMITS = {"receiving": RECEIVE_S, "sending": SEND_S, "idle": IDLE_S}


class Listener:
    """Serves an application on a socket until it is stopped."""

    def __init__(self, sock: socket.socket, app: Callable[..., Any], note: Note) -> None:
        """`sock` is bound and not yet listening; from here on it belongs to the listener."""
        logger = _logger(note)
        adjustments = Adjustments(
            sockets=[sock],
            threads=THREADS,
            ident=None,
            backlog=64,
            # the listening socket and a pipe count too
            connection_limit=MOST_CONNECTIONS + 2,
            max_request_header_size=LONGEST_HEADER,
            max_request_body_size=LONGEST_BODY,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
            asyncore_use_poll=True,
        )
        self._note = note
        self._dispatcher = _Threads(logger)
        self._server = _server_class(logger)(
            app,
            {},
            True,
            sock,
            dispatcher=self._dispatcher,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._ended: Callable[[], object] = lambda: None
        self._lock = threading.Lock()
        self._is_closed = False

    def start(self, ended: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Begin to serve; `ended` is called in the event loop when that is over, whyever."""
        self._ended = lambda: loop.call_soon_threadsafe(ended)
        self._dispatcher.set_thread_count(THREADS)
        self._thread.start()

    def stop(self) -> None:
        """End it, connections that are open included."""
        with self._lock:
            if not self._is_closed:
                self._server.is_stopping = True
                self._server.pull_trigger()

    def join(self) -> None:
        """Wait for the threads; call it once `ended` was called."""
        self._thread.join()
        self._dispatcher.join()

    def _run(self) -> None:
        try:
            self._server.run()
        except Exception as error:  # noqa: BLE001  whatever it is, the port is opened anew
            self._note("http-ended", f"serving viewers ended: {error!r}; it is begun anew")
        # first the threads, which may write to what is closed then
        self._dispatcher.shutdown(timeout=_CLOSE_S)
        with self._lock:
            self._is_closed = True
            close_all(self._server._map, ignore_all=True)
        self._ended()


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc, unused-ignore]
    """Threads that can be waited for."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.logger = logger
        self.queue_logger = _silent()  # that requests wait for a moment is no trouble
        self._started: list[threading.Thread] = []

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """As waitress asks for it."""
        thread = threading.Thread(target=target, name=f"http-{thread_no}", args=(thread_no,), daemon=True)
        self._started.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for them; after `shutdown`."""
        for thread in self._started:
            thread.join(_CLOSE_S)


def _server_class(logger_: logging.Logger) -> Any:
    """The server of waitress, with limits of its own and a logger of ours all through it."""

    class Answer(WSGITask):  # type: ignore[misc, unused-ignore]
        logger = logger_

    class Refusal(ErrorTask):  # type: ignore[misc, unused-ignore]
        logger = logger_

        def execute(self) -> None:
            self.response_headers.extend(SECURITY)
            super().execute()

    class Channel(_Channel):
        logger = logger_
        task_class = Answer
        error_task_class = Refusal

    class Server(_Server):
        logger = logger_
        channel_class = Channel

    return Server


class _Channel(HTTPChannel):  # type: ignore[misc, unused-ignore]
    """A connection that may be slow, but not for ever.

    waitress ends connections that are silent. One that sends a byte now and then would stay.
    """

    asked = 0
    """Requests so far."""
    _asked_ahead = False
    _known: tuple[str, int] | None = None
    _since = 0.0

    def received(self, data: bytes) -> bool:
        """Take in what was sent."""
        result: bool = super().received(data)
        with self.requests_lock:
            if len(self.requests) > 1:
                # No browser asks on before it has its answer. The answers of one who does, and reads none of
                # them, would pile up here, and then hold up the thread that makes them.
                del self.requests[1:]
                self._asked_ahead = True
        return result

    def service(self) -> None:
        """Answer a request, in one of the threads."""
        self.asked += 1
        super().service()
        if self._asked_ahead:
            self.close_when_flushed = True
            self.server.pull_trigger()

    def age_s(self, now: float) -> tuple[str, float]:
        """What it is doing, and for how long."""
        known = self._doing(), self.asked
        if known != self._known:
            self._known, self._since = known, now
        return known[0], now - self._since

    def _doing(self) -> str:
        if self.requests:
            return "answered"
        if self.total_outbufs_len:
            return "sending"
        # one that was opened in advance, as browsers do, has asked nothing and is receiving too
        return "receiving" if self.request is not None or not self.asked else "idle"


class _Server(TcpWSGIServer):  # type: ignore[misc, unused-ignore]
    """Ends connections that are too slow, and when all are taken those that wait the longest."""

    is_stopping = False
    _looked = 0.0

    def run(self) -> None:
        """Serve, until it is to stop."""
        while not self.is_stopping:
            # Between two rounds, in which a number of a closed connection could be that of a new one already.
            now = time.monotonic()
            is_full = len(self._map) >= self.adj.connection_limit
            if is_full or now - self._looked >= 1.0:
                self._looked = now
                self._end_slow_ones(now, is_full=is_full)
            loop(timeout=1.0, use_poll=True, map=self._map, count=1)

    def _end_slow_ones(self, now: float, *, is_full: bool) -> None:
        waiting = []
        for channel in list(self.active_channels.values()):
            doing, age_s = channel.age_s(now)
            if age_s > _LIMITS.get(doing, age_s):
                # not by `will_close`: that waits until the viewer reads what is left
                channel.handle_close()
                is_full = False
            elif doing in ("receiving", "idle"):
                # those first that never asked for anything
                waiting.append((channel.asked == 0, age_s, channel))
        if is_full and waiting:
            self.logger.warning(_FULL)
            max(waiting, key=lambda entry: entry[:2])[2].handle_close()


class _ToNote(logging.Handler):
    """What waitress would log is trouble of the agent's."""

    def __init__(self, note: Note) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it in one line."""
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        if _FULL in text:
            limit = (
                f"all {MOST_CONNECTIONS} connections for viewers are taken; the one silent longest is closed"
            )
            self._note("many-connections", limit)
        else:
            self._note("http-error", f"{printable(text)}; viewers can ask again")


def _logger(note: Note) -> logging.Logger:
    """Outside of the tree of loggers, so that it changes nothing for the rest of the process."""
    logger = logging.Logger("edge_ad http", logging.WARNING)
    logger.addHandler(_ToNote(note))
    return logger


def _silent() -> logging.Logger:
    logger = logging.Logger("edge_ad http queue")
    logger.addHandler(logging.NullHandler())
    return logger
