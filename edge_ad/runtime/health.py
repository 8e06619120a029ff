"""How a stream has been doing: over the last day of sample time, and since the start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Manifest
from edge_ad.detect.decision import Decision
from edge_ad.detect.drift import DriftFigures, DriftMonitor
from edge_ad.detect.episodes import EpisodeChange
from edge_ad.detect.rolling import HOUR_S, RollingDay
from edge_ad.runtime.journal import Batch, Journal

MAX_REASON_KINDS = 30
"""Further ones are counted together, so that memory stays constant whatever the reasons are."""
OTHER_REASONS = "other"
_DAY_S = 86400.0
_NOT_BELIEVED = frozenset({"unreadable", "duplicate", "late", "gap", "clock-forward", "clock-back"})
"""Kinds of reasons that come with a time stamp which the detector does not go by."""

# Columns of the counts. A scored sample was in time or late; kinds of reasons follow as they come.
_IN_TIME, _LATE, _ALARM, _UNKNOWN, _WARMING, _EPISODE, _FIRST_REASON = range(7)


@dataclass(frozen=True)
class HealthCounts:
    """What happened in some span of time."""

    decisions: int
    normal: int
    alarm: int
    unknown: int
    warming: int
    unknown_share: float | None
    """Of all decisions, 0…1; None without any."""
    reasons: dict[str, int]
    """How often a decision had no score, by kind: the part of its reason before the colon."""
    episodes: int
    """Alarm episodes that began."""
    episodes_per_day: float | None
    """Per 24 hours of samples, at the nominal sample period; None below one hour of them."""
    missed_deadlines: int
    """Scored samples whose decision took longer than the nominal sample period."""


@dataclass(frozen=True)
class HealthSummary:
    """All of it; `bundle.codec.encode` makes JSON of it."""

    day: HealthCounts
    """The last 24 hours of sample time."""
    since_start: HealthCounts
    drift: DriftFigures | None
    """Scores of the last 24 hours against those of training; None where the bundle has no quantiles."""


class Health:
    """Counts the decisions of one stream, in constant memory.

    Scored samples come in bulk, from the journal. Decisions that are not normal are to be noted one by one
    (`note`), as are changes of episodes (`note_change`).
    """

    def __init__(self, journal: Journal, sample_period_s: float, drift: DriftMonitor | None = None) -> None:
        """`sample_period_s` is the nominal one, and the deadline of every decision."""
        self._journal = journal
        self._sample_period_s = sample_period_s
        self._deadline_ns = sample_period_s * 1e9
        self._drift = drift
        self._counts = RollingDay(_FIRST_REASON + MAX_REASON_KINDS + 1)
        self._reasons: dict[str, int] = {}
        """Kind -> column."""
        self._hour = math.nan
        journal.subscribe(self._take)

    @classmethod
    def of(cls, manifest: Manifest, variant: str | None, journal: Journal) -> Health:
        """The health of a stream that `variant` (the bundle's default for None) decides on."""
        limit = manifest.variant(variant).limit
        drift = None
        if limit.score_quantiles:
            drift = DriftMonitor(limit.score_quantiles, limit.n_train_windows, manifest.window_length)
        return cls(journal, manifest.sample_period_s, drift)

    def note(self, decision: Decision) -> None:
        """Count a decision that is not normal; call it after the decision's entry is in the journal.

        A normal one is left to the journal, and does no harm here.
        """
        state, time = decision.state, decision.time
        if state == "normal":
            return
        kind = (decision.reason or OTHER_REASONS).partition(":")[0]
        if kind in _NOT_BELIEVED:
            time = math.nan  # it belongs to the hour that the stream is in
        hour = time // HOUR_S
        if hour != self._hour:
            # so that what came before this hour is also counted before it
            self._journal.flush()
            self._hour = hour
        if state == "alarm":
            self._counts.add(time, _ALARM)
            return
        self._counts.add(time, _UNKNOWN if state == "unknown" else _WARMING, self._column_of(kind))

    def note_change(self, change: EpisodeChange) -> None:
        """Count an episode that began; call it after `note` of the decision that began it."""
        if change.kind == "began":
            self._counts.add(change.episode.start, _EPISODE)

    def summary(self) -> HealthSummary:
        """Everything up to the newest decision."""
        self._journal.flush()
        return HealthSummary(
            self._figures(self._counts.day()),
            self._figures(self._counts.ever),
            None if self._drift is None else self._drift.figures(),
        )

    def _take(self, batch: Batch) -> None:
        is_late = batch.marks_ns[:, -1] - batch.marks_ns[:, 0] > self._deadline_ns
        self._counts.add_many(batch.times, is_late.astype(np.int64))
        if self._drift is not None:
            self._drift.add(batch.times, batch.scores)

    def _column_of(self, kind: str) -> int:
        column = self._reasons.get(kind)
        if column is None:
            if kind == OTHER_REASONS or len(self._reasons) >= MAX_REASON_KINDS:
                return _FIRST_REASON + MAX_REASON_KINDS
            column = self._reasons[kind] = _FIRST_REASON + len(self._reasons)
        return column

    def _figures(self, counts: NDArray[np.int64]) -> HealthCounts:
        in_time, late, alarm, unknown, warming, episodes, *reasons = counts.tolist()
        scored = in_time + late
        decisions = scored + unknown + warming
        days = decisions * self._sample_period_s / _DAY_S
        kinds = [*self._reasons, *[""] * (MAX_REASON_KINDS - len(self._reasons)), OTHER_REASONS]
        return HealthCounts(
            decisions=decisions,
            normal=scored - alarm,
            alarm=alarm,
            unknown=unknown,
            warming=warming,
            unknown_share=unknown / decisions if decisions else None,
            reasons={kind: n for kind, n in zip(kinds, reasons, strict=True) if n},
            episodes=episodes,
            episodes_per_day=episodes / days if days * _DAY_S >= HOUR_S else None,
            missed_deadlines=late,
        )
