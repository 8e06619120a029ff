"""Latency of every stage, for years, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STAGES = ("scale", "infer", "score", "decide")

_SUB_BUCKETS = 128  # per power of two: bucket bounds are less than 1 % apart
_EXPONENTS = 48  # up to 2**48 ns, three days
_FLUSH_EVERY = 1024


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles of one stage, in microseconds."""

    count: int
    p50_us: float
    p95_us: float
    p99_us: float
    max_us: float


class LatencyRecorder:
    """Log-linear histograms of stage durations (as HdrHistogram has them): relative error below 1 %.

    Durations are collected in a short list first, since appending is the cheapest thing Python
    can do in the sample loop, and counted in bulk.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((len(STAGES) + 1, _EXPONENTS * _SUB_BUCKETS), np.int64)
        self._largest = np.zeros(len(STAGES) + 1, np.int64)
        self._pending: list[tuple[int, ...]] = []

    def add(self, *marks_ns: int) -> None:
        """Record one sample: the times at its start and at the end of each stage (`STAGES`)."""
        self._pending.append(marks_ns)
        if len(self._pending) >= _FLUSH_EVERY:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        marks = np.array(self._pending, np.int64)
        self._pending.clear()
        durations = np.column_stack([np.diff(marks, axis=1), marks[:, -1] - marks[:, 0]])
        np.maximum(self._largest, durations.max(axis=0), out=self._largest)
        buckets = _bucket_of(durations)
        for row, column in enumerate(buckets.T):
            self._counts[row] += np.bincount(column, minlength=self._counts.shape[1])

    def summary(self) -> dict[str, LatencySummary]:
        """One summary per stage, and `total` from sample to decision; empty before any sample."""
        self._flush()
        if not self._counts[-1].any():
            return {}
        return {
            name: _summarize(counts, int(largest))
            for name, counts, largest in zip((*STAGES, "total"), self._counts, self._largest, strict=True)
        }


def _bucket_of(durations_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    mantissa, exponent = np.frexp(durations_ns.astype(np.float64))
    # mantissa is in 0.5…1 (0 for a duration of 0, which lands in the first bucket)
    within = np.maximum(((mantissa - 0.5) * 2 * _SUB_BUCKETS).astype(np.int64), 0)
    last = _EXPONENTS * _SUB_BUCKETS - 1
    buckets: NDArray[np.int64] = np.minimum(exponent.astype(np.int64) * _SUB_BUCKETS + within, last)
    return buckets


def _summarize(counts: NDArray[np.int64], largest_ns: int) -> LatencySummary:
    seen = np.cumsum(counts)
    total = int(seen[-1])

    def percentile_us(percent: float) -> float:
        rank = int(np.ceil(total * percent / 100))
        bucket = int(np.searchsorted(seen, max(rank, 1)))
        exponent, within = divmod(bucket, _SUB_BUCKETS)
        middle = float(np.ldexp(0.5 + (within + 0.5) / (2 * _SUB_BUCKETS), exponent))
        return min(middle, largest_ns) / 1000

    return LatencySummary(total, percentile_us(50), percentile_us(95), percentile_us(99), largest_ns / 1000)
