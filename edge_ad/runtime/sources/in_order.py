"""Samples that overtake each other on their way, put back in order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from itertools import count

from edge_ad.runtime.sources.csv_lines import Sample

MOST_HELD = 100_000
"""Samples; more are let go early, the oldest first."""


class InOrder:
    """Holds every sample back until one arrives that is `hold_s` newer, and lets them go in order of time.

    Samples that come later still keep their place in the stream and are left to the detector, which says that
    they are late. A step backwards beyond `hold_s` may be a clock that was set: whatever is held goes first.
    Samples without a time keep their place, too.
    """

    def __init__(self, samples: Iterable[Sample], hold_s: float) -> None:
        self._samples = samples
        self._hold_s = hold_s
        self._held: list[tuple[float, int, Sample]] = []

    def __iter__(self) -> Iterator[Sample]:
        if not self._hold_s:
            yield from self._samples
            return
        number, newest = count(), -math.inf
        for sample in self._samples:
            time = sample.time
            if math.isfinite(time):
                if time < newest - self._hold_s:
                    yield from self.rest()
                    newest = time
                newest = max(newest, time)
            else:
                time = newest
            heapq.heappush(self._held, (time, next(number), sample))
            yield from self._let_go(newest - self._hold_s)
            if len(self._held) > MOST_HELD:
                yield heapq.heappop(self._held)[2]
        yield from self.rest()

    def rest(self) -> Iterator[Sample]:
        """What is held, in order: for a stream that is stopped before its end."""
        return self._let_go(math.inf)

    def _let_go(self, until: float) -> Iterator[Sample]:
        while self._held and self._held[0][0] <= until:
            yield heapq.heappop(self._held)[2]
