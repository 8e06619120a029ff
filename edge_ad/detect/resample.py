"""Windows at the nominal sample period, for samples that come at another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.scaler import Scaler
from edge_ad.detect.window import CLOCK_ERROR_S

_FASTEST = 4
"""Times the nominal rate: of samples that come faster still, no window is kept."""


class ResampledWindow:
    """A window whose rows lie one nominal period apart and end at the newest sample.

    Between samples the values are interpolated linearly, in engineering units. There is one window per
    sample, at whatever rate samples come. Constant memory.
    """

    def __init__(self, window_length: int, scaler: Scaler, sample_period_s: float) -> None:
        n_channels = len(scaler.scale)
        capacity = _FASTEST * window_length + 2
        self.rows: NDArray[np.float32] = np.zeros((1, window_length, n_channels), np.float32)
        """`(1, window_length, n_channels)` scaled; holds a window while it is full."""
        self._scaler = scaler
        self._ages = sample_period_s * np.arange(window_length - 1, -1, -1.0)
        self._times = np.zeros(capacity)
        self._values = np.zeros((capacity, n_channels))
        self._period = sample_period_s
        self._held = 0

    @property
    def filled(self) -> int:
        """How many rows of a window the samples held span."""
        if not self._held:
            return 0
        span = self._times[-1] - self._times[-self._held]
        return min(len(self._ages), int((span + CLOCK_ERROR_S) / self._period) + 1)

    def push(self, row: Sequence[float], time: float) -> NDArray[np.float32] | None:
        """Append a sample in engineering units; return the window, or None while they do not span one."""
        self._times[:-1] = self._times[1:]
        self._values[:-1] = self._values[1:]
        self._times[-1], self._values[-1] = time, row
        self._held = min(self._held + 1, len(self._times))
        times, values = self._times[-self._held :], self._values[-self._held :]
        grid = time - self._ages
        if times[0] > grid[0] + CLOCK_ERROR_S:
            return None
        after = np.searchsorted(times, grid).clip(1, max(1, self._held - 1))
        if self._held == 1:  # a window of one row
            self.rows[0] = self._scaler.transform(values)
            return self.rows
        before = after - 1
        share = ((grid - times[before]) / (times[after] - times[before])).clip(0, 1)[:, np.newaxis]
        self.rows[0] = self._scaler.transform(values[before] * (1 - share) + values[after] * share)
        return self.rows

    def save(self) -> dict[str, Any]:
        """The samples held as JSON values, for `restore`."""
        held = slice(len(self._times) - self._held, None)
        return {"times": self._times[held].tolist(), "values": self._values[held].tolist()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Hold the samples of a window of the same shape. Raises KeyError, TypeError, ValueError."""
        self._held = len(saved["times"])
        if self._held:
            self._times[-self._held :] = saved["times"]
            self._values[-self._held :] = saved["values"]

    def clear(self) -> None:
        """Forget all samples."""
        self._held = 0
