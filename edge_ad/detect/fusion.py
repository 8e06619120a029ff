"""The score of a window by detector heads: every head's statistic and shares, fused into one.

Means of the values are taken in float64 of windows that are float32 to the bit on every machine: the root of
a precision matrix enlarges rounding as much as the channels are correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import fsum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.center import Center
from edge_ad.detect.heads import Head, Heads, symmetric
from edge_ad.detect.score import ScoreKind, WindowScorer

Scoring: TypeAlias = ScoreKind | Heads
"""How a window and its reconstruction become a score."""

LARGEST_SHARE = 1e30
"""Squares may leave float32's range where nothing is wrong with the arithmetic; they are cut here."""

_NOTHING_TO_CUT = LARGEST_SHARE**2

_Rows: TypeAlias = NDArray[np.float32]
_HeadFunction: TypeAlias = Callable[[_Rows, _Rows], NDArray[np.float32]]
_add, _subtract, _minimum, _square, _absolute = np.add, np.subtract, np.minimum, np.square, np.absolute
_copy = np.copyto


def scoring_text(scoring: Scoring) -> str:
    """What makes a window's score, in a few words: `sum of the channels' mean absolute errors`."""
    return (
        scoring.text() if isinstance(scoring, Heads) else f"{scoring} of the channels' mean absolute errors"
    )


def needs_network(scoring: Scoring) -> bool:
    """Whether a window's reconstruction takes part in its score."""
    return not isinstance(scoring, Heads) or scoring.needs_network


