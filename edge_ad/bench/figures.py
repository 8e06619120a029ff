"""Figures of raw durations: percentiles, spread, drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PERCENTILES = (50.0, 95.0, 99.0, 99.9)
_BEYOND = 10
"""How many values must lie beyond a percentile for it to say something."""


def percentiles(series: Sequence[Sequence[int]], percents: Sequence[float]) -> list[float]:
    """Percentiles of all processes' values together, interpolated linearly between neighbours."""
    return [float(value) for value in np.percentile(np.concatenate(series), percents)]


def enough_for(n_values: int, percent: float) -> bool:
    """Whether so many values tell a percentile: ten of them must lie beyond it.

    >>> enough_for(9_999, 99.9), enough_for(10_000, 99.9)
    (False, True)
    """
    return n_values * (100 - percent) / 100 >= _BEYOND - 1e-9


def spread(values: Sequence[int]) -> float:
    """The middle half's width as a share of the median: (75th - 25th percentile) / median."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float((high - low) / max(middle, 1.0))


def drift(values: Sequence[int]) -> float:
    """How far the median of the second half lies from that of the first, as a share of that."""
    half = len(values) // 2
    first, second = float(np.median(values[: max(half, 1)])), float(np.median(values[half:]))
    return abs(second - first) / max(first, 1.0)


def disagreement(series: Sequence[Sequence[int]]) -> float:
    """How far the largest of the processes' medians lies above the smallest, as a share of that."""
    medians = [float(np.median(values)) for values in series]
    return (max(medians) - min(medians)) / max(min(medians), 1.0)
