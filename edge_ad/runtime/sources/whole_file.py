"""A file that is read to its end, which is the end of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_ad.runtime.sources.regular_file import (
    REWRITTEN,
    RegularFile,
    RewrittenError,
    check_path,
    parsed_mark,
    said,
)
from edge_ad.runtime.sources.source import Line, Source, SourceContext
from edge_ad.runtime.sources.waiting import Pause


@dataclass(frozen=True)
class FileOptions:
    """Table of a source of kind `file`."""

    path: str
    """A recording, in the asset's format."""

    def __post_init__(self) -> None:
        check_path(self.path)

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return self.path


Options = FileOptions


def open_source(options: FileOptions, context: SourceContext) -> Source:
    """The source; a file that is not there is waited for."""
    return WholeFile(options, context)


class WholeFile:
    """Reads a file line by line. As in `edge-ad run`, a last line needs no line end."""

    def __init__(self, options: FileOptions, context: SourceContext, pause: Pause | None = None) -> None:
        """`pause` tells how long to wait for a file that cannot be read."""
        self._path = Path(options.path)
        self._note, self._say = context.note, context.say
        self._pause = pause or Pause()
        self._file: RegularFile | None = None
        self._mark = parsed_mark(context)
        """Where to open it."""
        self._is_missed = False
        self._is_begun = False
        self._has_ended = False

    async def read(self) -> Sequence[Line]:
        """See Source. None of the lines is timed."""
        while not self._has_ended:
            await self._pause.wait()
            try:
                if self._file is None:
                    self._file = self._open()
                    if first := self._header(self._file):
                        return first
                if lines := self._file.take() or self._more(self._file):
                    return lines
                await asyncio.sleep(0)  # others have their turn while a line without end is read
            except OSError as error:
                self._mark = None if self._file is None else self._file.mark()
                self._let_go()
                self._is_missed = True
                wait_s = self._pause.failed()
                self._note("unreadable-file", f"{said(error, self._path)}; tried again in {wait_s:.0f} s")
        return []

    def _open(self) -> RegularFile:
        file = RegularFile(self._path)
        self._pause.worked()
        if self._is_missed:
            self._is_missed = False
            self._say(f"{self._path} can be read again")
        if self._mark is not None and not file.go_to(self._mark):
            self._mark = None
            self._note(
                "other-file",
                f"{self._path} is not the file it was at the last start: it is read from its beginning",
            )
        return file

    def _header(self, file: RegularFile) -> list[Line]:
        """What may be the line of column names, for a decoder that does not know it from before."""
        is_begun, self._is_begun = self._is_begun, True
        first = None if is_begun or not file.mark().offset else file.first_line()
        return [] if first is None else [first]

    def _more(self, file: RegularFile) -> list[Line]:
        """Read on; the lines that were completed, the last ones at the end."""
        try:
            if file.read_more():
                return file.take()
        except RewrittenError:
            self._note("other-file", f"{self._path} was rewritten meanwhile: it is read from its beginning")
            last = file.flush(REWRITTEN)
            file.begin_anew()
        else:
            self._has_ended = True
            last = file.flush(None)
        return [] if last is None else [last]

    def position(self) -> str | None:
        """See Source."""
        mark = self._mark if self._file is None else self._file.mark()
        return None if mark is None else mark.text()

    def done(self) -> None:
        """See Source."""

    async def close(self) -> None:
        """See Source."""
        if self._file is not None:
            self._mark = self._file.mark()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
