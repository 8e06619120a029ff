"""Latency of every stage between a sample and its decision, for years, in constant memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_ad.runtime.histogram import DurationHistograms
from edge_ad.runtime.journal import FLUSH_EVERY, Batch, Entry, Journal

STAGES = ("admit", "scale", "infer", "score", "decide")
"""Each from one of the journal's marks to the next."""
_ROWS = (*STAGES, "total")


@dataclass(frozen=True)
class LatencySummary:
    """How long one stage takes, in microseconds. Percentiles are within 1 %, the rest is exact."""

    count: int
    mean_us: float
    p50_us: float
    p95_us: float
    p99_us: float
    p999_us: float
    max_us: float
    jitter_us: float
    """Mean absolute difference from one sample to the next: the `D` of RFC 3550, section 6.4.1, averaged
    over all samples rather than smoothed."""


class LatencyRecorder:
    """Histograms of the stages' durations, and of the whole way from sample to decision.

    It reads the journal that the sample loop writes, which others may read as well.
    """

    def __init__(self, deadline_s: float | None = None) -> None:
        """`deadline_s` is usually the sample period: a decision that takes longer falls behind the stream."""
        self.journal = Journal()
        self.pending = self.journal.pending
        """The journal's list of entries not counted yet."""
        self._deadline_ns = math.inf if deadline_s is None else deadline_s * 1e9
        self._has_deadline = deadline_s is not None
        self._durations = DurationHistograms(len(_ROWS))
        self.reset()
        self.journal.subscribe(self._count)

    def reset(self) -> None:
        """Forget everything so far."""
        self.flush()
        self._durations.reset()
        self._last = np.empty((len(_ROWS), 0), np.int64)
        """`(6, 1)` durations of the newest sample, or no column yet."""
        self._differences = np.zeros(len(_ROWS), np.int64)
        """Sums of absolute differences from one sample to the next."""
        self._n_differences = 0
        self._n_missed = 0

    def add(
        self,
        start: int,
        admitted: int,
        scaled: int,
        inferred: int,
        scored: int,
        decided: int,
        time: float = math.nan,
        score: float = math.nan,
    ) -> None:
        """Record one sample: when it came and when each stage ended, in nanoseconds; see `Journal`."""
        entry: Entry = (start, admitted, scaled, inferred, scored, decided, time, score)
        self.pending.append(entry)
        if len(self.pending) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Count what is pending, here and with every other reader of the journal."""
        self.journal.flush()

    def merge(self, other: LatencyRecorder) -> None:
        """Count what another recorder has counted, as of a stream of its own. Deadlines stay each its own."""
        self.flush()
        other.flush()
        self._durations.merge(other._durations)
        self._differences += other._differences
        self._n_differences += other._n_differences
        self._n_missed += other._n_missed

    @property
    def missed_deadlines(self) -> int | None:
        """How many decisions took longer than the deadline; None where there is none."""
        self.flush()
        return self._n_missed if self._has_deadline else None

    def summary(self) -> dict[str, LatencySummary]:
        """One summary per stage, and `total` from sample to decision; empty before any sample."""
        self.flush()
        if not self._durations.count:
            return {}
        return {name: self._summarize(row) for row, name in enumerate(_ROWS)}

    def histogram_us(self) -> tuple[tuple[float, int], ...]:
        """Upper bounds in microseconds, doubling, and how many decisions took as long in total."""
        self.flush()
        return tuple((bound_ns / 1000, n) for bound_ns, n in self._durations.by_doubling(len(STAGES)))

    def _summarize(self, row: int) -> LatencySummary:
        p50, p95, p99, p999 = self._durations.percentiles_ns(row, (50, 95, 99, 99.9))
        return LatencySummary(
            count=self._durations.count,
            mean_us=self._durations.mean_ns(row) / 1000,
            p50_us=p50 / 1000,
            p95_us=p95 / 1000,
            p99_us=p99 / 1000,
            p999_us=p999 / 1000,
            max_us=self._durations.largest_ns(row) / 1000,
            jitter_us=int(self._differences[row]) / max(1, self._n_differences) / 1000,
        )

    def _count(self, batch: Batch) -> None:
        marks = batch.marks_ns.T
        durations = np.empty((len(_ROWS), marks.shape[1]), np.int64)
        np.subtract(marks[1:], marks[:-1], out=durations[:-1])
        np.subtract(marks[-1], marks[0], out=durations[-1])
        self._durations.add(durations)
        self._n_missed += int(np.count_nonzero(durations[-1] > self._deadline_ns))
        differences = np.abs(np.diff(durations, axis=1, prepend=self._last))
        self._differences += differences.sum(axis=1)
        self._n_differences += differences.shape[1]
        self._last = durations[:, -1:]
