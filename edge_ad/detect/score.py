"""The score of a window: how badly its reconstruction fits, and which channels are to blame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreKind = Literal["sum", "mean"]
"""`sum`: the channels' mean absolute errors added up (the SKAB notebook). `mean`: their mean, which
is the window's mean absolute error (the bearing post)."""


class WindowScorer:
    """Scores one window after the other, in buffers made once.

    `contribution[c] = mean over time of |window - reconstruction|`, divided by the number of channels
    for the kind `mean`; the score is the contributions' sum. Errors are float32 like the network's
    output; the mean over time is written as a product, which is the cheapest way to have numpy
    add up an array this small.
    """

    def __init__(self, window_length: int, n_channels: int, kind: ScoreKind = "sum") -> None:
        self._errors = np.empty((window_length, n_channels), np.float32)
        divisor = window_length if kind == "sum" else window_length * n_channels
        self._mean = np.full(window_length, 1 / divisor, np.float32)
        self._ones = np.ones(n_channels, np.float64)

    def contributions(
        self, window: NDArray[np.float32], reconstruction: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Each channel's share of the score: two `(window_length, n_channels)` -> `(n_channels,)`."""
        errors = self._errors
        np.subtract(window, reconstruction, errors)
        np.absolute(errors, errors)
        shares: NDArray[np.float64] = self._mean.dot(errors).astype(np.float64)
        return shares

    def score(
        self, window: NDArray[np.float32], reconstruction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float]:
        """The contributions `(n_channels,)` and their sum, the score."""
        shares = self.contributions(window, reconstruction)
        return shares, float(self._ones.dot(shares))
