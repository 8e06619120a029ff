"""The tail of a distribution of scores: its peaks over a threshold as a generalized Pareto distribution.

Fitted by probability-weighted moments (Hosking and Wallis, Parameter and quantile estimation for the
generalized Pareto distribution, Technometrics 1987): a closed form, better than maximum likelihood for the
few dozen peaks that there are, and without a library on the device, where limits are derived anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_PEAKS = 20
LARGEST_SHAPE = 0.5
"""From here on the variance is infinite, and the estimate and every extrapolation by it are worth nothing."""
_SMALLEST_SHAPE = -2.0
"""Peaks that crowd at their upper end, or are equal: -1 is a uniform distribution."""


class TailError(ValueError):
    """These scores have no tail that could be fitted; the message says why."""


@dataclass(frozen=True)
class Tail:
    """`P(score > x) = share * (1 + shape * (x - threshold) / scale) ** (-1 / shape)` above the threshold."""

    threshold: float
    scale: float
    shape: float
    share: float
    """Of all scores, how many are above the threshold."""

    def quantile(self, rate: float) -> float:
        """The score that a share `rate` of all scores exceeds; at most `share`."""
        relative = rate / self.share
        if abs(self.shape) < 1e-9:
            return self.threshold - self.scale * math.log(relative)
        return self.threshold + self.scale / self.shape * (math.pow(relative, -self.shape) - 1)


def fit_tail(scores: NDArray[np.float64], share: float) -> Tail:
    """The tail of `(n,)` scores above their quantile `1 - share`. Raises TailError."""
    threshold = float(np.quantile(scores, 1 - share))
    peaks = np.sort(scores[scores > threshold]) - threshold
    n = len(peaks)
    if n < FEWEST_PEAKS:
        raise TailError(f"{n} of {len(scores)} scores are in the tail, {FEWEST_PEAKS} at least are needed")
    exceeded = 1 - (np.arange(1, n + 1) - 0.35) / n
    mean, weighted = float(peaks.mean()), float((exceeded * peaks).mean())
    difference = mean - 2 * weighted
    if not difference > 0 or 2 - mean / difference < _SMALLEST_SHAPE:
        raise TailError("the scores of the tail are all but equal")
    shape, scale = 2 - mean / difference, 2 * mean * weighted / difference
    if not (shape < LARGEST_SHAPE and scale > 0):
        raise TailError(f"the tail is too heavy to be extrapolated (shape {shape:.2f})")
    return Tail(threshold, scale, shape, n / len(scores))
