"""The upper control limit (UCL): the score above which a window counts as an exceedance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.budget import Budget, Sampling
from edge_ad.detect.tail import TailError, fit_tail

LimitKind = Literal["percentile", "gpd", "conformal"]
"""`percentile`: a percentile of the scores, times a factor. `gpd`: where a generalized Pareto distribution of
the highest scores keeps a budget of false alarms. `conformal`: the score of the rank that does."""

GPD_STRETCH = 10.0
"""How many times further than the windows themselves tell a fitted tail is believed."""

_N_QUANTILES = 21
"""Twenty bins of equal share between them."""


@dataclass(frozen=True)
class FoundLimit:
    """A UCL and what became of the budget it was to keep."""

    ucl: float
    fallback: str = ""
    """Why it was not found as the rule says, in words, and how instead; empty where it was."""


@dataclass(frozen=True)
class LimitRule:
    """How the limit comes from scores of normal windows.

    By default `percentile(scores, percentile) * factor`, as in the SKAB notebook (99 and 1.5).
    """

    percentile: float = 99.0
    factor: float = 1.5
    digits: int | None = None
    """Decimals that the UCL is rounded to, None: not at all. The bearing post has 3, of percentile 100 and
    factor 1.1."""
    kind: LimitKind = "percentile"
    budget: str = ""
    """False alarms that are allowed, of `gpd` and `conformal`: `1 per week`."""
    tail_share: float = 0.1
    """Of `gpd`: the share of the scores, the highest, that the tail is fitted to."""

    def __post_init__(self) -> None:
        if not 0 < self.percentile <= 100:
            raise ValueError("percentile must lie above 0 and at most at 100")
        if not self.factor > 0:
            raise ValueError("factor must be above 0")
        if self.digits is not None and not 0 <= self.digits <= 15:
            raise ValueError("digits must be 0 to 15")
        if (self.kind == "percentile") != (not self.budget):
            raise ValueError(
                "a budget belongs to the kinds gpd and conformal, and they need one: '1 per week'"
            )
        if self.budget:
            Budget(self.budget)
        if not 0 < self.tail_share <= 0.5:
            raise ValueError("tail_share must lie above 0 and at most at 0.5")

    def limit(self, scores: NDArray[np.float64], sampling: Sampling | None = None) -> float:
        """The UCL for `(n,)` scores of normal windows; see `find`."""
        return self.find(scores, sampling).ucl

    def find(self, scores: NDArray[np.float64], sampling: Sampling | None = None) -> FoundLimit:
        """The UCL for `(n,)` scores of normal windows, which follow one another as `sampling` says.

        Percentiles by linear interpolation, numpy's default. Raises ValueError for a budget without
        sampling, or one that allows more than every second window.
        """
        if self.kind == "percentile":
            return FoundLimit(self._rounded(self._percentile(scores)))
        if sampling is None:
            raise ValueError("a budget of false alarms needs to know how windows follow one another")
        rate = Budget(self.budget).rate(sampling)
        if self.kind == "conformal":
            return FoundLimit(self._rounded(_conformal(scores, rate)))
        try:
            tail = fit_tail(scores, self.tail_share)
        except TailError as error:
            found = self._rounded(self._percentile(scores))
            how = f"percentile {self.percentile:g} times {self.factor:g} instead, which keeps no budget"
            return FoundLimit(found, f"no tail could be fitted: {error}; {how}")
        if rate >= tail.share:
            return FoundLimit(self._rounded(float(np.quantile(scores, 1 - rate))))
        ucl = tail.quantile(rate)
        if rate * len(scores) < 1:  # what has been seen of normal operation is normal
            ucl = max(ucl, float(scores.max()))
        return FoundLimit(self._rounded(ucl))

    def doubt(self, n_windows: int, sampling: Sampling) -> str:
        """Why so many windows cannot promise the budget, in words; empty where they can, or none is."""
        if not self.budget:
            return ""
        stretch = GPD_STRETCH if self.kind == "gpd" else 1.0
        return Budget(self.budget).doubt(n_windows, sampling, stretch=stretch)

    def text(self) -> str:
        """What it is, in words that follow `UCL: `."""
        rounded = "" if self.digits is None else f", rounded to {self.digits} decimals"
        if self.kind == "percentile":
            return f"percentile {self.percentile:g} of the scores, times {self.factor:g}{rounded}"
        how = f"generalized Pareto tail of the highest {100 * self.tail_share:g} %"
        return f"{how if self.kind == 'gpd' else 'conformal'}, for {self.budget}{rounded}"

    def _percentile(self, scores: NDArray[np.float64]) -> float:
        return float(np.percentile(scores, self.percentile) * self.factor)

    def _rounded(self, limit: float) -> float:
        return limit if self.digits is None else round(limit, self.digits)


def _conformal(scores: NDArray[np.float64], rate: float) -> float:
    """The `ceil((1 - rate) (n + 1))`-th smallest score, or the largest where there are too few.

    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005: another score that is
    exchangeable with these exceeds it with a probability of at most `rate`.
    """
    ordered = np.sort(scores)
    rank = math.ceil((1 - rate) * (len(ordered) + 1) - 1e-9)
    return float(ordered[min(rank, len(ordered)) - 1])


def score_quantiles(scores: NDArray[np.float64]) -> tuple[float, ...]:
    """What a bundle tells of the distribution of `(n,)` scores: quantiles at equal steps from 0 to 1."""
    return tuple(np.quantile(scores, np.linspace(0, 1, _N_QUANTILES)).tolist())
