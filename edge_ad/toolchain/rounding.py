"""What float32 arithmetic alone costs a network's scores, and errors judged beside it.

A relu LSTM passes every rounding on to the next step and may enlarge it there, so that over a long window
no float32 program, Keras included, is near float64. How far off one is depends on the order in which it
sums and on how it writes the logistic function. So the network is computed in plain float32 in several
ways that are equal on paper, and a converted model may be off by about as much as the worst of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.fusion import Scoring
from edge_ad.toolchain.architecture import Architecture, Weights
from edge_ad.toolchain.oracle import Array, logistic, reconstruct, window_scores

FACTOR = 3.0
"""How many times float32's own error an error may be. Measured: docs/conversion.md, 'Proof'."""
_WAYS = 8
_TINY = 1e-300  # a margin of zero is a margin


@dataclass(frozen=True)
class RankedError:
    """Errors of the same rank, each ranked among all windows near the limit."""

    error: float
    """Of what is judged, relative to the larger of score and UCL."""
    float32_error: float
    """Of the network itself in float32."""


def float32_scores(
    architecture: Architecture, weights: Weights, windows: NDArray[np.floating], scoring: Scoring = "sum"
) -> NDArray[np.float64]:
    """`(8, n)` scores of `(n, window_length, n_channels)` scaled windows in plain float32.

    The first as the oracle is written; the others with the units of each layer, and so the terms of each
    sum, in another order, and every second one with the other textbook form of the logistic function.
    """
    rng = np.random.default_rng(0)
    scores = []
    for way in range(_WAYS):
        reordered = weights if way < 2 else architecture.reordered(weights, rng)
        sigmoid = _by_exponential if way % 2 else logistic
        outputs = reconstruct(architecture, reordered, windows, dtype=np.float32, sigmoid=sigmoid)
        scores.append(window_scores(windows, outputs, scoring))
    return np.array(scores)


def rank_errors(errors: NDArray[np.float64], float32_errors: NDArray[np.float64]) -> tuple[RankedError, ...]:
    """The ranks that decide, of errors `(n,)` and float32's own `(n,)` on the same windows.

    Both are sorted, so that the largest stands beside the largest and so on: single windows are a matter of
    luck. What decides is the highest rank, and the highest at which the error is over `FACTOR` times
    float32's own, which then has to be within the margin. What float32 cannot compute excuses nothing.
    Empty without windows.
    """
    if not len(errors):
        return ()
    ours = np.sort(errors)
    floor = np.sort(np.where(np.isfinite(float32_errors), float32_errors, 0.0))
    over = np.flatnonzero(ours > FACTOR * floor)
    ranks = sorted({len(ours) - 1, *over[-1:].tolist()}, reverse=True)
    return tuple(RankedError(float(ours[rank]), float(floor[rank])) for rank in ranks)


def judge(ranked: Iterable[RankedError], margin: float) -> tuple[float, float]:
    """The error that is worst beside its limit, and that: the margin, or `FACTOR` times float32's own."""
    pairs = [(entry.error, max(margin, FACTOR * entry.float32_error)) for entry in ranked]
    return max(pairs, key=lambda pair: pair[0] / max(pair[1], _TINY), default=(0.0, margin))


def _by_exponential(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result
