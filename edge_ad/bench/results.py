"""Benchmark results: raw values first, figures derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_ad.bench.machine import MachineFacts


@dataclass(frozen=True)
class Measurement:
    """One thing measured many times."""

    name: str
    """`tiny-int8 invoke`, `tiny-int8 sample-to-decision`, `tiny keras-predict`."""
    raw_ns: tuple[int, ...]
    """Every counted duration in nanoseconds, in order."""
    warmup: int
    """How many came before and were not counted."""

    def percentile_us(self, percent: float) -> float:
        """A percentile in microseconds."""
        return float(np.percentile(self.raw_ns, percent)) / 1000


@dataclass(frozen=True)
class BenchmarkFile:
    """The JSON file of a benchmark."""

    schema: str
    bundle_id: str
    asset: str
    threads: int
    interpreter: str
    """Package and version."""
    versions: dict[str, str]
    machine_before: MachineFacts
    machine_after: MachineFacts
    measurements: tuple[Measurement, ...]
