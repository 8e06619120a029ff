"""When the samples of a live stream arrive, against when they should."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ad.runtime.histogram import DurationHistograms
from edge_ad.runtime.journal import FLUSH_EVERY

_INTERVAL, _DEVIATION = 0, 1


@dataclass(frozen=True)
class ArrivalSummary:
    """Intervals between arrivals, in milliseconds. Percentiles are within 1 %, the rest is exact."""

    count: int
    """Intervals: one less than arrivals."""
    nominal_ms: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    jitter_ms: float
    """Mean of `|interval - nominal|`."""
    jitter_p99_ms: float
    longest_silence_ms: float


class ArrivalRecorder:
    """Histograms of the intervals between arrivals, and of their distance from the nominal period."""

    def __init__(self, nominal_s: float) -> None:
        self._nominal_ns = round(nominal_s * 1e9)
        self._histograms = DurationHistograms(2)
        self._pending: list[float] = []
        """Arrivals not counted yet; the first of them is the last one counted."""

    def add(self, monotonic_s: float) -> None:
        """Record an arrival, at a time of a clock that is never set, such as `time.monotonic`."""
        self._pending.append(monotonic_s)
        if len(self._pending) > FLUSH_EVERY:
            self._flush()

    def summary(self, now: float | None = None) -> ArrivalSummary | None:
        """Intervals so far; None before the second arrival.

        With `now`, on the same clock, the silence since the last arrival counts as one too, if it is the
        longest.
        """
        self._flush()
        if not self._histograms.count:
            return None
        p50, p99 = self._histograms.percentiles_ns(_INTERVAL, (50, 99))
        (jitter_p99,) = self._histograms.percentiles_ns(_DEVIATION, (99,))
        silence = 0.0 if now is None else (now - self._pending[-1]) * 1e9
        return ArrivalSummary(
            count=self._histograms.count,
            nominal_ms=self._nominal_ns / 1e6,
            mean_ms=self._histograms.mean_ns(_INTERVAL) / 1e6,
            p50_ms=p50 / 1e6,
            p99_ms=p99 / 1e6,
            jitter_ms=self._histograms.mean_ns(_DEVIATION) / 1e6,
            jitter_p99_ms=jitter_p99 / 1e6,
            longest_silence_ms=max(silence, self._histograms.largest_ns(_INTERVAL)) / 1e6,
        )

    def _flush(self) -> None:
        intervals = np.rint(np.diff(self._pending) * 1e9).astype(np.int64)
        self._histograms.add(np.stack([intervals, np.abs(intervals - self._nominal_ns)]))
        del self._pending[:-1]
