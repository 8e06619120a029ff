"""What a detector made of many samples at once: decisions by column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.decision import Decision, State

STATES: tuple[State, ...] = get_args(State)
_ALARM = STATES.index("alarm")


class Replay:
    """Decisions on `n` samples, in their order. Iterating over it gives them one by one, as `push` does."""

    def __init__(self, times: NDArray[np.float64], n_channels: int, ucl: float, *, resampled: bool) -> None:
        self.times = times
        self.states = np.zeros(len(times), np.uint8)
        """`(n,)`: positions in `STATES`."""
        self.scores = np.full(len(times), np.nan)
        """`(n,)`; NaN where there is none."""
        self.contributions = np.full((len(times), n_channels), np.nan, np.float32)
        """`(n, n_channels)`; NaN where there is no score."""
        self.reasons: dict[int, str] = {}
        """By row, for those without a score."""
        self.severities: dict[int, str] = {}
        """By row, for those with an alarm."""
        self._ucl = ucl
        self._resampled = resampled

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Decision]:
        return map(self.decision, range(len(self)))

    @property
    def alarms(self) -> NDArray[np.bool_]:
        """`(n,)`: rows on which the alarm rule is met."""
        alarms: NDArray[np.bool_] = self.states == _ALARM
        return alarms

    def decision(self, row: int) -> Decision:
        """The decision on one sample; its latency is not known."""
        time, state = float(self.times[row]), STATES[self.states[row]]
        if row in self.reasons:
            return Decision(time, state, None, self._ucl, None, self.reasons[row])
        score, severity = float(self.scores[row]), self.severities.get(row)
        return Decision(
            time, state, score, self._ucl, self.contributions[row], None, severity, self._resampled
        )

    def put_alarm(self, row: int, severity: str) -> None:
        """Mark a row, whose score is there, as one with an alarm."""
        self.states[row] = _ALARM
        self.severities[row] = severity

    def put(self, row: int, decision: Decision) -> None:
        """Fill in a row."""
        self.states[row] = STATES.index(decision.state)
        if decision.score is None or decision.contributions is None:
            self.reasons[row] = decision.reason or ""
            self.scores[row] = self.contributions[row] = np.nan
            return
        self.scores[row], self.contributions[row] = decision.score, decision.contributions
        if decision.severity is not None:
            self.severities[row] = decision.severity
