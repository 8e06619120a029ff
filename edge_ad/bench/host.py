"""The machine as its files and programs tell: below a root folder, so that a folder can stand for a board."""

from __future__ import annotations

import glob
import os
import re
import shutil
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edge_ad.bench.command import Answer, Command

COMMAND_TIME_LIMIT_S = 3.0
_LARGEST_FILE = 1 << 20
_MOST_FILES = 4096
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Host:
    """Where facts come from. Whatever cannot be read, or makes no sense, is None: no method raises."""

    root: Path = Path("/")
    """Folder that `/sys`, `/proc`, `/etc`, `/dev` and `/run` are read below."""
    path: str | None = None
    """Where programs are searched; None for `PATH`."""

    @property
    def is_this_one(self) -> bool:
        """Whether it is the machine that this program runs on, and not a tree that stands for another."""
        return self.root == Path("/")

    def text(self, path: str) -> str | None:
        """A regular file's text without the blanks and zeros at its ends, cut off at 1 MB.

        Bytes that are no UTF-8 are replacement characters.
        """
        try:
            # Not blocking: a pipe that somebody put there would be waited for.
            handle = os.open(self._at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return None
                return file.read(_LARGEST_FILE).decode(errors="replace").strip("\0 \t\r\n")
        except (OSError, ValueError):
            return None

    def integer(self, path: str) -> int | None:
        """The number that a file consists of."""
        text = self.text(path)
        return int(text) if text is not None and _INTEGER.fullmatch(text) else None

    def lines(self, path: str) -> list[str]:
        """A file's lines; none where it cannot be read."""
        return (self.text(path) or "").splitlines()

    def exists(self, path: str) -> bool:
        """Whether there is something of that name."""
        return self.status(path) is not None

    def status(self, path: str) -> os.stat_result | None:
        """Kind, owner and permissions of what is there."""
        try:
            return os.stat(self._at(path))
        except (OSError, ValueError):
            return None

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads."""
        try:
            return os.readlink(self._at(path))
        except (OSError, ValueError):
            return None

    def matches(self, pattern: str) -> list[str]:
        """Paths that match a shell pattern, in order."""
        found = glob.iglob(pattern.lstrip("/"), root_dir=self.root)
        return sorted(f"/{path}" for path in islice(found, _MOST_FILES))

    def run(self, *words: str) -> Answer | None:
        """What a program answers within a few seconds; None where there is no such program."""
        program = shutil.which(words[0], path=self.path)
        if program is None:
            return None
        try:
            return Command([program, *words[1:]], COMMAND_TIME_LIMIT_S).answer()
        except OSError:
            return None

    def board(self) -> str:
        """The board's name from its device tree, such as `Raspberry Pi 4 Model B Rev 1.4`; or empty."""
        return self.text("/proc/device-tree/model") or ""

    @property
    def is_pi(self) -> bool:
        """Whether it is a Raspberry Pi of any model."""
        return "Raspberry Pi" in self.board()

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")
