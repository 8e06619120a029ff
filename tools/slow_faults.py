"""Slow faults of two simulated pumps, to see whether a detector that adapts learns them away.

Each grows over half an hour or two hours, and then stays for half an hour at its full size; before it there
are 1.4 hours of normal operation, of which the first 4,000 rows are for training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.datasets.formats import PUMP
from edge_ad.toolchain.datasets.pump import Fault, FaultEpisode, simulate_pump
from edge_ad.toolchain.datasets.recording import Recording

TRAIN_ROWS = 4000
_ONSET_S, _STAYS_S = 5000, 1800
_RAMPS_S = (1800, 7200)
_COLD_K = (0.0, 6.0)
_SEVERITIES = {
    Fault.VALVE_CLOSING: 0.30,
    Fault.CAVITATION: 1.00,
    Fault.ROTOR_IMBALANCE: 0.60,
    Fault.LEAK: 0.80,
    Fault.SENSOR_DRIFT: 0.90,
    Fault.INLET_VALVE_CLOSING: 0.50,
}
"""Those of the preset's recordings."""


@dataclass(frozen=True)
class SlowFault:
    """A recording and its fault."""

    recording: Recording
    grown: NDArray[np.float64]
    """`(n,)`: how far the fault has grown, 0 … 1 of its severity."""


def slow_faults() -> list[SlowFault]:
    """Every kind, with both ramps, in a hall that is warm or warms up."""
    return [
        _simulated(kind, ramp_s, cold_k) for kind in _SEVERITIES for ramp_s in _RAMPS_S for cold_k in _COLD_K
    ]


def _simulated(kind: Fault, ramp_s: int, cold_k: float) -> SlowFault:
    end = _ONSET_S + ramp_s + _STAYS_S
    episode = FaultEpisode(kind, _ONSET_S, end, _SEVERITIES[kind], ramp_s)
    seed = 11 if cold_k else 12
    run = simulate_pump(seed, duration_s=end, episodes=[episode], cold_start_k=cold_k)
    seconds = run.times - run.times[0]
    recording = Recording(
        name=f"{kind}, {ramp_s / 60:.0f} min, {cold_k:g} K",
        times=run.times,
        samples=run.samples,
        channels=PUMP.channels,
        labels=run.labels,
        in_train=np.arange(len(run.times)) < TRAIN_ROWS,
        sha256="",
    )
    return SlowFault(recording, np.clip((seconds - _ONSET_S) / ramp_s, 0, 1) * run.labels)
