"""Standard input as a source: a pipe, a terminal, or a file that the shell opened."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from edge_ad.errors import ConfigurationError
from edge_ad.runtime.sources.source import MOST_AT_ONCE, Line, Source, SourceContext
from edge_ad.runtime.sources.splitter import LineSplitter
from edge_ad.runtime.sources.waiting import readable

_CHUNK = 1 << 15


@dataclass(frozen=True)
class StdinOptions:
    """Table of a source of kind `stdin`: it has no other keys. One asset of an agent can have it."""


Options = StdinOptions


def open_source(options: StdinOptions, context: SourceContext) -> Source:
    """The source. Raises ConfigurationError where the process was started without standard input."""
    try:
        if sys.__stdin__ is None:  # whatever has its number by now
            raise ValueError
        return StandardInput(context, sys.__stdin__.fileno())
    except (OSError, ValueError) as error:
        raise ConfigurationError("there is no standard input to read: it is closed") from error


class StandardInput:
    """Reads a descriptor until its end, which is the end of the stream.

    The descriptor may be shared with other processes, and stays as it is: it is not closed, nor made one that
    does not block. As in `edge-ad run -`, a last line needs no line end.
    """

    def __init__(self, context: SourceContext, descriptor: int) -> None:
        """Raises OSError for what is no open descriptor."""
        self._descriptor = descriptor
        # One cannot wait for a file, and need not.
        self._waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._note = context.note
        self._splitter = LineSplitter()
        self._has_ended = False

    async def read(self) -> Sequence[Line]:
        """See Source. Lines of a file are not timed."""
        while True:
            if lines := self._splitter.take(MOST_AT_ONCE):
                return lines
            if self._has_ended:
                return []
            await self._ready()
            try:
                data = os.read(self._descriptor, _CHUNK)
            except OSError as error:  # the terminal is gone
                self._note("stdin-lost", f"standard input cannot be read any more: {error.strerror}")
                data = b""
            if data:
                self._splitter.push(data, monotonic() if self._waits else None)
                continue
            self._has_ended = True
            last = self._splitter.flush(None)
            return [] if last is None else [last]

    async def _ready(self) -> None:
        if self._waits:
            try:
                await readable(self._descriptor)
            except PermissionError:  # /dev/null and other devices
                self._waits = False
        else:
            await asyncio.sleep(0)

    def position(self) -> str | None:
        """See Source. There is no second try."""
        return None

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source."""
        self._has_ended = True
