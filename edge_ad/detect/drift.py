"""Whether scores in service still have the distribution they had in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.rolling import RollingDay

DriftLevel = Literal["unclear", "stable", "moderate", "major"]

MODERATE_PSI = 0.1
MAJOR_PSI = 0.25
"""Customary limits: below the first no change to speak of, from the second on a major one (N. Siddiqi, Credit
Risk Scorecards, Wiley 2006). They say nothing by themselves where the training windows were few: see
`DriftFigures.psi_noise`."""
FEWEST_PER_BIN = 5
"""Windows without overlap to be expected in every bin, as for any chi-squared statistic (Cochran 1954)."""
_ADDED_PER_BIN = 0.5
_Z_99 = 2.326347874
"""99 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class DriftFigures:
    """The last day's scores against those of training."""

    n_windows: int
    """How many scores were compared."""
    level: DriftLevel
    """By `psi` and the customary limits; `unclear` where it is above the first of them and not above
    `psi_noise`, with too few windows, or where `psi` is None."""
    psi: float | None
    """Population stability index. None without scores, and where nearly all training scores are equal."""
    psi_noise: float | None
    """What one day in a hundred has at least without any drift, from the finite number of windows alone."""
    ks: float | None
    """Largest difference of the cumulative shares, 0…1, at the training quantiles; None without scores."""
    beyond_share: float | None
    """Share of scores above the largest training score; None without scores."""


class DriftMonitor:
    """Compares the scores of a rolling day with the quantiles of the training scores, in constant memory.

    PSI is `sum((a - e) * ln(a / e))` over the bins between neighbouring quantiles, the outer ones open, with
    `e` the share of training scores in a bin and `a` that of the day's. Half a window per bin, spread as in
    training, is added to the counts, so that an empty bin has a logarithm and no scores at all a PSI of 0.
    Quantiles that coincide, as many equal training scores make them, become one bin edge.

    Neighbouring windows share all but one of their samples, so `n` scores are here taken for as little as
    `n / window_length` independent ones: too few where samples are independent of each other, too many where
    the machine varies slowly. With `n` independent scores now, `m` in training and no drift, PSI is
    distributed as `(1/n + 1/m)` times chi-squared with one degree of freedom less than there are bins (B.
    Yurdakul, J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model
    Validation 14, 2020), whence `psi_noise`. With some hundreds of training windows that is above the
    customary limits, and only larger values tell of drift.
    """

    def __init__(self, score_quantiles: Sequence[float], n_train_windows: int, window_length: int) -> None:
        """`score_quantiles` of the training scores, at equal steps from 0 to 1, are at least two.

        Raises ValueError for fewer, or if they fall.
        """
        quantiles = np.array(score_quantiles, np.float64)
        if len(quantiles) < 2 or not (np.diff(quantiles) >= 0).all():
            raise ValueError("drift needs at least two training quantiles, none below the one before")
        n_steps = len(quantiles) - 1
        upper, first_same = np.unique(quantiles[1:], return_index=True)
        # searchsorted puts a score that equals an edge below it, where the smallest one does not belong
        self._edges = np.array([np.nextafter(quantiles[0], -np.inf), *upper])
        self._shares_up_to = np.array([0, *first_same[1:], n_steps]) / n_steps
        self._n_train = n_train_windows / window_length
        self._window_length = window_length
        self._counts = RollingDay(len(self._edges) + 1)
        """By bin: below the smallest training score, between the edges, beyond the largest."""

    def add(self, times: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Take in `(n,)` scores of windows that end at `(n,)` times, in seconds since the epoch.

        What is not finite is left out.
        """
        finite = np.isfinite(times) & np.isfinite(scores)
        if not finite.all():
            times, scores = times[finite], scores[finite]
        self._counts.add_many(times, np.searchsorted(self._edges, scores))

    @property
    def fewest_windows(self) -> int:
        """How many windows it takes for the figures to mean something."""
        n_bins = max(2, len(self._edges) - 1)
        return FEWEST_PER_BIN * n_bins * self._window_length

    def figures(self) -> DriftFigures:
        """Of the 24 hours of sample time up to the newest score."""
        counts = self._counts.day()
        n = int(counts.sum())
        if not n:
            return DriftFigures(0, "unclear", None, None, None, None)
        psi, noise = self._psi(counts, n), self._psi_noise(n)
        ks = np.abs(np.cumsum(counts)[:-1] / n - self._shares_up_to).max()
        return DriftFigures(n, self._level(n, psi, noise), psi, noise, float(ks), float(counts[-1] / n))

    def _psi(self, counts: NDArray[np.int64], n: int) -> float | None:
        expected = np.diff(self._shares_up_to)
        if len(expected) < 2:
            return None
        inner = counts[1:-1].copy()
        inner[0] += counts[0]
        inner[-1] += counts[-1]
        added = _ADDED_PER_BIN * len(expected)
        actual = (inner + added * expected) / (n + added)
        return float(np.sum((actual - expected) * np.log(actual / expected)))

    def _psi_noise(self, n: int) -> float | None:
        freedom = len(self._edges) - 2
        if freedom < 1 or self._n_train <= 0:
            return None
        # Wilson and Hilferty's approximation of the chi-squared quantile (1931), within 1 % here
        spread = 2 / (9 * freedom)
        quantile = freedom * (1 - spread + _Z_99 * math.sqrt(spread)) ** 3
        return (self._window_length / n + 1 / self._n_train) * quantile

    def _level(self, n: int, psi: float | None, noise: float | None) -> DriftLevel:
        if psi is None or noise is None or n < self.fewest_windows:
            return "unclear"
        if psi <= MODERATE_PSI:
            return "stable"
        if psi <= noise:
            return "unclear"
        return "major" if psi > MAJOR_PSI else "moderate"
