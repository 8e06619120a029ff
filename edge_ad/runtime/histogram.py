"""Log-linear histograms of durations: every percentile within 1 %, in constant memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_SUB_BUCKETS = 64
"""Per power of two: the middle of a bucket is within 0.8 % of whatever is in it."""
_EXPONENTS = 50
"""Up to 2**50 ns, 13 days; what is longer counts as that long, but for the exact maximum."""
_N_BUCKETS = _EXPONENTS * _SUB_BUCKETS


class DurationHistograms:
    """Histograms of several durations side by side, laid out as HdrHistogram has them.

    Counts, sums and maxima are exact; percentiles are those of the middle of a bucket. Memory is taken for
    the powers of two that occur, and those between them: a few of the fifty.
    """

    def __init__(self, n_rows: int) -> None:
        self._counts = np.zeros((n_rows, 0), np.int64)
        self._first = 0
        """Bucket of the first column; a multiple of `_SUB_BUCKETS`, as is the number of columns."""
        self._sums = np.zeros(n_rows, np.int64)
        self._largest = np.zeros(n_rows, np.int64)
        self.count = 0
        """Durations counted in each histogram."""

    def add(self, durations_ns: NDArray[np.int64]) -> None:
        """Count `(n_rows, n)` durations in nanoseconds; a negative one counts as 0."""
        if not durations_ns.shape[1]:
            return
        durations_ns = np.maximum(durations_ns, 0)
        buckets = _bucket_of(durations_ns)
        self._make_room(int(buckets.min()), int(buckets.max()))
        n_rows, n_columns = self._counts.shape
        places = buckets - self._first + np.arange(n_rows)[:, None] * n_columns
        flat = places.ravel().astype(np.intp, copy=False)  # bincount takes no int64 on a 32-bit board
        self._counts += np.bincount(flat, minlength=self._counts.size).reshape(n_rows, n_columns)
        self._sums += durations_ns.sum(axis=1)
        np.maximum(self._largest, durations_ns.max(axis=1), out=self._largest)
        self.count += durations_ns.shape[1]

    def merge(self, other: DurationHistograms) -> None:
        """Count what the other one has counted."""
        n_columns = other._counts.shape[1]
        if n_columns:
            self._make_room(other._first, other._first + n_columns - 1)
            at = other._first - self._first
            self._counts[:, at : at + n_columns] += other._counts
        self._sums += other._sums
        np.maximum(self._largest, other._largest, out=self._largest)
        self.count += other.count

    def reset(self) -> None:
        """Start anew, empty."""
        self._counts = self._counts[:, :0]
        self._sums[:] = 0
        self._largest[:] = 0
        self.count = 0

    def percentiles_ns(self, row: int, percents: tuple[float, ...]) -> list[float]:
        """The smallest durations that so many percent of all do not exceed; zeros where there are none."""
        if not self.count:
            return [0.0] * len(percents)
        up_to = np.cumsum(self._counts[row])
        ranks = [max(1, math.ceil(self.count * percent / 100)) for percent in percents]
        largest = self.largest_ns(row)
        buckets = (np.searchsorted(up_to, ranks) + self._first).tolist()
        return [min(_middle_of(bucket), largest) for bucket in buckets]

    def mean_ns(self, row: int) -> float:
        """Exact mean; 0 where there are no durations."""
        return int(self._sums[row]) / max(1, self.count)

    def largest_ns(self, row: int) -> int:
        """Exact maximum; 0 where there are no durations."""
        return int(self._largest[row])

    def by_doubling(self, row: int) -> list[tuple[int, int]]:
        """How many took up to so many nanoseconds, and longer than the entry before: powers of two."""
        octaves = self._counts[row].reshape(-1, _SUB_BUCKETS).sum(axis=1).tolist()
        return [(1 << self._first // _SUB_BUCKETS + i, n) for i, n in enumerate(octaves)]

    def _make_room(self, smallest: int, largest: int) -> None:
        """Have columns for these buckets."""
        n_columns = self._counts.shape[1]
        if n_columns and self._first <= smallest and largest < self._first + n_columns:
            return
        if n_columns:
            smallest, largest = min(smallest, self._first), max(largest, self._first + n_columns - 1)
        first = smallest // _SUB_BUCKETS * _SUB_BUCKETS
        room = np.zeros((len(self._counts), (largest // _SUB_BUCKETS + 1) * _SUB_BUCKETS - first), np.int64)
        at = self._first - first
        if n_columns:
            room[:, at : at + n_columns] = self._counts
        self._counts, self._first = room, first


def _bucket_of(durations_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    mantissa, exponent = np.frexp(durations_ns)
    # mantissa is in 0.5…1, or 0 for a duration of 0, which lands in the first bucket
    within = np.maximum((mantissa - 0.5) * (2 * _SUB_BUCKETS), 0).astype(np.int64)
    buckets: NDArray[np.int64] = np.minimum(exponent * _SUB_BUCKETS + within, _N_BUCKETS - 1)
    return buckets


def _middle_of(bucket: int) -> float:
    exponent, within = divmod(bucket, _SUB_BUCKETS)
    return math.ldexp(0.5 + (within + 0.5) / (2 * _SUB_BUCKETS), exponent)
