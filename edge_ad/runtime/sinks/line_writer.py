"""Lines on their way to a file, written in a thread of its own: a disk that is slow keeps nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from edge_ad.runtime.sinks.rotating_file import RotatingFile
from edge_ad.runtime.troubles import Note

_MOST_CHARACTERS = 1 << 22
"""That wait for the disk."""
_PIECE = 1 << 16
"""Characters that are written at a time, about."""
_GATHER_S = 0.02
_PATIENCE_S = 1.0
_CLOSE_WITHIN_S = 3.0


class LineWriter:
    """What the disk does not take is lost, counted and told; the lines after it are tried again."""

    def __init__(self, path: Path, file: RotatingFile, note: Note, say: Callable[[str], None]) -> None:
        self._path = path
        self._file = file
        self._note = note
        self._say = say
        self._lock = threading.Lock()
        """Of the next three."""
        self._waiting: list[str] = []
        self._n_characters = 0
        self._is_busy = False
        self._is_failing = False
        self._thread = ThreadPoolExecutor(1, "lines")

    def put(self, lines: Sequence[str]) -> None:
        """Have lines written; each ends with a newline."""
        size = sum(map(len, lines))
        with self._lock:
            is_room = self._n_characters + size <= _MOST_CHARACTERS
            is_idle = not self._is_busy
            if is_room:
                self._waiting += lines
                self._n_characters += size
                self._is_busy = True
        if not is_room:
            n = len(lines)
            self._note("lines-lost", f"{self._path} takes lines too slowly: {n} are lost", n)
        elif is_idle:
            # To wake a thread costs as much as to decide on a sample: what comes meanwhile goes with it.
            asyncio.get_running_loop().call_later(_GATHER_S, self._begin)

    async def drain(self) -> None:
        """Wait while much is on its way, but not for a disk that takes nothing: lines are lost then."""
        deadline = monotonic() + _PATIENCE_S
        while self._n_characters > _MOST_CHARACTERS // 4 and monotonic() < deadline:
            await asyncio.sleep(_GATHER_S / 4)

    def _begin(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed by now, and all of it written
            self._thread.submit(self._write_all)

    async def close(self) -> None:
        """Write what waits, if the disk takes it soon."""
        self._thread.submit(self._write_all)
        last = asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(last), _CLOSE_WITHIN_S)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _write_all(self) -> None:
        while True:
            with self._lock:
                lines, self._waiting = self._waiting, []
                self._n_characters = 0
                self._is_busy = bool(lines)
            if not lines:
                return
            piece: list[str] = []
            size = 0
            for line in lines:
                piece.append(line)
                size += len(line)
                if size >= _PIECE:
                    self._write(piece)
                    piece, size = [], 0
            self._write(piece)

    def _write(self, lines: Sequence[str]) -> None:
        if not lines:
            return
        try:
            self._file.append("".join(lines).encode(errors="replace"))
        except OSError as error:
            self._is_failing = True
            n = len(lines)
            text = (
                f"cannot write {self._path}: {error.strerror}; {n} lines are lost, the next are tried again"
            )
            self._note("lines-lost", text, n)
            return
        if self._is_failing:
            self._is_failing = False
            self._say(f"{self._path} is written again")
