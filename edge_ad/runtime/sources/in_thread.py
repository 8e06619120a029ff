"""A source made of anything that gives lines one by one and may block meanwhile: for drivers of others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from edge_ad.runtime.sources.source import LONGEST_LINE, MOST_AT_ONCE, Line, SourceContext
from edge_ad.runtime.sources.waiting import Pause

_MOST_HELD = 1024


class BlockingSource:
    """Iterates in a daemon thread over what `make` returns, and hands the lines over to the event loop.

    At most `most_held` lines wait to be read; then the thread waits, too. An exception is noted, and the
    iterable made anew after a while; its normal end is the end of the stream. The first line of each iterable
    counts as the first of a connection.

        def open_source(options: Options, context: SourceContext) -> Source:
            return BlockingSource(lambda: lines_of(options.device), context, name=options.device)
    """

    def __init__(
        self,
        make: Callable[[], Iterable[str]],
        context: SourceContext,
        *,
        name: str,
        wake: Callable[[], None] | None = None,
        most_held: int = _MOST_HELD,
        pause: Pause | None = None,
    ) -> None:
        """`name` is what the log calls it.

        `wake` is called when the source is closed, from the event loop, and should end an iteration that
        waits; without it, the thread ends with the next line, or with the process.
        """
        self._make, self._name, self._wake = make, name, wake
        self._note, self._say = context.note, context.say
        self._most_held = most_held
        self._pause = pause or Pause()
        self._number = 0
        self._is_missed = False
        self._thread: threading.Thread | None = None
        self._condition = threading.Condition()
        """Guards what follows."""
        self._lines: deque[Line] = deque()
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        """Who is to be told of the next line."""
        self._has_ended = False
        self._is_closed = False

    # --- in the event loop --------------------------------------------------------------------------

    async def read(self) -> Sequence[Line]:
        """See Source."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"source {self._name}", daemon=True)
            self._thread.start()
        arrival = asyncio.Event()
        while True:
            with self._condition:
                if self._lines or self._has_ended or self._is_closed:
                    lines = [self._lines.popleft() for _ in range(min(MOST_AT_ONCE, len(self._lines)))]
                    self._condition.notify_all()
                    return lines
                arrival.clear()
                self._waiting = asyncio.get_running_loop(), arrival
            await arrival.wait()

    def position(self) -> str | None:
        """See Source."""
        return None

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        if self._wake is not None:
            self._wake()

    # --- in the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._is_closed:
            try:
                first = True
                for text in self._make():
                    if not self._hand_over(self._line(text, first)):
                        return
                    first = False
            except Exception as error:  # noqa: BLE001  whatever a driver raises
                self._wait_after(error)
            else:
                break
        with self._condition:
            self._has_ended = True
            self._tell()

    def _line(self, text: object, first: bool) -> Line:
        self._number += 1
        arrived = monotonic()
        if not isinstance(text, str):
            return Line("", self._number, arrived, first, f"the source gave {type(text).__name__}, not text")
        if self._is_missed:
            self._say(f"{self._name} gives lines again")
            self._is_missed = False
            self._pause.worked()
        problem: str | None = None
        if len(text) > LONGEST_LINE:
            text, problem = text[:LONGEST_LINE], f"longer than {LONGEST_LINE} characters, the rest is dropped"
        if not text.isascii():  # halves of surrogate pairs, which cannot be written anywhere
            text = text.encode("utf-8", "replace").decode()
        return Line(text.rstrip("\r\n"), self._number, arrived, first, problem)

    def _hand_over(self, line: Line) -> bool:
        """Whether anybody wants more."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_closed or len(self._lines) < self._most_held)
            if self._is_closed:
                return False
            self._lines.append(line)
            self._tell()
        return True

    def _tell(self) -> None:
        if self._waiting is not None:
            loop, arrival = self._waiting
            self._waiting = None
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(arrival.set)

    def _wait_after(self, error: Exception) -> None:
        self._is_missed = True
        wait_s = self._pause.failed()
        text = str(error) or "no reason given"
        self._note(
            "source-failed", f"{self._name}: {type(error).__name__}: {text}; begun anew in {wait_s:.1f} s"
        )
        with self._condition:
            self._condition.wait_for(lambda: self._is_closed, wait_s)
