"""The measuring loops: the way from sample to decision, and the bare interpreter."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edge_ad.bench.results import DECISION, INVOKE, Measurement, ProcessRun
from edge_ad.bench.warmup import BLOCK, WarmUp
from edge_ad.bundle.bundle import Bundle
from edge_ad.detect.decision import Decision
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.latency import STAGES
from edge_ad.runtime.process import peak_resident_bytes


@dataclass(frozen=True)
class Extent:
    """How long something is measured."""

    windows: int
    """To count."""
    warmup: int
    """Uncounted windows at least."""
    time_limit_s: float
    """For the counted windows; there may be fewer of them then, never none."""


class Stream:
    """A detector and samples without end: the rows of a bundle's golden windows, over and over."""

    def __init__(self, bundle: Bundle, detector: Detector) -> None:
        self._detector = detector
        self._samples = _endless(bundle.golden_windows())
        self._period_s = bundle.manifest.sample_period_s
        self._tick = 0
        self._batches: list[NDArray[np.int64]] = []
        detector.latency.journal.subscribe(lambda batch: self._batches.append(batch.marks_ns))

    def push(self) -> Decision:
        """The decision on the next sample."""
        self._tick += 1
        return self._detector.push(next(self._samples), self._tick * self._period_s)

    def first_decision(self) -> None:
        """Push until a window is full, and judged."""
        while self.push().state == "warming":
            pass

    def durations_ns(self) -> NDArray[np.int64]:
        """`(n, stages + 1)` of the samples that were scored since it was last asked: each stage, and all."""
        self._detector.latency.flush()
        marks = np.concatenate([np.empty((0, len(STAGES) + 1), np.int64), *self._batches])
        self._batches.clear()
        return np.column_stack([np.diff(marks, axis=1), marks[:, -1] - marks[:, 0]])


def measure_decisions(stream: Stream, extent: Extent) -> ProcessRun:
    """Each stage and the whole way from sample to decision, one sample right after the other."""
    warm = WarmUp(extent.warmup)
    while not warm.is_over:
        for _ in range(BLOCK):
            stream.push()
        warm.add(stream.durations_ns()[:, -1].tolist())
    peak = peak_resident_bytes()
    push, deadline = stream.push, perf_counter_ns() + int(extent.time_limit_s * 1e9)
    preemptions, cpu, wall = _preemptions(), time.process_time_ns(), perf_counter_ns()
    counted = 0
    while counted < extent.windows and (not counted or perf_counter_ns() < deadline):
        for _ in range(min(BLOCK, extent.windows - counted)):
            push()
        counted += BLOCK
    wall, cpu = perf_counter_ns() - wall, time.process_time_ns() - cpu
    preemptions = _preemptions() - preemptions
    columns = stream.durations_ns().T
    return ProcessRun(
        tuple(
            Measurement(name, warm.count, warm.is_stable, tuple(column.tolist()))
            for name, column in zip((*STAGES, DECISION), columns, strict=True)
        ),
        peak_rss_bytes=peak,
        cpu_ns=cpu,
        wall_ns=wall,
        preemptions=preemptions,
    )


def measure_calls(name: str, call: Callable[[], object], extent: Extent) -> Measurement:
    """One function, called over and over."""
    warm = WarmUp(extent.warmup)
    while not warm.is_over:
        warm.add(_timed(call, BLOCK))
    deadline = perf_counter_ns() + int(extent.time_limit_s * 1e9)
    raw: list[int] = []
    while len(raw) < extent.windows and (not raw or perf_counter_ns() < deadline):
        raw += _timed(call, min(BLOCK, extent.windows - len(raw)))
    return Measurement(name, warm.count, warm.is_stable, tuple(raw))


def measure_invoke(bundle: Bundle, detector: Detector, extent: Extent) -> Measurement:
    """The bare interpreter on one of the golden windows."""
    call = detector.bare_invoke(bundle.golden_windows()[0])
    return measure_calls(INVOKE, call, extent)


def _timed(call: Callable[[], object], times: int) -> list[int]:
    raw = []
    for _ in range(times):
        start = perf_counter_ns()
        call()
        raw.append(perf_counter_ns() - start)
    return raw


def _preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _endless(windows: NDArray[np.float32]) -> Iterator[list[float]]:
    """The rows of all windows as samples, over and over, as plain numbers like a source's."""
    rows = windows.reshape(-1, windows.shape[-1]).tolist()
    while True:
        yield from rows
