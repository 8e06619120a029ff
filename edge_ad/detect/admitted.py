"""Which windows of a recording the gate lets through, found out in bulk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_ad.detect.quality import Fault, QualityRules, SampleGate

_BLOCK = 4096
"""Samples of a recording that are looked at together."""


def admitted_windows(
    rules: QualityRules, times: NDArray[np.float64], samples: NDArray[np.float64], window_length: int
) -> NDArray[np.bool_]:
    """Which sliding windows of a recording in order of time a detector scores.

    `times` is `(n,)` seconds, `samples` `(n, n_channels)`; the result is `(n - window_length + 1,)`.
    """
    gate = SampleGate(rules)
    ends = np.zeros(len(times), bool)
    row = filled = 0
    while row < len(times):
        n, fault = gate.admit_many(times[row : row + _BLOCK], samples[row : row + _BLOCK])
        ends[row : row + n] = np.arange(filled + 1, filled + n + 1) >= window_length
        filled, row = filled + n, row + n
        if row == len(times) or (n and fault is None):
            continue
        found = fault or gate.admit(samples[row], float(times[row]))
        if not isinstance(found, Fault):
            filled += 1
        elif found.breaks:
            filled = len(found.new_window)
        ends[row] = filled >= window_length and (not isinstance(found, Fault) or bool(found.new_window))
        row += 1
    return ends[window_length - 1 :]
