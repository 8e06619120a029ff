"""When a warm-up is over: as soon as durations no longer change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 50
"""Windows whose median is looked at."""
BLOCKS = 3
"""Successive medians that have to agree."""
TOLERANCE = 0.03
"""How far the largest of them may lie above the smallest, as a share of it."""
AT_MOST = 5000
"""Windows after which it is over, stable or not."""
AT_MOST_S = 10.0
"""Seconds after which it is over, stable or not, once there were as many windows as were asked for."""


@dataclass
class WarmUp:
    """Durations of what is not counted."""

    at_least: int
    """Windows that are not counted in any case."""

    def __post_init__(self) -> None:
        self.count = 0
        """Windows so far."""
        self._ns = 0
        self._medians: list[float] = []

    def add(self, block_ns: Sequence[int]) -> None:
        """Take in the durations of one more block."""
        self.count += len(block_ns)
        self._ns += int(sum(block_ns))
        self._medians.append(float(np.median(block_ns)))

    @property
    def is_stable(self) -> bool:
        """Whether the medians of the last blocks agree."""
        last = self._medians[-BLOCKS:]
        return len(last) == BLOCKS and max(last) <= (1 + TOLERANCE) * min(last)

    @property
    def is_over(self) -> bool:
        """Whether counting can begin."""
        if self.count < self.at_least:
            return False
        return self.is_stable or self.count >= AT_MOST or self._ns >= AT_MOST_S * 1e9
