"""What the detector says about one sample."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

State = Literal["normal", "alarm", "unknown"]


class Decision(NamedTuple):
    """The verdict on one sample, given at the row on which its window ends.

    `unknown` is an answer of its own: there is no whole window, `reason` says why, and `score` and
    `contributions` are None. A named tuple, since one is made for every sample.
    """

    time: float
    """Seconds since the epoch (UTC), as the sample came."""
    state: State
    score: float | None
    ucl: float
    contributions: NDArray[np.float64] | None
    """`(n_channels,)`, adds up to the score."""
    reason: str | None = None

    @property
    def alarm(self) -> bool:
        """Whether the alarm rule is met at this sample."""
        return self.state == "alarm"
