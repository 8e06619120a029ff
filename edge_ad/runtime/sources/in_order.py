"""Samples that overtake each other on their way, put back in order of time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from itertools import count

from edge_ad.runtime.sources.csv_lines import Sample

MOST_HELD = 100_000
"""Samples; more are let go early, the oldest first."""


def in_order(samples: Iterable[Sample], hold_s: float) -> Iterator[Sample]:
    """Hold every sample back until one arrives that is `hold_s` newer, and let them go in order of time.

    Samples that come later still keep their place in the stream and are left to the detector, which says that
    they are late. A step backwards beyond `hold_s` may be a clock that was set: whatever is held goes first.
    Samples without a time keep their place, too.
    """
    held: list[tuple[float, int, Sample]] = []
    number = count()
    newest = -math.inf
    for sample in samples:
        time = sample.time
        if math.isfinite(time):
            if time < newest - hold_s:
                yield from _let_go(held, math.inf)
                newest = time
            newest = max(newest, time)
        else:
            time = newest
        heapq.heappush(held, (time, next(number), sample))
        yield from _let_go(held, newest - hold_s)
        if len(held) > MOST_HELD:
            yield heapq.heappop(held)[2]
    yield from _let_go(held, math.inf)


def _let_go(held: list[tuple[float, int, Sample]], until: float) -> Iterator[Sample]:
    while held and held[0][0] <= until:
        yield heapq.heappop(held)[2]
