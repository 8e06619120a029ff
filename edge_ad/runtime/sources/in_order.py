"""Samples that overtake each other on their way, put back in order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Any

from edge_ad.runtime.sources.csv_lines import Sample

MOST_HELD = 100_000
"""Samples; more are let go early, the oldest first."""


class Reorder:
    """Holds every sample back until one arrives that is `hold_s` newer, and lets them go in order of time.

    Samples that come later still keep their place in the stream and are left to the detector, which says that
    they are late. A step backwards beyond `hold_s` may be a clock that was set: whatever is held goes first.
    Samples without a time keep their place, too.
    """

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._held: list[tuple[float, int, Sample]] = []
        self._number = 0
        self._newest = -math.inf

    def push(self, sample: Sample) -> Iterator[Sample]:
        """Take the next sample; give those that need not wait any longer."""
        if not self._hold_s:
            yield from self.rest()  # held by an earlier process, which was told to
            yield sample
            return
        time = sample.time
        if math.isfinite(time):
            if time < self._newest - self._hold_s:
                yield from self.rest()
                self._newest = time
            self._newest = max(self._newest, time)
        else:
            time = self._newest
        heapq.heappush(self._held, (time, self._number, sample))
        self._number += 1
        yield from self._let_go(self._newest - self._hold_s)
        if len(self._held) > MOST_HELD:
            yield heapq.heappop(self._held)[2]

    def rest(self) -> Iterator[Sample]:
        """What is held, in order: for a stream that is stopped before its end."""
        return self._let_go(math.inf)

    def save(self) -> dict[str, Any]:
        """The samples held as JSON values, for `restore`; when they arrived is no matter any more."""
        held = [(key, sample._replace(arrived=None)) for key, _, sample in sorted(self._held)]
        return {"newest": self._newest, "held": held}

    def restore(self, saved: dict[str, Any]) -> None:
        """Hold what was saved. Raises KeyError, TypeError, ValueError."""
        held = [(float(key), i, Sample(*sample)) for i, (key, sample) in enumerate(saved["held"])]
        self._held, self._number, self._newest = held, len(held), float(saved["newest"])

    def _let_go(self, until: float) -> Iterator[Sample]:
        while self._held and self._held[0][0] <= until:
            yield heapq.heappop(self._held)[2]


class InOrder:
    """The samples of a stream through `Reorder`."""

    def __init__(self, samples: Iterable[Sample], hold_s: float) -> None:
        self._samples = samples
        self._reorder = Reorder(hold_s)

    def __iter__(self) -> Iterator[Sample]:
        for sample in self._samples:
            yield from self._reorder.push(sample)
        yield from self.rest()

    def rest(self) -> Iterator[Sample]:
        """What is held, in order: for a stream that is stopped before its end."""
        return self._reorder.rest()
