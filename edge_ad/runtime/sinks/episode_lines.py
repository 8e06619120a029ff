"""Alarm episodes as newline-delimited JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TextIO

from edge_ad.detect.episodes import EpisodeChange


class EpisodeLines:
    """Writes a line when an episode begins, worsens or ends, and sees it through to the file each time.

    Keys: `change` (`began`, `worsened`, `ended`), `number`, `start`, `last`, `end` (null while it lasts),
    `peak_time` (ISO 8601, UTC), `peak_score`, `peak_ratio` (to the UCL), `severity`, `n_alarms`,
    `top_channels` (name -> mean share of the score).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

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
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()


def _iso(time: float) -> str | float:
    """ISO 8601 in UTC, to the millisecond; the number itself where the calendar does not reach."""
    try:
        moment = datetime.fromtimestamp(time, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return time
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
