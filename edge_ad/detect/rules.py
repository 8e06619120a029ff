"""Alarm rules: how exceedances (window score > UCL) become alarms on rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def leaderboard_flags(exceedances: NDArray[np.bool_], window_length: int, n_rows: int) -> NDArray[np.bool_]:
    """The SKAB leaderboard's rule, row by row, exactly as the notebook applies it.

    `exceedances` is `(n_windows,)`, `n_windows = n_rows - window_length + 1`, and tells of the window
    *starting* at each row. Row `i` is flagged when the windows starting at
    `i - window_length + 1 … i - 1` all exceed, for `i` from `window_length - 1` to
    `n_windows - window_length`. The window that starts at `i - 1` ends at `i + window_length - 2`: the
    rule looks ahead. Use it to compare with published figures, never in a stream.
    With windows of one row, a row is flagged when its own exceeds.

    Returns `(n_rows,)` bool.
    """
    if window_length == 1:
        return exceedances.copy()
    flags = np.zeros(n_rows, bool)
    needed = window_length - 1
    rows = np.arange(needed, len(exceedances) - window_length + 1)
    counted = np.concatenate([[0], np.cumsum(exceedances)])
    flags[rows] = counted[rows] - counted[rows - needed] == needed
    return flags


class AlarmRule:
    """The streaming rule: alarm while at least `k` of the newest `n` windows exceed the UCL.

    With `k == n` that is the consecutive rule: the last `k` windows all exceed. Causal: it is asked at the
    row on which a window ends. With a `clear_limit` below the UCL (hysteresis) an alarm also lasts while
    scores stay above that. A row without a score ends the alarm and forgets the windows before it.
    """

    def __init__(self, ucl: float, k: int, n: int = 0, clear_ratio: float = 1.0) -> None:
        """`n` of 0 stands for `k`. `clear_ratio` times the UCL is the clear limit."""
        self.ucl = ucl
        self.clear_limit = ucl * clear_ratio
        self._k = k
        self._mask = (1 << (n or k)) - 1
        self._exceedances = 0
        """Bit `i` says whether the window `i` rows ago exceeded the UCL."""
        self._on = False

    def update(self, score: float) -> bool:
        """Take in the newest window's score; return whether there is an alarm now."""
        exceedances = self._exceedances
        if exceedances or score > self.ucl:
            exceedances = (exceedances << 1 | (score > self.ucl)) & self._mask
            self._exceedances = exceedances
            self._on = exceedances.bit_count() >= self._k or (self._on and score > self.clear_limit)
        elif self._on:
            self._on = score > self.clear_limit
        return self._on

    def is_quiet(self, highest_score: float) -> bool:
        """Whether scores up to this one would change nothing: there is no alarm, and none would begin."""
        return not self._exceedances and not self._on and highest_score <= self.ucl

    def save(self) -> dict[str, Any]:
        """Which of the newest windows exceeded the UCL, as JSON values, for `restore`."""
        return {"exceedances": f"{self._exceedances:x}", "on": self._on}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on where the same rule was saved. Raises KeyError, TypeError, ValueError."""
        self._exceedances, self._on = int(saved["exceedances"], 16) & self._mask, bool(saved["on"])

    def reset(self) -> None:
        """Start anew, without an alarm."""
        self._exceedances, self._on = 0, False
