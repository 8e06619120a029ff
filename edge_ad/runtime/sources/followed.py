"""A file that is written to for ever: followed through rotation, truncation and restarts, as by `tail -F`."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from edge_ad.runtime.sources.regular_file import (
    REWRITTEN,
    Mark,
    RegularFile,
    RewrittenError,
    check_path,
    parsed_mark,
    said,
)
from edge_ad.runtime.sources.source import Line, Source, SourceContext
from edge_ad.runtime.sources.waiting import Pause

_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.02, 0.5
_TORN = "cut off: the file ends within the line, and another one goes on"
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z", ".zip")


@dataclass(frozen=True)
class FollowOptions:
    """Table of a source of kind `follow`."""

    path: str
    """The file that is written to now. Rotated ones are looked for beside it: `NAME.1`, `NAME-20260105`, …"""
    poll_s: float | None = None
    """Seconds between two looks at the file; default: a quarter of the sample period, 0.02 to 0.5."""
    from_start: bool = True
    """Whether the lines that are there at the first start of all are read, too."""

    def __post_init__(self) -> None:
        check_path(self.path)
        if self.poll_s is not None and not 0.001 <= self.poll_s <= 3600:
            raise ValueError("poll_s must lie between 0.001 and 3600")

    @property
    def address(self) -> str:
        """Where the stream comes from."""
        return self.path


Options = FollowOptions


def open_source(options: FollowOptions, context: SourceContext) -> Source:
    """The source; a file that is not there yet is waited for."""
    return FollowedFile(options, context)


class FollowedFile:
    """Gives every whole line once, also over restarts, whichever way the file is rotated.

    A file that was renamed is read until the next one has something in it, and then to its end: its writer
    may have kept it open for a while. A file that was emptied in place is gone on with in the copy that was
    made of it, if there is one; lines written between copy and truncation are lost to everybody. Rotated
    files that are compressed at once are not read.
    """

    def __init__(self, options: FollowOptions, context: SourceContext, pause: Pause | None = None) -> None:
        """`pause` tells how long to wait for a file that cannot be read."""
        self._path = Path(options.path)
        period_s = context.sample_period_s / 4
        self._poll_s = options.poll_s or min(max(period_s, _SHORTEST_POLL_S), _LONGEST_POLL_S)
        self._note, self._say = context.note, context.say
        self._pause = pause or Pause()
        self._mark = parsed_mark(context)
        """Where to go on once a file can be opened."""
        self._skips = not options.from_start and self._mark is None
        self._file: RegularFile | None = None
        self._next: RegularFile | None = None
        """What follows `_file`, and has lines by now."""
        self._is_live = False
        """Whether the end was reached, so that what comes then comes now."""
        self._is_missed = False
        self._is_begun = False

    async def read(self) -> Sequence[Line]:
        """See Source. Lines are timed, once those are read that were there before."""
        while True:
            await self._pause.wait()
            try:
                lines = self._open() if self._file is None else self._file.take() or self._go_on(self._file)
            except OSError as error:
                self._fail(error)
                continue
            if lines:
                return lines
            # Others have their turn even while a line without end is read.
            await asyncio.sleep(self._poll_s if lines is None else 0)

    def _go_on(self, file: RegularFile) -> list[Line] | None:
        """Read on, and the lines that were completed; None where the writer is to be waited for."""
        try:
            if file.read_more(monotonic() if self._is_live else None):
                return file.take()
        except RewrittenError:
            return self._begin_anew(file)
        self._is_live = True
        if self._next is None:
            self._next = self._successor(file)
            return None if self._next is None else []  # one more look at the end of the former one
        torn = file.flush(_TORN)
        file.close()
        self._file, self._next = self._next, None
        return [] if torn is None else [torn]

    def _begin_anew(self, file: RegularFile) -> list[Line]:
        """The file was emptied, and maybe written to again."""
        for rotated in self._rotated():
            if rotated.identity != file.identity and (copy := _opened(rotated.path)) is not None:
                if file.go_on_in(copy):
                    return []
                copy.close()
        self._say(f"{self._path} was rewritten: it is read from its beginning")
        torn = file.flush(REWRITTEN)
        file.begin_anew()
        return [] if torn is None else [torn]

    # --- which file is next -------------------------------------------------------------------------

    def _successor(self, file: RegularFile) -> RegularFile | None:
        """The file that goes on where this one ends; None as long as there is none, or nothing in it."""
        path = self._following(file)
        if path is None:
            return None
        try:
            following = RegularFile(path)
        except FileNotFoundError:
            return None
        # Names may change between two looks at them.
        if following.identity == file.identity or self._following(file) != path or not _is(path, following):
            following.close()
            return None
        return following

    def _following(self, file: RegularFile) -> Path | None:
        status = _status(self._path)
        if status is not None and (status.st_dev, status.st_ino) == file.identity:
            return None
        rotated = self._rotated()
        own = next((r for r in rotated if r.identity == file.identity), None)
        since = file.changed_ns
        if own is not None and own.scheme is not None:
            # By time as well: there are those who give the newest file the highest number.
            later = [r for r in rotated if r.scheme == own.scheme and r.order > own.order]
            later = sorted((r for r in later if r.changed_ns >= since), key=lambda r: r.order)
        else:  # deleted, or under a name that says nothing
            later = [r for r in rotated if r.scheme is not None and r.changed_ns > since]
            later.sort(key=lambda r: r.changed_ns)
        if later and (status is None or later[0].identity != (status.st_dev, status.st_ino)):
            return later[0].path
        # What is no file, an error is to say.
        is_next = status is not None and (status.st_size or not stat.S_ISREG(status.st_mode))
        return self._path if is_next else None

    # --- opening ------------------------------------------------------------------------------------

    def _open(self) -> list[Line] | None:
        """Open the file to go on with; None if it is not there.

        Gives what may be its line of column names where its beginning is left out.
        """
        try:
            file = RegularFile(self._path) if self._mark is None else self._resumed(self._mark)
        except FileNotFoundError as error:
            if not self._is_missed:
                self._is_missed = True
                self._note("no-file", f"{said(error, self._path)}; it is waited for")
            self._skips = False
            return None
        if self._skips:
            file.go_to_last_line()
        if self._is_missed:
            self._is_missed = False
            self._say(f"{self._path} is there")
        self._pause.worked()
        is_begun, self._is_begun = self._is_begun, True
        self._file, self._mark, self._skips = file, None, False
        first = None if is_begun or not file.mark().offset else file.first_line()
        return [] if first is None else [first]

    def _resumed(self, mark: Mark) -> RegularFile:
        """The file that was read last, under whatever name, at the place where that ended. Raises OSError."""
        candidates = [self._path, *(rotated.path for rotated in self._rotated())]
        statuses = {path: _status(path) for path in candidates}
        own = [path for path, status in statuses.items() if status and status.st_ino == mark.inode]
        # What was copied before it was emptied, or came from a backup, has another inode and the same
        # content. Column names alone, all of them have.
        for path in [*own, *(candidates if mark.line > 1 else ())]:
            file = _opened(path)
            if file is not None:
                if file.go_to(mark):
                    return file
                file.close()
        # One that was emptied meanwhile, or has the number of one that was deleted: newer, in any case.
        oldest = own[0] if own else self._path
        file = RegularFile(oldest)
        self._note(
            "lines-missing",
            f"what was read last is neither in {self._path} any more nor in a file beside it: lines may be "
            f"missing; {oldest} is read from its beginning",
        )
        return file

    def _rotated(self) -> list[_Rotated]:
        try:
            return list(_rotated(self._path))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._note(
                "folder-unreadable",
                f"{said(error, self._path.parent)}: lines of files that are rotated meanwhile may be missing",
            )
            return []

    def _fail(self, error: OSError) -> None:
        if self._file is not None:
            self._mark = self._file.mark()
        self._let_go()
        self._is_missed = True
        wait_s = self._pause.failed()
        self._note("unreadable-file", f"{said(error, self._path)}; tried again in {wait_s:.0f} s")

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
        for file in (self._file, self._next):
            if file is not None:
                file.close()
        self._file = self._next = None


class _Rotated(NamedTuple):
    """A file beside the one that is written to, with a name made of its name."""

    path: Path
    scheme: str | None
    """What files are called one after the other; None where the name does not say it."""
    order: tuple[int, str]
    """Later ones are larger."""
    identity: tuple[int, int]
    changed_ns: int


def _rotated(path: Path) -> Iterator[_Rotated]:
    """The former files of one that is rotated: `log.csv.1`, `log.csv-20260105`, `log-20260105.csv`."""
    names = f"{re.escape(path.name)}[.-](?P<key>.+)"
    if path.suffix:
        names += f"|{re.escape(path.stem)}[._-](?P<date>[0-9]{{4}}.*){re.escape(path.suffix)}"
    pattern = re.compile(names, re.DOTALL)
    with os.scandir(path.parent) as entries:
        for entry in entries:
            found = pattern.fullmatch(entry.name)
            if found is None or entry.name.endswith(_COMPRESSED):
                continue
            try:
                status = entry.stat()
            except OSError:  # renamed just now, or a link that leads nowhere
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            scheme, order = _place(found["key"] or found.groupdict().get("date") or "")
            identity = status.st_dev, status.st_ino
            yield _Rotated(Path(entry.path), scheme, order, identity, status.st_mtime_ns)


def _place(key: str) -> tuple[str | None, tuple[int, str]]:
    """Scheme and order of what a name has beside the file's own."""
    if re.fullmatch("[0-9]{1,3}", key):
        return "number", (-int(key), "")
    if re.match("[0-9]{4}", key):
        return "date", (0, key)
    return None, (0, key)


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _is(path: Path, file: RegularFile) -> bool:
    status = _status(path)
    return status is not None and (status.st_dev, status.st_ino) == file.identity


def _opened(path: Path) -> RegularFile | None:
    """The file, if it can be read."""
    try:
        return RegularFile(path)
    except OSError:
        return None
