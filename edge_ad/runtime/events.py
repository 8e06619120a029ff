"""What a service tells the world of alarm episodes: one event for every change of one."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from edge_ad.detect.episodes import EpisodeChange

_NAMESPACE = uuid.UUID("6f2b7a8e-2d0c-5c55-9d39-1f0e3c4b7a11")
"""Of the ids of events, and of nothing else."""


@dataclass(frozen=True)
class Event:
    """A change of an alarm episode, ready to be delivered."""

    id: str
    """A UUID. The same change of the same episode has the same id, however often it is made or delivered."""
    asset: str
    change: str
    """`began`, `worsened` or `ended`."""
    severity: str | None
    rank: int
    """Place of the severity, 0 for the mildest; -1 without."""
    body: str
    """JSON, the same bytes at every delivery."""


def event_of(asset: str, bundle: str, change: EpisodeChange, rank: int) -> Event:
    """The event of a change; `bundle` is what made the decisions, and `rank` that of the severity."""
    episode = change.episode
    # All that makes it this change and no other, and nothing that differs when a stream is read again.
    key = [asset, bundle, episode.number, repr(episode.start), change.kind, episode.severity]
    id_ = str(uuid.uuid5(_NAMESPACE, json.dumps(key)))
    record = {"id": id_, "asset": asset, "bundle": bundle, **episode_record(change)}
    return Event(id_, asset, change.kind, episode.severity, rank, json.dumps(record, ensure_ascii=False))


def episode_record(change: EpisodeChange) -> dict[str, Any]:
    """A change as JSON values.

    Keys: `change` (`began`, `worsened`, `ended`), `number`, `start`, `last`, `end` (null while it lasts),
    `peak_time` (ISO 8601, UTC), `peak_score`, `peak_ratio` (to the UCL), `severity`, `n_alarms`,
    `top_channels` (name -> mean share of the score).
    """
    episode = change.episode
    return {
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


def _iso(time: float) -> str | float:
    """ISO 8601 in UTC, to the millisecond; the number itself where the calendar does not reach."""
    try:
        moment = datetime.fromtimestamp(time, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return time
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
