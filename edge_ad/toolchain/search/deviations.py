"""Synthetic deviations on normal rows: what a detector is asked to find where nobody labelled anything.

Sizes are in standard deviations of the channel over the rows that were learned from. They are drawn once per
recording from a seed, so that every candidate is asked to find the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edge_ad.toolchain.datasets.recording import Recording

Kind = Literal["shift", "gain", "noise", "stuck", "drift"]
"""`shift`: the level moves at once. `gain`: swings about the mean grow. `noise`: white noise is added.
`stuck`: the value stays as it is. `drift`: the level moves slowly, in `DRIFT_S` to its full size."""

KINDS: tuple[Kind, ...] = get_args(Kind)
SMALLEST, LARGEST = 1.0, 4.0
"""Of sizes, which are drawn evenly by ratio."""
DRIFT_S = 60.0
_EARLIEST, _LATEST = 0.1, 0.4
"""Where in the held-out rows a deviation begins; it lasts to their end."""


@dataclass(frozen=True)
class Deviation:
    """One deviation of one channel."""

    kind: Kind
    channel: int
    start: int
    """Row of the recording."""
    size: float
    """In standard deviations; below zero downwards, for kinds that have a direction."""
    seed: int
    """Of the noise."""


def draw_deviations(recording: Recording, seed: int) -> tuple[Deviation, ...]:
    """One of each kind for each channel that changes in the train span; equal arguments give equal ones."""
    draws = np.random.SeedSequence([seed, int(recording.sha256, 16)])
    rng = np.random.Generator(np.random.PCG64(draws))
    first, n = recording.train_rows, len(recording) - recording.train_rows
    found = []
    for channel, sigma in enumerate(_spread(recording)):
        for kind in KINDS:
            start = first + int(n * rng.uniform(_EARLIEST, _LATEST))
            size = SMALLEST * (LARGEST / SMALLEST) ** rng.uniform() * rng.choice([-1.0, 1.0])
            own = int(rng.integers(2**32))
            if sigma > 0:
                found.append(Deviation(kind, channel, start, float(size), own))
    return tuple(found)


def with_deviation(recording: Recording, deviation: Deviation) -> NDArray[np.float64]:
    """The recording's samples `(n, n_channels)` with the deviation in them, in engineering units."""
    samples, start, channel = recording.samples.copy(), deviation.start, deviation.channel
    sigma = float(_spread(recording)[channel])
    values = samples[start:, channel]
    amount = deviation.size * sigma
    if deviation.kind == "shift":
        values += amount
    elif deviation.kind == "gain":
        mean = np.nanmean(recording.samples[recording.in_train, channel])
        values += (values - mean) * abs(deviation.size)
    elif deviation.kind == "noise":
        rng = np.random.Generator(np.random.PCG64(deviation.seed))
        values += rng.normal(0, abs(amount), len(values))
    elif deviation.kind == "stuck":
        values[:] = recording.samples[start - 1, channel]
    else:
        elapsed = recording.times[start:] - recording.times[start]
        values += amount * np.minimum(elapsed / DRIFT_S, 1)
    return samples


def _spread(recording: Recording) -> NDArray[np.float64]:
    """Standard deviations `(n_channels,)` over the train span."""
    spread: NDArray[np.float64] = np.nanstd(recording.samples[recording.in_train], axis=0)
    return spread
