"""Alarms as the person on duty sees them: episodes that begin and end, not rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def episodes(flags: Flags) -> list[tuple[int, int]]:
    """Start and end (exclusive) of every run of True in `(n,)` flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def joined_episodes(
    times: NDArray[np.float64], alarms: Flags, ending: Flags, hold_off_s: float
) -> list[tuple[int, int]]:
    """Start and end (exclusive) of the episodes that a device makes of `(n,)` alarms.

    As `detect.episodes.EpisodeTracker`: one ends at the first row of `ending`, rows whose score is within the
    limit, that is more than `hold_off_s` seconds later than its newest alarm.
    """
    found: list[tuple[int, int]] = []
    for start, end in episodes(alarms):
        if found:
            first, newest = found[-1][0], found[-1][1] - 1
            later = times[newest:start] - times[newest]
            if not (ending[newest:start] & ~((later >= 0) & (later <= hold_off_s))).any():
                found[-1] = (first, end)
                continue
        found.append((start, end))
    return found


def matched_episodes(ours: Flags, theirs: Flags) -> tuple[int, int]:
    """Episodes of either that overlap one of the other, and how many there are in all."""
    matched = sum(bool(theirs[start:end].any()) for start, end in episodes(ours))
    matched += sum(bool(ours[start:end].any()) for start, end in episodes(theirs))
    return matched, len(episodes(ours)) + len(episodes(theirs))


def detection_delays(labels: Flags, alarms: Flags) -> list[int | None]:
    """Rows from the start of every labelled anomaly to the first alarm in it; None where it is missed."""
    delays: list[int | None] = []
    for start, end in episodes(labels):
        found = np.flatnonzero(alarms[start:end])
        delays.append(int(found[0]) if len(found) else None)
    return delays