class Scorer(Protocol):
    """Scores one window after the other."""

    def score(
        self, window: NDArray[np.float32], reconstruction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """The contributions `(n_channels,)` and their sum, the score."""

    def score_each(
        self,
        windows: NDArray[np.float32],
        errors: NDArray[np.float32],
        contributions: NDArray[np.float32],
    ) -> list[float]:
        """Scores of `(n, 1, window_length, n_channels)` windows and their errors; fills contributions."""


def make_scorer(window_length: int, n_channels: int, scoring: Scoring) -> Scorer:
    """The scorer for windows of that size. Raises ValueError for heads that do not fit them."""
    if isinstance(scoring, Heads):
        return HeadScorer(window_length, n_channels, scoring)
    return WindowScorer(window_length, n_channels, scoring)


class HeadScorer:
    """Scores windows by the heads of a detector, in buffers made once.

    Contributions are float32, each at least zero; the score is their sum. A statistic that is not a number
    makes the score NaN, whatever the other heads say.
    """

    def __init__(self, window_length: int, n_channels: int, heads: Heads, *, following: bool = False) -> None:
        """With `following` it is the scorer of a stream, whose centers may move; else they stay."""
        if problem := heads.misfit(window_length, n_channels):
            raise ValueError(problem)
        self._errors: NDArray[np.float32] = np.empty((1, window_length, n_channels), np.float32)
        self._residual: _Rows = self._errors[0]
        self._needs_errors = heads.needs_network
        centers = [Center(head) for head in heads.heads]
        functions = [
            _function(head, center, window_length, n_channels)
            for head, center in zip(heads.heads, centers, strict=True)
        ]
        self._moving = [center for center in centers if following and center.follow is not None]
        self._first, self._others = functions[0], functions[1:]
        self._fuse = self._largest if heads.fusion == "max" else self._sum

    def score(
        self, window: NDArray[np.float32], reconstruction: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float]:
        """The contributions `(n_channels,)` and their sum, the score.

        `window` and `reconstruction` are `(window_length, n_channels)`, or that with an axis of one before.
        """
        if self._needs_errors:
            _subtract(window, reconstruction, self._errors)
        return self._fuse(window[0] if window.ndim == 3 else window, self._residual)

    def score_each(
        self,
        windows: NDArray[np.float32],
        errors: NDArray[np.float32],
        contributions: NDArray[np.float32],
    ) -> list[float]:
        """Scores of `(n, 1, window_length, n_channels)` windows, and of them less their reconstructions.

        To the bit as `score` has them. Fills the `(n, n_channels)` contributions.
        """
        scores = []
        for index, (window, residual) in enumerate(zip(windows[:, 0], errors[:, 0], strict=True)):
            contributions[index], score = self._fuse(window, residual)
            scores.append(score)
        return scores

    def follow(self, ratio: float) -> None:
        """Move what follows, after a window without alarm whose score was `ratio` times the UCL."""
        for center in self._moving:
            center.move(ratio)

    def reset(self) -> None:
        """Put every center where it was fitted."""
        for center in self._moving:
            center.reset()

    def save(self) -> list[list[float]]:
        """Where the centers that follow are, for `restore`."""
        return [center.now.tolist() for center in self._moving]

    def restore(self, saved: list[list[float]]) -> None:
        """Put them back. Raises TypeError, ValueError for what no scorer of these heads has saved."""
        for center, numbers in zip(self._moving, saved, strict=True):
            center.restore(numbers)

    def _largest(self, window: _Rows, residual: _Rows) -> tuple[NDArray[np.float32], float]:
        shares = self._first(window, residual)
        score = fsum(shares.tolist())
        for function in self._others:
            other = function(window, residual)
            above = fsum(other.tolist())
            if above > score or above != above:  # noqa: PLR0124  NaN, which stays
                shares, score = other, above
        return shares, score

    def _sum(self, window: _Rows, residual: _Rows) -> tuple[NDArray[np.float32], float]:
        shares = self._first(window, residual)
        for function in self._others:
            shares = shares + function(window, residual)
        return shares, fsum(shares.tolist())


def _function(head: Head, center: Center, window_length: int, n_channels: int) -> _HeadFunction:
    """What computes a head's scaled shares `(n_channels,)` of a window and its residual."""
    factor = head.weight / head.scale
    if head.kind == "l1":
        return _absolute_errors(head, factor, window_length, n_channels)
    if head.kind == "q":
        return _squared_errors(head, factor, window_length, n_channels)
    if head.of == "window-moments":
        return _hotelling_of_moments(head, center, factor, _moments(window_length, n_channels))
    mean = _mean_of(head, window_length, n_channels)
    if head.kind == "t2":
        return _hotelling(head, center, factor, mean)
    return _largest_deviation(head, factor, mean, n_channels)


def _absolute_errors(head: Head, factor: float, window_length: int, n_channels: int) -> _HeadFunction:
    """As `WindowScorer`, to the bit where the factor is one."""
    magnitudes = np.empty((window_length, n_channels), np.float32)
    mean_of = np.full(window_length, factor / window_length, np.float32).dot
    left_out = _left_out(head)

    def shares(window: _Rows, residual: _Rows) -> NDArray[np.float32]:
        _absolute(residual, magnitudes)
        means: NDArray[np.float32] = mean_of(magnitudes)
        if left_out is not None:
            means[left_out] = 0
        return means

    return shares


def _squared_errors(head: Head, factor: float, window_length: int, n_channels: int) -> _HeadFunction:
    squares = np.empty((window_length, n_channels))
    mean_of = np.full(window_length, factor / window_length).dot
    left_out = _left_out(head)

    def shares(window: _Rows, residual: _Rows) -> NDArray[np.float32]:
        _square(residual, squares, dtype=np.float64)
        means = mean_of(squares)
        if left_out is not None:
            means[left_out] = 0
        return _cut(means)

    return shares


def _hotelling(
    head: Head, center: Center, factor: float, mean: Callable[[_Rows, _Rows], NDArray[np.float64]]
) -> _HeadFunction:
    middle = center.now
    turn = (symmetric(head.root) * math.sqrt(factor)).dot

    def shares(window: _Rows, residual: _Rows) -> NDArray[np.float32]:
        center.away = away = mean(window, residual)
        away -= middle
        turned = turn(away)
        turned *= turned
        return _cut(turned)

    return shares


def _hotelling_of_moments(
    head: Head, center: Center, factor: float, moments: Callable[[_Rows, _Rows], NDArray[np.float64]]
) -> _HeadFunction:
    middle = center.now
    turn = (symmetric(head.root) * math.sqrt(factor)).dot
    turned = np.empty(len(middle))
    of_means, of_deviations = np.split(turned, 2)

    def shares(window: _Rows, residual: _Rows) -> NDArray[np.float32]:
        center.away = away = moments(window, residual)
        away -= middle
        turn(away, turned)
        _square(turned, turned)
        return _cut(_add(of_means, of_deviations))

    return shares


def _largest_deviation(
    head: Head, factor: float, mean: Callable[[_Rows, _Rows], NDArray[np.float64]], n_channels: int
) -> _HeadFunction:
    center = np.array(head.center)
    over = factor / np.array(head.spread)
    left_out = _left_out(head)

    def shares(window: _Rows, residual: _Rows) -> NDArray[np.float32]:
        deviations = _absolute((mean(window, residual) - center) * over)
        if left_out is not None:
            deviations[left_out] = 0
        largest = int(deviations.argmax())  # the first NaN, where there is one
        found = np.zeros(n_channels, np.float32)
        found[largest] = min(deviations.item(largest), LARGEST_SHARE)
        return found

    return shares


def _mean_of(
    head: Head, window_length: int, n_channels: int
) -> Callable[[_Rows, _Rows], NDArray[np.float64]]:
    """The means that a head looks at, `(n_channels,)` float64: each one product with weights over time."""
    weights = np.full((2, window_length), 1 / window_length)
    weights[0, : head.baseline] -= 1 / max(head.baseline, 1)
    of_window = head.of == "window-mean"
    if head.drifting:
        both = weights.dot
        chosen = np.where(head.drifting, 0, n_channels) + np.arange(n_channels)

        def some_drift(window: _Rows, residual: _Rows) -> NDArray[np.float64]:
            means: NDArray[np.float64] = both(window if of_window else residual).take(chosen)
            return means

        return some_drift
    mean = weights[0].dot

    def of_values(window: _Rows, residual: _Rows) -> NDArray[np.float64]:
        means: NDArray[np.float64] = mean(window)
        return means

    def of_errors(window: _Rows, residual: _Rows) -> NDArray[np.float64]:
        means: NDArray[np.float64] = mean(residual)
        return means

    return of_values if of_window else of_errors


def _moments(window_length: int, n_channels: int) -> Callable[[_Rows, _Rows], NDArray[np.float64]]:
    """Means and then standard deviations of a window's values, `(2 * n_channels,)` float64."""
    mean_of = np.full(window_length, 1 / window_length).dot
    away = np.empty((window_length, n_channels))  # float64 once, and not in each step
    found = np.empty(2 * n_channels)
    means, deviations = found[:n_channels], found[n_channels:]

    def moments(window: _Rows, residual: _Rows) -> NDArray[np.float64]:
        _copy(away, window)
        mean_of(away, means)
        _subtract(away, means, away)
        _square(away, away)
        mean_of(away, deviations)
        np.sqrt(deviations, deviations)
        return found

    return moments


def _left_out(head: Head) -> NDArray[np.int64] | None:
    """Which channels the head does not look at; None where it looks at all."""
    return np.flatnonzero(~np.array(head.channels, bool)) if head.channels else None


def _cut(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """Shares, none below zero, as float32."""
    if not shares.dot(shares) < _NOTHING_TO_CUT:
        shares = _minimum(shares, LARGEST_SHARE)
    return shares.astype(np.float32)
