"""Windows unlike those a model was trained on, made from them without a look at labels or at a test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_AMPLITUDES = (1.5, 2.0, 3.0, 4.0)
_STEPS = (2.0, 4.0, 8.0)


def synthetic_anomalies(windows: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Moderate deviations, where decisions are made: `(n, window_length, n_channels)` scaled windows.

    From `windows`: as they are, with larger amplitude, and with a step (in standard deviations) in
    one random channel at a random moment. The seed makes them the same every time.
    """
    rng = np.random.default_rng(seed)
    n, length, n_channels = windows.shape
    made = [windows, *(windows * np.float32(amplitude) for amplitude in _AMPLITUDES)]
    for size in _STEPS:
        channel = rng.integers(n_channels, size=(n, 1, 1))
        start = rng.integers(length, size=(n, 1, 1))
        height = size * rng.choice([-1.0, 1.0], (n, 1, 1))
        raised = (np.arange(n_channels) == channel) & (np.arange(length)[:, None] >= start)
        made.append(windows + np.where(raised, height, 0.0).astype(np.float32))
    return np.concatenate(made).astype(np.float32)
