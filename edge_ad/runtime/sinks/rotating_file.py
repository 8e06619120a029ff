"""A file of lines that does not outgrow its disk."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from edge_ad.errors import ConfigurationError
from edge_ad.files import sync_folder


class RotatingFile:
    """Appends lines to FILE; where it would grow too large, it becomes FILE.1, and what is FILE.1 FILE.2.

    A line that a process left unfinished when it was killed is ended before the next one. Where somebody else
    moved, removed or emptied the file, as logrotate does, it is begun anew.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int, sync: bool) -> None:
        """Keeps `keep` older files. `sync`: lines are on disk when `append` returns.

        Raises ConfigurationError for what is no file: to rename a device would be a bad idea.
        """
        # what a link leads to is rotated, beside itself
        self._path = Path(os.path.realpath(path))
        self._max_bytes = max_bytes
        self._keep = keep
        self._sync = sync
        self._file = -1
        self._size = 0
        if self._path.exists() and not self._path.is_file():
            raise ConfigurationError(f"{path} is no ordinary file; name one that lines can be appended to")

    def append(self, lines: bytes) -> None:
        """Append whole lines; raises OSError, and then has taken none of them."""
        try:
            self._open_where_needed()
            if self._size and self._size + len(lines) > self._max_bytes:
                self._rotate()
                self._open()
            self._write(lines)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; to append opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open_where_needed(self) -> None:
        if self._file >= 0:
            status = os.fstat(self._file)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), status):
                    self._size = status.st_size  # somebody may have emptied it
                    return
        self._open()

    def _open(self) -> None:
        self.close()
        is_new = self._sync and not self._path.exists()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(self._path, flags, 0o644)
        status = os.fstat(self._file)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        self._size = status.st_size
        if is_new:
            sync_folder(self._path.parent)

    def _write(self, lines: bytes) -> None:
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            lines = b"\n" + lines
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if self._sync:
                os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(lines)

    def _rotate(self) -> None:
        too_many = self._keep + 1
        while self._older(too_many).exists():  # more were kept once
            self._older(too_many).unlink()
            too_many += 1
        for number in range(self._keep, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._older(number - 1).rename(self._older(number))
        if not self._keep:
            self._path.unlink(missing_ok=True)
        if self._sync:
            sync_folder(self._path.parent)

    def _older(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
