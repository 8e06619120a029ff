"""How soon labelled anomalies are noticed, and how often there is an alarm without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.episodes import detection_delays, episodes

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Anomaly:
    """A labelled stretch of the test rows."""

    start: float
    """Time of its first row."""
    end: float
    """Time of its last row."""
    delay_s: float | None
    """From its first row to the first alarmed one in it; None where it is missed."""
    delay_rows: int | None


@dataclass(frozen=True)
class AlarmEpisode:
    """Alarmed rows without a break."""

    start: float
    end: float
    """Time of the last row."""
    n_rows: int
    peak_score: float
    top_channels: tuple[tuple[str, float], ...]
    """Names and mean shares of the score, 0…1, the largest first, at most three."""
    is_false: bool | None
    """Whether no row of it is labelled as anomalous; None without labels."""


@dataclass(frozen=True)
class Detection:
    """Of one recording, or of several together."""

    anomalies: tuple[Anomaly, ...]
    n_false: int
    """Alarm episodes without a labelled row."""
    normal_s: float
    """How long the machine was watched while it was labelled as normal."""

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.anomalies + other.anomalies, self.n_false + other.n_false, self.normal_s + other.normal_s
        )

    @property
    def n_detected(self) -> int:
        """Anomalies with an alarm in them."""
        return sum(anomaly.delay_s is not None for anomaly in self.anomalies)

    @property
    def median_delay_s(self) -> float | None:
        """Of the detected ones."""
        delays = [anomaly.delay_s for anomaly in self.anomalies if anomaly.delay_s is not None]
        return float(np.median(delays)) if delays else None

    @property
    def false_per_hour(self) -> float | None:
        """False alarm episodes for each hour of normal operation; None where there was none."""
        return self.n_false / self.normal_s * 3600 if self.normal_s else None


def detection(
    times: NDArray[np.float64],
    labels: Flags,
    alarms: Flags,
    period_s: float,
    alarmed: Sequence[tuple[int, int]] | None = None,
) -> Detection:
    """Of `(n,)` test rows. A row stands for `period_s` seconds.

    `alarmed` are the alarm episodes, start and end (exclusive); None: alarmed rows without a break.
    """
    delays = detection_delays(labels, alarms)
    anomalies = [
        Anomaly(
            start=float(times[start]),
            end=float(times[end - 1]),
            delay_s=None if delay is None else float(times[start + delay] - times[start]),
            delay_rows=delay,
        )
        for (start, end), delay in zip(episodes(labels), delays, strict=True)
    ]
    if alarmed is None:
        alarmed = episodes(alarms)
    n_false = sum(not (labels & alarms)[start:end].any() for start, end in alarmed)
    return Detection(tuple(anomalies), n_false, float((~labels).sum()) * period_s)


def alarm_episodes(
    times: NDArray[np.float64],
    scores: NDArray[np.float64],
    contributions: NDArray[np.floating],
    channels: Sequence[str],
    alarms: Flags,
    labels: Flags | None,
) -> list[AlarmEpisode]:
    """Of `(n,)` rows and their `(n, n_channels)` contributions, in order of time."""
    return [
        AlarmEpisode(
            start=float(times[start]),
            end=float(times[end - 1]),
            n_rows=end - start,
            peak_score=float(np.nanmax(scores[start:end], initial=0)),
            top_channels=top_channels(scores[start:end], contributions[start:end], channels),
            is_false=None if labels is None else not labels[start:end].any(),
        )
        for start, end in episodes(alarms)
    ]


def top_channels(
    scores: NDArray[np.float64], contributions: NDArray[np.floating], channels: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Mean shares of the score over those rows that have one, the largest three."""
    scored = np.flatnonzero(scores > 0)
    if not len(scored):
        return ()
    shares = (contributions[scored] / scores[scored, None]).mean(axis=0)
    largest = np.argsort(-shares, kind="stable")[:3]
    return tuple((channels[i], float(shares[i])) for i in largest.tolist())


def lead_time(times: NDArray[np.float64], alarms: Flags) -> str:
    """How long before the end of a run to failure the alarm came, in a sentence; of `(n,)` rows.

    It is the alarm that lasts to the last row, or where there is none the first of all.
    """
    found = episodes(alarms)
    if not found:
        return "No alarm precedes the end of the recording."
    lasts = found[-1][1] == len(alarms)
    start = found[-1 if lasts else 0][0]
    hours = float(times[-1] - times[start]) / 3600
    lead = f"{hours / 24:.2f} days" if hours >= 24 else f"{hours:.2f} hours"
    which = "The alarm that lasts to the end" if lasts else "The first alarm, which does not last to the end,"
    return f"{which} began {lead} before it."
