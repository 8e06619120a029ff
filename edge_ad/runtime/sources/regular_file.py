"""A regular file of lines, read piece by piece, and a place in it that outlives the process."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import decode, encode, parse_json
from edge_ad.runtime.sources.source import LONGEST_LINE, MOST_AT_ONCE, Line, SourceContext
from edge_ad.runtime.sources.splitter import LineSplitter

_CHUNK = 1 << 13
"""Bytes read at once: some tens of lines. It is what every followed file takes of memory."""
_TAIL = 1024
"""Bytes before a place that it is known by again: enough that there is a time stamp among them."""

REWRITTEN = "cut off: the file was rewritten within the line"
"""Why a line cannot be used of which only the beginning was there."""


class RewrittenError(Exception):
    """What was read of the file is not in it any more."""


@dataclass(frozen=True)
class Mark:
    """A place in a file, just after a line."""

    device: int
    inode: int
    offset: int
    """In bytes."""
    line: int
    """How many lines are before it."""
    tail: str
    """Digest of the kilobyte before it, or of what there is."""

    def __post_init__(self) -> None:
        if not (0 <= self.offset < 1 << 62 and 0 <= self.line < 1 << 62):
            raise ValueError("no file is as long")

    def text(self) -> str:
        """As JSON, for `parse`."""
        return json.dumps(encode(self))

    @classmethod
    def parse(cls, text: str) -> Mark:
        """The mark that `text` was made of. Raises ValueError."""
        return decode(cls, parse_json(text.encode("utf-8", "replace")))


class RegularFile:
    """An open file of lines.

    The bytes before what is read next are read again each time, and compared: a file that was emptied, or
    replaced by other content in place, is noticed even where it is longer than before.
    """

    def __init__(self, path: Path) -> None:
        """Open it at its beginning. Raises OSError, also for what is no file: it never waits for a FIFO."""
        _check_regular(os.stat(path), path)  # to open some devices does something to them
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(self._descriptor)
            _check_regular(status, path)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._device, self._inode = status.st_dev, status.st_ino
        self._begin(0, 0, b"")

    def _begin(self, offset: int, line: int, tail: bytes) -> None:
        """Be at a place of which `tail` is known."""
        self._splitter = LineSplitter(line, first=offset == 0)
        self._offset = offset
        """Of the place where the splitter began."""
        self._end = offset
        """Where reading goes on."""
        self._tail = tail
        """Bytes before the end of the lines taken, as of when the last piece was read."""
        self._piece, self._piece_at = tail, offset - len(tail)
        """Bytes read last, and their offset; those before them that were known already included."""
        self._known = len(tail)
        """How many those are."""

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode: no other file has them as long as this one is open."""
        return self._device, self._inode

    @property
    def changed_ns(self) -> int:
        """When it was last written to."""
        return os.fstat(self._descriptor).st_mtime_ns

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read_more(self, arrived: float | None = None) -> bool:
        """Read on; whether there was anything. Raises RewrittenError, OSError."""
        known = self._piece[-_TAIL:]
        piece = os.pread(self._descriptor, len(known) + _CHUNK, self._end - len(known))
        if not piece.startswith(known):
            raise RewrittenError
        if len(piece) == len(known):
            return False
        self._tail = self._tail_now()
        self._piece, self._piece_at, self._known = piece, self._end - len(known), len(known)
        self._end = self._piece_at + len(piece)
        self._splitter.push(piece[len(known) :], arrived)
        return True

    def take(self) -> list[Line]:
        """Lines that were read, at most `MOST_AT_ONCE`."""
        return self._splitter.take(MOST_AT_ONCE)

    def flush(self, problem: str | None) -> Line | None:
        """The end of what was read, if no line end follows; with `problem`."""
        return self._splitter.flush(problem)

    def mark(self) -> Mark:
        """The place after the lines taken."""
        offset = self._offset + self._splitter.consumed
        return Mark(self._device, self._inode, offset, self._splitter.number, _digest(self._tail_now()))

    def _tail_now(self) -> bytes:
        at = self._offset + self._splitter.consumed - self._piece_at
        # The newest line taken ends in the newest piece, or none does and all is as before it.
        return self._piece[max(0, at - _TAIL) : at] if at >= self._known else self._tail

    # --- places of other files, or of other times -----------------------------------------------------

    def go_to(self, mark: Mark) -> bool:
        """Go on at a mark, if what is before it is here as well; otherwise stay at the beginning."""
        n = min(mark.offset, _TAIL)
        tail = os.pread(self._descriptor, n, mark.offset - n)
        if len(tail) < n or _digest(tail) != mark.tail:
            return False
        self._begin(mark.offset, mark.line, tail)
        return True

    def go_to_last_line(self) -> None:
        """Leave out the whole lines that are there by now. Reads all of the file."""
        offset = end = lines = 0
        while chunk := os.pread(self._descriptor, 32 * _CHUNK, end):
            lines += chunk.count(b"\n")
            at = chunk.rfind(b"\n")
            offset = end + at + 1 if at >= 0 else offset
            end += len(chunk)
        start = max(0, offset - _TAIL)
        self._begin(offset, lines, os.pread(self._descriptor, offset - start, start))

    def begin_anew(self) -> None:
        """Go back to the beginning."""
        self._begin(0, 0, b"")

    def go_on_in(self, copy: RegularFile) -> bool:
        """Go on in a copy of what this file was before it was rewritten, and close it; whether it is one."""
        known = self._piece[-_TAIL:]
        there = os.pread(copy._descriptor, len(known), self._end - len(known))
        if self._splitter.number < 2 or there != known:  # column names alone, all of them have
            return False
        self._descriptor, copy._descriptor = copy._descriptor, self._descriptor
        self._device, self._inode = copy.identity
        copy.close()
        return True

    def first_line(self) -> Line | None:
        """The first line of the file, given again for its column names: number 0 says that it is no row."""
        splitter = LineSplitter()
        with contextlib.suppress(OSError):
            splitter.push(os.pread(self._descriptor, LONGEST_LINE, 0))
        lines = splitter.take(1)
        return lines[0]._replace(number=0) if lines else None


def _digest(tail: bytes) -> str:
    return hashlib.blake2b(tail, digest_size=16).hexdigest()


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def check_path(path: str) -> None:
    """Raise ValueError for what is the name of no file."""
    if not path or "\0" in path or path.endswith("/"):
        raise ValueError(f"path {path!r} is not the name of a file")


def parsed_mark(context: SourceContext) -> Mark | None:
    """The place that an earlier process came to. A position that makes no sense is noted."""
    if context.position is None:
        return None
    try:
        return Mark.parse(context.position)
    except ValueError as error:
        context.note("position-lost", f"the saved place in the file makes no sense ({error}): it begins anew")
        return None


def said(error: OSError, path: Path) -> str:
    """What is wrong with a file, and what helps."""
    text = f"{path} cannot be read: {error.strerror or error}"
    if isinstance(error, PermissionError):
        text += " (the user that the agent runs as must be allowed to read it)"
    return text
