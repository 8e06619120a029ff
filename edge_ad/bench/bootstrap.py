"""Intervals of a ratio of percentiles, from durations that depend on each other.

Durations of one process follow each other in slow waves, and one process differs from the next for as long
as it lives (where its memory lies). What can be taken for independent is a process. The blocks that are
drawn again, with replacement, are therefore whole processes: the cluster bootstrap, "strategy 1" in A. C.
Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), section 3.8. A handful of
processes makes its intervals too narrow; they are widened by the factor that makes those of a mean right:
the expanded percentile interval of T. Hesterberg, What Teachers Should Know about the Bootstrap (2015). A
lone process is drawn in runs of successive windows instead, from the end on to the start: the circular block
bootstrap of D. N. Politis and J. P. Romano (1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
CONFIDENCE = 0.95
_SEED = 20_260_101
_DRAWS_WITHIN = 500
"""Draws for a lone process, each of which has to be sorted."""


@dataclass(frozen=True)
class Ratio:
    """Of a percentile in one measurement to that in another, with the interval that holds it."""

    value: float
    low: float
    high: float

    @property
    def is_difference(self) -> bool:
        """Whether the interval leaves no room for none."""
        return not self.low <= 1.0 <= self.high


def ratios(
    base: Sequence[Sequence[int]], other: Sequence[Sequence[int]], percents: Sequence[float]
) -> list[Ratio]:
    """`other` to `base`, for each percentile; both are raw durations above 0, process by process.

    The same values give the same intervals.
    """
    generator = np.random.default_rng(_SEED)
    samples = [[np.asarray(values, np.float64) for values in series] for series in (base, other)]
    whole = [np.percentile(np.concatenate(series), percents) for series in samples]
    drawn = [_draws(series, percents, generator) for series in samples]
    n_draws = min(len(draws) for draws in drawn)
    spread = np.log(drawn[1][:n_draws]) - np.log(drawn[0][:n_draws])
    tail = 100 * _tail(*(len(series) for series in samples))
    low, high = np.exp(np.percentile(spread, (tail, 100 - tail), axis=0))
    values = whole[1] / whole[0]
    return [
        Ratio(float(value), float(min(a, value)), float(max(b, value)))
        for value, a, b in zip(values, low, high, strict=True)
    ]


def _draws(
    series: list[NDArray[np.float64]], percents: Sequence[float], generator: np.random.Generator
) -> NDArray[np.float64]:
    """`(draws, percents)` percentiles of as many processes, or of a lone one's windows, drawn again."""
    if len(series) == 1:
        return _draws_within(series[0], percents, generator)
    known: dict[tuple[int, ...], NDArray[np.float64]] = {}
    found = []
    # Of few processes there are few draws that differ: five have 126.
    for chosen in np.sort(generator.integers(len(series), size=(DRAWS, len(series))), axis=1).tolist():
        key = tuple(chosen)
        if key not in known:
            known[key] = np.percentile(np.concatenate([series[i] for i in key]), percents)
        found.append(known[key])
    return np.array(found)


def _draws_within(
    values: NDArray[np.float64], percents: Sequence[float], generator: np.random.Generator
) -> NDArray[np.float64]:
    n = len(values)
    length = max(1, round(math.sqrt(n)))
    n_blocks = math.ceil(n / length)
    found = []
    for _ in range(_DRAWS_WITHIN):
        starts = generator.integers(n, size=n_blocks)
        places = (starts[:, None] + np.arange(length)).ravel()[:n] % n
        found.append(np.percentile(values[places], percents))
    return np.array(found)


def _tail(n_base: int, n_other: int) -> float:
    """The share of draws to leave out at each end."""
    tail = (1 - CONFIDENCE) / 2
    fewest = min(n_base, n_other)
    if fewest < 2:
        return tail
    factor = math.sqrt(fewest / (fewest - 1)) * student_quantile(1 - tail, n_base + n_other - 2)
    return NormalDist().cdf(-factor)


def student_quantile(probability: float, freedom: int) -> float:
    """Of Student's t distribution, to 1 % from two degrees of freedom on.

    Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.5.
    """
    x = NormalDist().inv_cdf(probability)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))
