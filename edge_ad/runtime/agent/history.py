"""The newest scores of an asset, for a chart, in constant memory."""

from __future__ import annotations

import math

import numpy as np

from edge_ad.detect.decision import Decision
from edge_ad.runtime.snapshot import History

N_POINTS = 600
"""Ten minutes of a stream with a sample a second or more."""
_STATES = ("normal", "warming", "unknown", "alarm")
"""From harmless to bad."""
_RANK = {state: rank for rank, state in enumerate(_STATES)}


class RecentScores:
    """A ring of points. Decisions of the same second, by the stream's clock, share one: the worst of each."""

    def __init__(self) -> None:
        self._times = np.zeros(N_POINTS)
        self._scores = np.full(N_POINTS, np.nan, np.float32)
        self._states = np.zeros(N_POINTS, np.int8)
        self._ucls = np.zeros(N_POINTS, np.float32)
        self._n = 0
        """Points so far, those that have been pushed out included."""
        self._second = math.nan
        self._score, self._state = -math.inf, -1
        """The worst of the newest point."""

    def add(self, decision: Decision) -> None:
        """Take in the next decision."""
        time, state, score, ucl, *_ = decision
        if not math.isfinite(time):
            return  # a garbled line
        if time // 1 != self._second:
            self._second = time // 1
            self._score, self._state = -math.inf, -1
            at = self._n % N_POINTS
            self._times[at], self._scores[at], self._states[at], self._ucls[at] = time, np.nan, 0, ucl
            self._n += 1
        at = (self._n - 1) % N_POINTS
        if score is not None and score > self._score:
            self._score = self._scores[at] = score
        if _RANK[state] > self._state:
            self._state = self._states[at] = _RANK[state]

    def history(self) -> History:
        """The points, oldest first."""
        order = np.arange(max(0, self._n - N_POINTS), self._n) % N_POINTS
        scores = self._scores[order].tolist()
        return History(
            times=tuple(self._times[order].tolist()),
            scores=tuple(None if math.isnan(score) else score for score in scores),
            states=tuple(_STATES[state] for state in self._states[order].tolist()),
            ucls=tuple(self._ucls[order].tolist()),
        )
