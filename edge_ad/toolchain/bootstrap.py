"""How sure is a difference in F1? A paired block bootstrap over the rows of all assets.

Rows are no independent draws: windows overlap, alarms come in episodes, and machines differ. First assets
are drawn with replacement, then, within each drawn one, whole blocks of rows, the same ones for both
detectors (Künsch 1989; circular, as in Politis and Romano 1992, so that every row counts alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
MAX_RESAMPLES = 100_000
"""All of them are in memory at once, each with every block of every asset that it has drawn."""


@dataclass(frozen=True)
class BootstrapSettings:
    """How intervals are made."""

    level: float = 0.9
    """Share of the resampled differences inside the interval. Its upper end alone is a one-sided bound of
    (1 + level) / 2: with 0.9, of 95 %."""
    block_rows: int = 50
    """Rows per block: several windows, less than an episode. At most a quarter of an asset's rows, since one
    block as long as the asset would be the asset itself, each time."""
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError("level must lie between 0 and 1")
        if self.block_rows < 1:
            raise ValueError("block_rows must be at least 1")
        if not 100 <= self.resamples <= MAX_RESAMPLES:
            raise ValueError(f"resamples must lie between 100 and {MAX_RESAMPLES}")
        if self.seed < 0:
            raise ValueError("seed must not be negative")


def f1_drop_interval(
    assets: Sequence[tuple[Flags, Flags, Flags]], settings: BootstrapSettings
) -> tuple[float, float]:
    """The interval of `(F1 of theirs - F1 of ours) / F1 of theirs`.

    Each asset is its labels, our alarms and theirs, `(n,)` bool.
    """
    rng = np.random.default_rng(settings.seed)
    ours, theirs = np.zeros((2, settings.resamples, 3))
    drawn = rng.integers(len(assets), size=(settings.resamples, len(assets)))
    for asset, (labels, our_alarms, their_alarms) in enumerate(assets):
        samples = np.nonzero(drawn == asset)[0]  # a resample stands as often as it has drawn this asset
        n = len(labels)
        block_rows = block_length(n, settings)
        starts = rng.integers(n, size=(len(samples), -(-n // block_rows)))
        np.add.at(ours, samples, _block_counts(labels, our_alarms, block_rows)[starts].sum(axis=1))
        np.add.at(theirs, samples, _block_counts(labels, their_alarms, block_rows)[starts].sum(axis=1))
    reference = _f1(theirs)
    drops = np.divide(reference - _f1(ours), reference, out=np.zeros(settings.resamples), where=reference > 0)
    tail = 50 * (1 - settings.level)
    low, high = np.percentile(drops, [tail, 100 - tail])
    return float(low), float(high)


def block_length(n_rows: int, settings: BootstrapSettings) -> int:
    """Rows per block for an asset of that many rows."""
    return max(1, min(settings.block_rows, n_rows // 4))


def _block_counts(labels: Flags, alarms: Flags, block_rows: int) -> NDArray[np.float64]:
    """`(n, 3)`: hits, false alarms and misses in the block that starts at each row, around the end."""
    counts = np.stack([labels & alarms, ~labels & alarms, labels & ~alarms], axis=1).astype(np.float64)
    around = counts[np.arange(len(counts) + block_rows) % len(counts)]
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(around, axis=0)])
    blocks: NDArray[np.float64] = total[block_rows : block_rows + len(counts)] - total[: len(counts)]
    return blocks


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    hits, false_alarms, misses = counts.T
    f1: NDArray[np.float64] = 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)
    return f1
