"""The notes of the sample loop, read in bulk by whoever counts something."""

from __future__ import annotations

from collections.abc import Callable
from itertools import starmap
from struct import Struct
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

MARKS = ("start", "admitted", "scaled", "inferred", "scored", "decided")
"""Moments on a sample's way to its decision, on the clock of `perf_counter_ns`."""
FLUSH_EVERY = 1024

Entry: TypeAlias = tuple[int, int, int, int, int, int, float, float]
"""The marks, then the sample's time in seconds since the epoch, then its score."""

_PACKED = Struct(f"={len(MARKS)}q2d")
_RECORD = np.dtype([("marks_ns", np.int64, len(MARKS)), ("time", np.float64), ("score", np.float64)])


class Batch(NamedTuple):
    """Scored samples in the order they came."""

    marks_ns: NDArray[np.int64]
    """`(n, 6)`, a column for each of `MARKS`."""
    times: NDArray[np.float64]
    """`(n,)`, seconds since the epoch."""
    scores: NDArray[np.float64]
    """`(n,)`"""


class Journal:
    """Collects an entry for every scored sample and hands them out as arrays.

    To append to a list is the cheapest thing that Python can do in the sample loop; there, do it directly:

        pending.append((start, admitted, scaled, inferred, scored, decided, time, score))
        if len(pending) >= FLUSH_EVERY:
            journal.flush()
    """

    def __init__(self) -> None:
        self.pending: list[Entry] = []
        """Entries that no reader has seen; always the same list."""
        self._readers: list[Callable[[Batch], None]] = []

    def subscribe(self, reader: Callable[[Batch], None]) -> None:
        """Have `reader` called with every batch from now on; its arrays are read-only, and free to keep."""
        self.flush()
        self._readers.append(reader)

    def flush(self) -> None:
        """Hand the pending entries to every reader; nothing happens where there are none.

        Raises struct.error for an entry that is not one.
        """
        if not self.pending:
            return
        # Packed by C in one go: numpy takes longer over a list of tuples.
        packed = b"".join(starmap(_PACKED.pack, self.pending))
        self.pending.clear()
        records = np.frombuffer(packed, _RECORD)
        batch = Batch(records["marks_ns"], records["time"], records["score"])
        for reader in self._readers:
            reader(batch)
