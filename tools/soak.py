"""Many samples through one detector: does its memory grow, does its latency drift?

Samples are those of a recording with noise of their own, in blocks through `replay`; of every block the last
ones go one by one, timed, through all that `edge-ad run` does but reading and writing. Ends with exit code 1
where the resident memory grew by more than 1 MB, or where the p99 of the last quarter is more than a tenth
above that of the first. Writes JSON with raw values.

Usage: soak.py BUNDLE RECORDING OUTPUT [SAMPLES]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import monotonic, perf_counter_ns

import numpy as np
from bench_detector import readings

from edge_ad.bench.machine import machine_facts
from edge_ad.bundle import bundle as bundles
from edge_ad.bundle.codec import encode
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.process import resident_bytes
from edge_ad.runtime.sources.csv_lines import Sample

_BLOCK = 1000
_PUSHED = 50
"""Of every block."""
_WARM_UP = 300
"""Blocks after which memory is looked at: every buffer has been full once."""
MOST_GROWTH_BYTES = 1_000_000
LARGEST_DRIFT = 1.1


def main() -> int:
    """Feed, watch, report."""
    path, recording, output = (Path(argument) for argument in sys.argv[1:4])
    n_blocks = max(_WARM_UP + 8, (int(sys.argv[4]) if len(sys.argv) > 4 else 10_000_000) // _BLOCK)
    bundle = bundles.read(path)
    rows = readings(bundle, recording)
    detector = Detector.load(bundle)
    monitor = Monitor(bundle, detector)
    rng, period = np.random.default_rng(0), bundle.manifest.sample_period_s
    noise = 1e-3 * np.array(bundle.manifest.scaler.scale)
    # Made and touched before anything is watched: lists of raw values would be what grows here.
    resident, pushes = np.ones(n_blocks, np.int64), np.ones((n_blocks, _PUSHED), np.int32)
    started = monotonic()
    for block in range(n_blocks):
        ticks = np.arange(block * _BLOCK, (block + 1) * _BLOCK)
        samples = rows[ticks % len(rows)] + noise * rng.normal(size=(_BLOCK, rows.shape[1]))
        times = ticks * period
        detector.replay(samples[:-_PUSHED], times[:-_PUSHED])
        timed = []
        for sample, time in zip(samples[-_PUSHED:].tolist(), times[-_PUSHED:].tolist(), strict=True):
            start = perf_counter_ns()
            monitor.take(Sample(time, sample, "", 0))
            timed.append(perf_counter_ns() - start)
        pushes[block] = timed
        resident[block] = resident_bytes()
        if block % 500 == 499:
            rate = (block + 1) * _BLOCK / (monotonic() - started)
            left = (n_blocks - block - 1) * _BLOCK / rate
            print(
                f"{(block + 1) * _BLOCK:,} samples, {rate:,.0f} per second, RSS "
                f"{resident[block] / 1e6:.1f} MB, {left:.0f} s left",
                flush=True,
            )
    growth = int(resident[-1] - resident[_WARM_UP])
    quarter = n_blocks // 4
    ends = pushes[:quarter], pushes[-quarter:]
    first, last = (float(np.percentile(end, 99)) / 1000 for end in ends)
    print(
        f"{n_blocks * _BLOCK:,} samples: resident memory grew by {growth / 1e6:.2f} MB (from "
        f"{_WARM_UP * _BLOCK:,} samples on), p99 of push {first:.1f} us in the first quarter, {last:.1f} us "
        "in the last"
    )
    record = {
        "schema": "1.0",
        "machine": encode(machine_facts()),
        "samples": n_blocks * _BLOCK,
        "resident_bytes": resident.tolist(),
        "push_ns": pushes.tolist(),
        "health": encode(monitor.health.summary()),
        "faults": detector.faults,
    }
    output.write_text(json.dumps(record))
    return int(growth > MOST_GROWTH_BYTES or last > LARGEST_DRIFT * first)


if __name__ == "__main__":
    sys.exit(main())
