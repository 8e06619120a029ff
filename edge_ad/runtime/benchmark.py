"""Measuring a bundle on this machine: the bare interpreter, and the way from sample to decision."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edge_ad.bench.results import Measurement
from edge_ad.bundle.bundle import Bundle
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.latency import STAGES


def benchmark_variant(
    bundle: Bundle, variant: str, *, windows: int, warmup: int, threads: int
) -> list[Measurement]:
    """Measure one variant `windows` times after `warmup` uncounted ones.

    Returns the bare `invoke` on one of the golden windows, each stage of `Detector.push` and the
    whole of it, on samples of the golden windows. Raises what loading the variant raises.
    """
    detector = Detector.load(bundle, variant, num_threads=threads)
    invoke = detector.bare_invoke(bundle.golden_windows()[0])
    raw_invokes = []
    for _ in range(warmup + windows):
        start = perf_counter_ns()
        invoke()
        raw_invokes.append(perf_counter_ns() - start)

    batches: list[NDArray[np.int64]] = []
    detector.latency.journal.subscribe(lambda batch: batches.append(batch.marks_ns.copy()))
    samples = _endless(bundle.golden_windows())
    period = bundle.manifest.sample_period_s
    for tick in range(warmup + windows + bundle.manifest.window_length - 1):
        detector.push(next(samples), tick * period)
    detector.close()
    marks = np.concatenate(batches)
    durations = np.diff(marks, axis=1)

    def measured(name: str, raw: list[int]) -> Measurement:
        return Measurement(f"{variant} {name}", tuple(raw[warmup:]), warmup)

    return [
        measured("invoke", raw_invokes),
        *(measured(stage, durations[:, i].tolist()) for i, stage in enumerate(STAGES)),
        measured("sample-to-decision", (marks[:, -1] - marks[:, 0]).tolist()),
    ]


def _endless(windows: NDArray[np.float32]) -> Iterator[list[float]]:
    """The rows of all windows as samples, over and over, as plain numbers like a source's."""
    rows = windows.reshape(-1, windows.shape[-1]).tolist()
    while True:
        yield from rows
