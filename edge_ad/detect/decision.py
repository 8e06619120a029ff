"""What the detector says about one sample."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

State = Literal["normal", "alarm", "unknown", "warming"]


class Decision(NamedTuple):
    """The verdict on one sample, given at the row on which its window ends.

    `warming` is the time until the first window is full. `unknown` is an answer of its own: there is no
    whole window, and `reason` says why. In both, `score` and `contributions` are None. A named tuple, since
    one is made for every sample.
    """

    time: float
    """Seconds since the epoch (UTC), as the sample came."""
    state: State
    score: float | None
    ucl: float
    contributions: NDArray[np.float32] | None
    """`(n_channels,)`, adds up to the score."""
    reason: str | None = None
    """`KIND: what exactly`, where the state is `unknown` or `warming`."""
    severity: str | None = None
    """How bad it is, where the state is `alarm`."""
    resampled: bool = False
    """Whether the window was interpolated to the nominal sample period."""
    latency_ns: int = 0
    """From `push` to here; 0 in a replay."""

    @property
    def alarm(self) -> bool:
        """Whether the alarm rule is met at this sample."""
        return self.state == "alarm"

    @property
    def margin(self) -> float | None:
        """`UCL - score`: how much is left before the score is too high; negative where it is."""
        return None if self.score is None else self.ucl - self.score
