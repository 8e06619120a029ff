"""Alarm episodes as newline-delimited JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edge_ad.detect.episodes import EpisodeChange
from edge_ad.errors import OutputError


class EpisodeLines:
    """Appends a line to a file when an episode begins, worsens or ends.

    Keys: `change` (`began`, `worsened`, `ended`), `number` (from 1 on in every run), `start`, `last`, `end`
    (null while it lasts), `peak_time` (ISO 8601, UTC), `peak_score`, `peak_ratio` (to the UCL), `severity`,
    `n_alarms`, `top_channels` (name -> mean share of the score). What becomes of the disk ends no monitoring:
    a line that cannot be written is lost, and `say` hears of the first.
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
        episode = change.episode
        record = {
            "change": change.kind,
            "number": episode.number,
            "start": _iso(episode.start),
            "last": _iso(episode.last),
            "end": None if episode.end is None else _iso(episode.end),
            "peak_time": _iso(episode.peak_time),
            "peak_score": episode.peak_score,
            "peak_ratio": round(episode.peak_ratio, 6),
            "severity": episode.severity,
            "n_alarms": episode.n_alarms,
            "top_channels": {name: round(share, 6) for name, share in episode.top_channels},
        }
        try:
            self._append(json.dumps(record, ensure_ascii=False).encode() + b"\n")
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


def _iso(time: float) -> str | float:
    """ISO 8601 in UTC, to the millisecond; the number itself where the calendar does not reach."""
    try:
        moment = datetime.fromtimestamp(time, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return time
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
