"""The score of a window: how badly its reconstruction fits, and which channels are to blame."""

from __future__ import annotations

from math import fsum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreKind = Literal["sum", "mean"]
"""`sum`: the channels' mean absolute errors added up (the SKAB notebook). `mean`: their mean, which
is the window's mean absolute error (the bearing post)."""

_subtract, _absolute = np.subtract, np.absolute  # looked up once: these run for every sample


class WindowScorer:
    """Scores one window after the other, in buffers made once.

    `contribution[c] = mean over time of |window - reconstruction|`, divided by the number of channels
    for the kind `mean`; the score is the contributions' sum. Errors are float32 like the network's
    output; the mean over time is written as a product, which is the cheapest way to have numpy
    add up an array this small.
    """

    def __init__(self, window_length: int, n_channels: int, kind: ScoreKind = "sum") -> None:
        self._errors: NDArray[np.float32] = np.empty((1, window_length, n_channels), np.float32)
        self._rows = self._errors[0]
        divisor = window_length if kind == "sum" else window_length * n_channels
        self._mean_of = np.full(window_length, 1 / divisor, np.float32).dot

    def score(
        self, window: NDArray[np.float32], reconstruction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """The contributions `(n_channels,)` and their sum, the score.

        `window` and `reconstruction` are `(window_length, n_channels)`, or that with an axis of one before.
        """
        errors = self._errors
        _subtract(window, reconstruction, errors)
        _absolute(errors, errors)
        shares: NDArray[np.float32] = self._mean_of(self._rows)
        return shares, fsum(shares.tolist())

    def score_each(
        self,
        windows: NDArray[np.float32],
        errors: NDArray[np.float32],
        contributions: NDArray[np.float32],
    ) -> list[float]:
        """Scores of `(n, 1, window_length, n_channels)` windows, and of them less their reconstructions.

        To the bit as `score` has them. Fills the `(n, n_channels)` contributions; the errors become absolute.
        """
        np.absolute(errors, errors)
        for rows, shares in zip(errors[:, 0], contributions, strict=True):
            self._mean_of(rows, shares)
        return list(map(fsum, contributions.tolist()))
