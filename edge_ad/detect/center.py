"""The center of a head: where it was fitted, or what follows from there in a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.heads import Head, symmetric

_ROUNDING = 1 + 1e-9
"""A center that was moved back to its distance may be further away by that."""
_minimum, _maximum = np.minimum, np.maximum  # np.clip takes longer than all the rest


class Center:
    """What a head takes off a window's numbers, `(n,)` float64; and, where it follows, how it moves.

    Whoever scores a window leaves in `away` how far that window's numbers are from it, in an array that a
    move may overwrite.
    """

    def __init__(self, head: Head) -> None:
        self.follow = head.follow
        self._fitted = np.array(head.center, np.float64)
        reach = 0.0 if self.follow is None else np.array(self.follow.reach, np.float64)
        self._low, self._high = self._fitted - reach, self._fitted + reach
        self._distance = 0.0 if self.follow is None else self.follow.distance
        self._turn = symmetric(head.root).dot
        self.now: NDArray[np.float64] = self._fitted.copy()
        """Changed in place."""
        self.away: NDArray[np.float64] = np.zeros_like(self._fitted)

    def move(self, ratio: float) -> None:
        """Follow the window that was scored last, if its score was low enough: `ratio` times the UCL."""
        if self.follow is not None and ratio < self.follow.below:
            now, away = self.now, self.away
            away /= self.follow.samples
            now += away
            _maximum(now, self._low, out=now)
            _minimum(now, self._high, out=now)
            if (distance := self._from_fitted(now)) > self._distance:
                now -= self._fitted
                now *= self._distance / distance
                now += self._fitted

    def _from_fitted(self, center: NDArray[np.float64]) -> float:
        """How far a center is from the one that was fitted, as the head measures."""
        turned = self._turn(center - self._fitted)
        return math.sqrt(turned.dot(turned))

    def reset(self) -> None:
        """Back to where it was fitted."""
        self.now[:] = self._fitted

    def restore(self, numbers: Sequence[float]) -> None:
        """Put it where another of the same head was. Raises TypeError, ValueError for where none can be."""
        # numpy would take True and "1" for numbers, and overflow at a large integer
        if not all(type(number) is float for number in numbers):
            raise TypeError("a center is made of floats")
        found = np.array(numbers, np.float64)
        if (
            found.shape != self.now.shape
            or not ((found >= self._low) & (found <= self._high)).all()
            or self._from_fitted(found) > self._distance * _ROUNDING
        ):
            raise ValueError("a center out of its reach, or of another head")
        self.now[:] = found
