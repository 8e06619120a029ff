"""Windows: the last `window_length` scaled samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_VALUE = 1e30
"""Values from here on, in engineering units, count as not finite: on the way to a score they would leave
float32's range."""


CLOCK_ERROR_S = 1e-6
"""A step counts as too long only beyond this: seconds since the epoch are stored to about 2.4e-7 s."""


class WindowRing:
    """The newest `window_length` rows as one contiguous block, in constant memory.

    Every row is written twice, `window_length` apart, so that some slice of the buffer always
    holds the window in order: reading it costs no copy.
    """

    def __init__(self, window_length: int, n_channels: int) -> None:
        self._length = window_length
        self._rows = np.zeros((2 * window_length, n_channels), np.float32)
        # Views made once: slicing in the loop would cost more than the copy it saves.
        self._windows = [self._rows[i + 1 : i + 1 + window_length] for i in range(window_length)]
        self._slots = [self._rows[i::window_length] for i in range(window_length)]
        self._next = 0
        self.filled = 0

    def push(self, row: NDArray[np.floating]) -> NDArray[np.float32] | None:
        """Append a `(n_channels,)` row as float32; return the window as a view, or None until it is full."""
        slot = self._next
        self._slots[slot][:] = row
        self._next = slot + 1 if slot + 1 < self._length else 0
        if self.filled < self._length:
            self.filled += 1
            if self.filled < self._length:
                return None
        return self._windows[slot]

    def clear(self) -> None:
        """Forget all rows; the next window is full after `window_length` further rows."""
        self.filled = 0


def sliding_windows(rows: NDArray[np.float32], window_length: int) -> NDArray[np.float32]:
    """All windows of `(n, n_channels)` rows as a view `(n - window_length + 1, window_length, n_channels)`.

    Empty (zero windows) where there are fewer rows than a window has.
    """
    if len(rows) < window_length:
        return np.empty((0, window_length, rows.shape[1]), rows.dtype)
    view = np.lib.stride_tricks.sliding_window_view(rows, window_length, axis=0)
    return view.transpose(0, 2, 1)


def usable(samples: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of `(n, n_channels)` samples can be part of a window: numbers, none of them absurd."""
    rows: NDArray[np.bool_] = np.abs(samples).max(axis=1) < LARGEST_VALUE
    return rows


def whole_windows(
    times: NDArray[np.float64],
    samples: NDArray[np.float64],
    window_length: int,
    largest_gap_s: float,
) -> NDArray[np.bool_]:
    """Which sliding windows are whole: usable rows, and no step in time longer than the largest gap.

    `times` is `(n,)` seconds, `samples` `(n, n_channels)`; the result is `(n - window_length + 1,)`.
    """
    n_windows = max(0, len(samples) - window_length + 1)
    # A row is broken when its values are not usable; a step, when it is too long. A window is
    # whole when the running counts of both do not change inside it.
    broken = np.concatenate([[0], np.cumsum(~usable(samples))])
    gaps = np.concatenate([[0], np.cumsum(np.diff(times, prepend=times[:1]) > largest_gap_s + CLOCK_ERROR_S)])
    start = np.arange(n_windows)
    end = start + window_length
    whole: NDArray[np.bool_] = (broken[end] == broken[start]) & (gaps[end] == gaps[start + 1])
    return whole
