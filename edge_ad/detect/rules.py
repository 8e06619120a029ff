"""Alarm rules: how exceedances (window score > UCL) become alarms on rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def leaderboard_flags(exceedances: NDArray[np.bool_], window_length: int, n_rows: int) -> NDArray[np.bool_]:
    """The SKAB leaderboard's rule, row by row, exactly as the notebook applies it.

    `exceedances` is `(n_windows,)`, `n_windows = n_rows - window_length + 1`, and tells of the window
    *starting* at each row. Row `i` is flagged when the windows starting at
    `i - window_length + 1 … i - 1` all exceed, for `i` from `window_length - 1` to
    `n_windows - window_length`. The window that starts at `i - 1` ends at `i + window_length - 2`: the
    rule looks ahead. Use it to compare with published figures, never in a stream.

    Returns `(n_rows,)` bool.
    """
    flags = np.zeros(n_rows, bool)
    needed = window_length - 1
    rows = np.arange(needed, len(exceedances) - window_length + 1)
    counted = np.concatenate([[0], np.cumsum(exceedances)])
    flags[rows] = counted[rows] - counted[rows - needed] == needed
    return flags


class ConsecutiveRule:
    """The streaming rule: alarm while the last `k` windows, newest included, all exceed the UCL.

    Causal: it is asked at the row on which a window ends. A row without a score breaks the chain.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self._run = 0

    def update(self, exceeds: bool) -> bool:
        """Take in the newest window's exceedance; return whether there is an alarm now."""
        self._run = self._run + 1 if exceeds else 0
        return self._run >= self._k

    def reset(self) -> None:
        """Start counting anew: the next alarm needs `k` further exceedances."""
        self._run = 0
