"""Counts over the last day of sample time, in constant memory."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

HOURS = 24
HOUR_S = 3600.0


class RollingDay:
    """Counts of several kinds of events, a column each, in the 24 hours of sample time up to the newest.

    Hour `h` since the epoch has row `h % 24` of a ring, and takes it over from whichever hour had it before.
    Nothing else depends on the order of times, so neither a clock that jumps nor samples further apart than
    an hour can break it: the day is what the ring holds of the 24 hours up to the hour counted last. After a
    clock was set back, the hours that lie ahead are left out until it is there again; a jump costs at most
    the hours whose rows it takes.
    """

    def __init__(self, n_columns: int) -> None:
        self._counts = np.zeros((HOURS, n_columns), np.int64)
        self._hours = [math.nan] * HOURS
        """Which hour each row counts."""
        self._newest = math.nan
        self._row = np.zeros(n_columns, np.int64)
        """Of the newest hour; before there is one, of none."""
        self.ever = np.zeros(n_columns, np.int64)
        """`(n_columns,)` counts of all times."""

    def add(self, time: float, *columns: int) -> None:
        """Count an event at `time`, in seconds since the epoch, in each of the columns.

        One whose time is not a finite number belongs to the hour counted last.
        """
        if math.isfinite(time):
            self._turn_to(time // HOUR_S)
        for column in columns:
            self._row[column] += 1
            self.ever[column] += 1

    def add_many(self, times: NDArray[np.float64], columns: NDArray[np.int64]) -> None:
        """Count one event at each of `(n,)` times, which are finite, in the column of the same place."""
        if not len(times):
            return
        hours = times // HOUR_S
        changes = (np.flatnonzero(hours[1:] != hours[:-1]) + 1).tolist()
        for first, end in pairwise([0, *changes, len(times)]):
            self._turn_to(float(hours[first]))
            there = columns[first:end].astype(np.intp, copy=False)  # no int64 on a 32-bit board
            counts = np.bincount(there, minlength=len(self.ever))
            self._row += counts
            self.ever += counts

    def day(self) -> NDArray[np.int64]:
        """`(n_columns,)` counts of the last 24 hours of sample time."""
        newest = self._newest
        in_day = [newest - HOURS < hour <= newest for hour in self._hours]
        day: NDArray[np.int64] = self._counts[in_day].sum(axis=0)
        return day

    def _turn_to(self, hour: float) -> None:
        if hour == self._newest:
            return
        self._newest = hour
        slot = int(hour % HOURS)
        self._row = self._counts[slot]
        if self._hours[slot] != hour:
            self._hours[slot] = hour
            self._row[:] = 0
