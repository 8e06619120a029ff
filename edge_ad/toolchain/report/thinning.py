"""A long recording in as many points as a screen can show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 4000
MOST_SPANS = 1500


def shown_rows(scores: NDArray[np.float64], most: int = MOST_ROWS) -> NDArray[np.int64]:
    """Indices, rising, of the rows to draw of `(n,)` scores; NaN where there is none.

    All of them where they are few. Of many the first, lowest and highest of every stretch of equal length, so
    that no peak is lost, and one without a score where a stretch has any, so that no gap is closed.
    """
    n = len(scores)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, max(2, most // 4) + 1).astype(np.int64)
    chosen: set[int] = {n - 1}
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = scores[start:end]
        known = np.isfinite(part)
        chosen.add(start)
        if known.any():
            chosen.add(start + int(np.where(known, part, np.inf).argmin()))
            chosen.add(start + int(np.where(known, part, -np.inf).argmax()))
        if not known.all():
            chosen.add(start + int(known.argmin()))
    return np.array(sorted(chosen))


def joined(spans: list[tuple[float, float]], most: int = MOST_SPANS) -> list[tuple[float, float]]:
    """The spans, in order; of too many those that lie nearest to each other become one."""
    if len(spans) <= most:
        return spans
    gaps = np.array([after[0] - before[1] for before, after in pairwise(spans)])
    kept = np.sort(np.argsort(gaps, kind="stable")[len(gaps) - (most - 1) :])
    starts = [spans[0][0], *(spans[i + 1][0] for i in kept.tolist())]
    ends = [*(spans[i][1] for i in kept.tolist()), spans[-1][1]]
    return list(zip(starts, ends, strict=True))
