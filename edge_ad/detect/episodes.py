"""Alarm episodes: alarms that belong together, from the first to the end of the hold-off after the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from edge_ad.detect.decision import Decision

N_TOP_CHANNELS = 3


@dataclass(frozen=True)
class Episode:
    """One event as a person would count it. Times in seconds since the epoch, by the samples' clock.

    `start <= peak_time <= last <= end` even where that clock was set back meanwhile: times then stay where
    they are until it has caught up, so that no duration is negative.
    """

    number: int
    """1 for the first of the stream."""
    start: float
    """Of the first alarmed row."""
    last: float
    """Of the newest alarmed row."""
    end: float | None
    """Of the row that ended it; None while it lasts."""
    peak_score: float
    """Highest score of an alarmed row."""
    peak_time: float
    peak_ratio: float
    """`peak_score / UCL`."""
    severity: str | None
    """The worst so far; None where alarms have none."""
    n_alarms: int
    """Alarmed rows."""
    top_channels: tuple[tuple[str, float], ...]
    """Names and mean shares of the score, 0…1, over the alarmed rows; the largest first, at most three."""


class EpisodeChange(NamedTuple):
    """What a decision changed."""

    kind: Literal["began", "worsened", "ended"]
    """`worsened`: the severity rose."""
    episode: Episode


class EpisodeTracker:
    """Joins alarms to episodes, decision by decision, in constant memory.

    An episode begins with an alarm while none is open, and ends at the first score within the UCL
    that is more than `hold_off_s` later than the newest alarmed row. Until then every alarm belongs to it:
    one that comes within the hold-off, and one after rows that were all `unknown` or `warming`, since these
    tell nothing of the machine and end nothing. Whether the hold-off is over is not known when the clock was
    set back, so the next scored decision without alarm then ends the episode.
    """

    def __init__(
        self, channel_names: Sequence[str], severities: Sequence[str] = (), hold_off_s: float = 0.0
    ) -> None:
        """`severities` are all names that a decision may have, from mild to severe."""
        self._names = tuple(channel_names)
        self._rank = {None: -1} | {name: rank for rank, name in enumerate(severities)}
        self._hold_off_s = hold_off_s
        self._open: _OpenEpisode | None = None
        self.count = 0
        """Episodes begun so far."""

    @property
    def open(self) -> Episode | None:
        """The episode that lasts, up to the newest decision; None where there is none."""
        return None if self._open is None else self._episode(self._open, None)

    def save(self) -> dict[str, Any]:
        """Count and open episode as JSON values, for `restore`."""
        episode = self._open
        return {
            "count": self.count,
            "open": None if episode is None else vars(episode) | {"share_sums": episode.share_sums.tolist()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where a tracker of the same channels was saved. Raises KeyError, TypeError, ValueError."""
        self.count = int(saved["count"])
        self._open = None if saved["open"] is None else _OpenEpisode.restored(saved["open"], len(self._names))

    def update(self, decision: Decision) -> EpisodeChange | None:
        """Take in the next decision; say what it changed.

        Raises KeyError for a severity that the tracker was not told of.
        """
        if decision.state == "alarm":
            return self._alarm(decision)
        # A score above the limit while the alarm rule still counts says nothing of an end.
        if self._open is None or decision.score is None or decision.score > decision.ucl:
            return None
        if 0 <= decision.time - self._open.alarmed_at <= self._hold_off_s:
            return None
        return self.close(decision.time)

    def close(self, time: float) -> EpisodeChange | None:
        """End the open episode, if there is one: nothing comes after `time`."""
        episode, self._open = self._open, None
        if episode is None:
            return None
        # in this order also right for a time that is no number, as of a garbled last line
        end = time if time >= episode.last else episode.last
        return EpisodeChange("ended", self._episode(episode, end))

    def _alarm(self, decision: Decision) -> EpisodeChange | None:
        episode, rank = self._open, self._rank[decision.severity]
        if episode is None:
            self.count += 1
            episode = self._open = _OpenEpisode(decision, len(self._names))
            episode.add(decision)
            return EpisodeChange("began", self._episode(episode, None))
        episode.add(decision)
        if rank <= self._rank[episode.severity]:
            return None
        episode.severity = decision.severity
        return EpisodeChange("worsened", self._episode(episode, None))

    def _episode(self, episode: _OpenEpisode, end: float | None) -> Episode:
        shares = episode.share_sums / episode.n_alarms
        largest = np.argsort(-shares, kind="stable")[:N_TOP_CHANNELS].tolist()
        return Episode(
            number=self.count,
            start=episode.start,
            last=episode.last,
            end=end,
            peak_score=episode.peak_score,
            peak_time=episode.peak_time,
            peak_ratio=episode.peak_ratio,
            severity=episode.severity,
            n_alarms=episode.n_alarms,
            top_channels=tuple((self._names[i], float(shares[i])) for i in largest),
        )


class _OpenEpisode:
    """What an episode is made of while it lasts."""

    def __init__(self, first: Decision, n_channels: int) -> None:
        self.start = self.last = self.alarmed_at = self.peak_time = first.time
        self.severity = first.severity
        self.peak_score = self.peak_ratio = 0.0
        self.n_alarms = 0
        self.share_sums = np.zeros(n_channels)

    @classmethod
    def restored(cls, saved: dict[str, Any], n_channels: int) -> _OpenEpisode:
        """The one of which `vars` were saved."""
        episode = cls.__new__(cls)
        for name in ("start", "last", "alarmed_at", "peak_time", "severity", "peak_score", "peak_ratio"):
            setattr(episode, name, saved[name])
        episode.n_alarms = int(saved["n_alarms"])
        episode.share_sums = np.array(saved["share_sums"], np.float64)
        if episode.share_sums.shape != (n_channels,):
            raise ValueError(f"an episode of {episode.share_sums.shape} channels")
        return episode

    def add(self, decision: Decision) -> None:
        time, _, score, ucl, contributions, *_ = decision
        if score is None or contributions is None:
            raise ValueError("an alarm has a score and contributions")
        self.alarmed_at = time
        """By the clock as it is now, which the hold-off is measured with."""
        self.last = max(self.last, time)
        self.n_alarms += 1
        if score:  # a k-of-n alarm may last over a score of nothing
            self.share_sums += contributions / score
        if score > self.peak_score:
            self.peak_score, self.peak_time, self.peak_ratio = score, self.last, score / ucl
