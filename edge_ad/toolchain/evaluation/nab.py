"""The changepoint score of SKAB's leaderboard: Numenta's benchmark score (NAB), as SKAB defines it.

Written from its definition (SKAB's `core/metrics.py`, `chp_score(metric="nab")`, and the call of it in SKAB's
notebooks; the score itself is Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms - the
Numenta Anomaly Benchmark", 2015):

- A predicted changepoint is a row on which the alarm goes on or off; the first row is one if it is alarmed.
- Every labelled changepoint has a window: the 60 s from it on, both ends included. Where the window before
  reaches into it, it begins where that one ends.
- The first prediction in a window earns `s(x)`, `x` being its place in the window, 0 at the changepoint and 1
  at the end: from A_tp at 0 to A_fp at 1, along `-tanh` between -pi/2 and pi/2. Further ones in it earn
  nothing. A window without one costs A_fn, a prediction outside of all windows A_fp.
- 100 * (score - null) / (perfect - null), where perfect is A_tp and null A_fn for every window, summed over
  all recordings first.

SKAB looks `s` up in a table of 1,000 steps; here it is computed, which differs by at most 0.0021 per window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_S = 60.0
"""Of SKAB's notebooks."""


@dataclass(frozen=True)
class Profile:
    """What a hit, a false alarm and a miss are worth."""

    true_positive: float
    false_positive: float
    false_negative: float


PROFILES = {
    "standard": Profile(1.0, -0.11, -1.0),
    "low_fp": Profile(1.0, -0.22, -1.0),
    "low_fn": Profile(1.0, -0.11, -2.0),
}
"""SKAB's `Standard`, `LowFP` and `LowFN`."""


@dataclass(frozen=True)
class Changepoints:
    """How predicted changepoints lie to labelled ones; adds up over recordings."""

    places: tuple[float, ...] = ()
    """Of the first prediction in each window that has one: 0 at the labelled changepoint, 1 at its end."""
    n_missed: int = 0
    """Windows without a prediction."""
    n_false: int = 0
    """Predictions outside of all windows."""

    def __add__(self, other: Changepoints) -> Changepoints:
        return Changepoints(
            self.places + other.places, self.n_missed + other.n_missed, self.n_false + other.n_false
        )

    def score(self, profile: Profile) -> float | None:
        """100 for a perfect detector, 0 for one that never says anything; None without changepoints."""
        n_windows = len(self.places) + self.n_missed
        if not n_windows:
            return None
        earned = sum(_worth(place, profile) for place in self.places)
        earned += self.n_missed * profile.false_negative + self.n_false * profile.false_positive
        null, perfect = n_windows * profile.false_negative, n_windows * profile.true_positive
        return 100 * (earned - null) / (perfect - null)


def changepoints(
    times: NDArray[np.float64], labelled: NDArray[np.bool_], alarms: NDArray[np.bool_]
) -> Changepoints:
    """Of `(n,)` rows in order of time: their times in seconds, labelled changepoints, and alarms."""
    predicted = times[np.diff(alarms.astype(np.int8), prepend=0) != 0]
    begin_from, places, n_missed = -math.inf, [], 0
    inside = np.zeros(len(predicted), bool)
    for changepoint in times[labelled].tolist():
        start, end = max(changepoint, begin_from), changepoint + WINDOW_S
        begin_from = end
        within = (predicted >= start) & (predicted <= end)
        inside |= within
        if within.any():
            first = float(predicted[int(within.argmax())])
            places.append((first - start) / (end - start) if end > start else 0.0)
        else:
            n_missed += 1
    return Changepoints(tuple(places), n_missed, int((~inside).sum()))


def _worth(place: float, profile: Profile) -> float:
    high, low = profile.true_positive, profile.false_positive
    return (high - low) / 2 * (1 - math.tanh(math.pi * (place - 0.5)) / math.tanh(math.pi / 2)) + low
