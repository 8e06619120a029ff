"""Windows: the last `window_length` scaled samples."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from operator import sub, truediv
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.scaler import Scaler

LARGEST_VALUE = 1e30
"""Values from here on, in engineering units, count as not finite: on the way to a score they would leave
float32's range."""


CLOCK_ERROR_S = 1e-6
"""A step counts as too long only beyond this: seconds since the epoch are stored to about 2.4e-7 s."""


_Value = TypeVar("_Value", bound=np.generic)


_ALL = slice(None)  # made once


class Window:
    """The newest `window_length` rows, scaled, as one contiguous block in constant memory.

    A sample is scaled and written once, as float32 behind the rows that it pushes forward: for a handful of
    channels Python's own numbers and one move of memory cost less than numpy's calls.
    """

    def __init__(self, window_length: int, scaler: Scaler) -> None:
        n_channels = len(scaler.scale)
        self.rows: NDArray[np.float32] = np.zeros((1, window_length, n_channels), np.float32)
        """`(1, window_length, n_channels)`, the form a network takes; holds a window while it is full."""
        self.filled = 0
        self._length = window_length
        self._offset = tuple(scaler.offset.tolist())
        self._scale = tuple(scaler.scale.tolist())
        self._scaler = scaler
        self._memory = memoryview(self.rows.data).cast("B")
        row_bytes = 4 * n_channels
        self._older, self._newer = self._memory[:-row_bytes], self._memory[row_bytes:]
        self._last_at = len(self._memory) - row_bytes
        self._pack_into = struct.Struct(f"{n_channels}f").pack_into

    def push(self, row: Sequence[float], time: float) -> NDArray[np.float32] | None:
        """Append a sample in engineering units; return the window, or None until it is full.

        The values are scaled as `Scaler.transform` does, to the bit.
        """
        self._older[_ALL] = self._newer
        self._pack_into(self._memory, self._last_at, *map(truediv, map(sub, row, self._offset), self._scale))
        if self.filled < self._length:
            self.filled += 1
            if self.filled < self._length:
                return None
        return self.rows

    def extend(self, samples: NDArray[np.float64]) -> NDArray[np.float32]:
        """Append `(n, n_channels)` samples; return the full windows that end at them, in order.

        `(m, 1, window_length, n_channels)`, a view; `m` is smaller than `n` while the window fills.
        """
        kept = min(self.filled, self._length - 1)
        older = self.rows[0, self._length - kept :]
        rows = np.concatenate([older, self._scaler.transform(samples)])
        self.filled = min(self._length, self.filled + len(samples))
        windows = sliding_windows(rows, self._length)
        last = rows[-self._length :]
        self.rows[0, self._length - len(last) :] = last
        return windows[:, np.newaxis]

    def save(self) -> dict[str, Any]:
        """Its rows as JSON values, for `restore`."""
        return {"filled": self.filled, "rows": base64.b64encode(self.rows.tobytes()).decode()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Hold the rows of a window of the same shape. Raises KeyError, TypeError, ValueError."""
        self._memory[_ALL] = base64.b64decode(saved["rows"])
        self.filled = int(saved["filled"])

    def clear(self) -> None:
        """Forget all rows; the next window is full after `window_length` further rows."""
        self.filled = 0


def sliding_windows(rows: NDArray[_Value], window_length: int) -> NDArray[_Value]:
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


def usable_windows(samples: NDArray[np.float64], window_length: int) -> NDArray[np.bool_]:
    """Which sliding windows hold usable rows only, whatever the steps in time: `(n - window_length + 1,)`."""
    n_windows = max(0, len(samples) - window_length + 1)
    # A window is usable when the running count of bad rows does not change inside it.
    n_bad = np.concatenate([[0], np.cumsum(~usable(samples))])
    start = np.arange(n_windows)
    windows: NDArray[np.bool_] = n_bad[start + window_length] == n_bad[start]
    return windows
