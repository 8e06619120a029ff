"""Bytes in, whole lines out, in whatever pieces they come."""

from __future__ import annotations

from collections import deque

from edge_ad.runtime.sources.source import LONGEST_LINE, Line

_new_line = tuple.__new__
"""As for samples: one is made for every line, in the order of its fields."""


class LineSplitter:
    """Cuts a stream of bytes into lines, and holds at most one unfinished line of `LONGEST_LINE` bytes."""

    def __init__(self, number: int = 0, *, first: bool = True) -> None:
        """Go on after line `number`. `first`: the next line is the first of a file or a connection."""
        self.number = number
        """Of the line taken last."""
        self.first = first
        self.consumed = 0
        """Bytes of the lines taken so far, their ends and what was dropped included."""
        self._lines: deque[bytes] = deque()
        self._rest = bytearray()
        """Of the unfinished line: up to one byte more than the longest, to know it by."""
        self._dropped = 0
        """Bytes of the unfinished line that are not kept."""
        self._dropped_of: deque[int] = deque()
        """The same for every overlong line in `_lines`."""
        self._arrived: float | None = None

    def push(self, data: bytes, arrived: float | None = None) -> None:
        """Take in more bytes. Whole lines that are there should have been taken before."""
        self._arrived = arrived
        head, end, tail = data.rpartition(b"\n")
        if not end:
            self._extend(data)
            return
        first, *others = head.split(b"\n")
        self._extend(first)
        self._finish_line()
        if len(head) <= LONGEST_LINE:
            self._lines.extend(others)
        else:
            for line in others:
                self._extend(line)
                self._finish_line()
        self._extend(tail)

    def take(self, most: int) -> list[Line]:
        """The next whole lines, as many as there are and at most so many."""
        lines, arrived = self._lines, self._arrived
        n = min(most, len(lines))
        if not n:
            return []
        taken = [lines.popleft() for _ in range(n)]
        self.consumed += sum(map(len, taken)) + n
        result = [
            _new_line(Line, (raw.rstrip(b"\r").decode("utf-8", "replace"), number, arrived, False, None))
            for number, raw in enumerate(taken, self.number + 1)
        ]
        self.number += n
        if self._dropped_of:
            self._mark_overlong(taken, result)
        if self.first:
            result[0] = result[0]._replace(first=True)
            self.first = False
        return result

    def flush(self, problem: str | None) -> Line | None:
        """The unfinished line at the end of a file or a connection, with `problem`; None without one."""
        dropped = self._dropped
        self._finish_line()
        raw = self._lines.pop()
        self.consumed += len(raw) + dropped
        if not dropped and not raw.rstrip(b"\r"):
            return None
        self.number += 1
        if len(raw) > LONGEST_LINE:
            self._dropped_of.pop()
            raw, problem = raw[:LONGEST_LINE], problem or _OVERLONG
        text = raw.rstrip(b"\r").decode("utf-8", "replace")
        line = Line(text, self.number, self._arrived, self.first, problem)
        self.first = False
        return line

    def _extend(self, data: bytes) -> None:
        room = LONGEST_LINE + 1 - len(self._rest)
        if len(data) > room:
            self._dropped += len(data) - room
            data = data[:room]
        self._rest += data

    def _finish_line(self) -> None:
        if len(self._rest) > LONGEST_LINE:
            self._dropped_of.append(self._dropped)
        self._lines.append(bytes(self._rest))
        self._rest.clear()
        self._dropped = 0

    def _mark_overlong(self, taken: list[bytes], result: list[Line]) -> None:
        for i, raw in enumerate(taken):
            if len(raw) > LONGEST_LINE:
                self.consumed += self._dropped_of.popleft()
                text = raw[:LONGEST_LINE].decode("utf-8", "replace")
                result[i] = result[i]._replace(text=text, problem=_OVERLONG)


_OVERLONG = f"longer than {LONGEST_LINE} bytes, the rest is dropped"
