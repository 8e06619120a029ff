"""Alarm episodes as newline-delimited JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from edge_ad.detect.episodes import EpisodeChange
from edge_ad.errors import OutputError
from edge_ad.runtime.events import episode_record


class EpisodeLines:
    """Appends a line to a file when an episode begins, worsens or ends.

    Keys: those of `episode_record`, with numbers from 1 on in every run. What becomes of the disk ends no
    monitoring: a line that cannot be written is lost, and `say` hears of the first.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Raises OutputError for a file that cannot be written to begin with."""
        self._path = path
        self._say = say
        self._has_complained = False
        try:
            self._append(b"")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error

    def write(self, change: EpisodeChange) -> None:
        """Write a change."""
        try:
            self._append(json.dumps(episode_record(change), ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            if not self._has_complained:
                self._say(f"episodes cannot be written to {self._path} for now: {error.strerror}")
            self._has_complained = True

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            # A run that was killed may have left half a line, which must not take this one along.
            if file.seekable() and file.tell() and not _ends_with_newline(self._path):
                file.write(b"\n")
            file.write(line)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
