"""The process that measures one variant on one engine, and says what it found, a line of JSON at a time.

A process for each: the native libraries of two engines do not share one, and only a fresh one has a cold
start and a memory of its own.

Usage: python -m edge_ad.runtime.benchmark.worker REQUEST
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from edge_ad.bench.results import ColdStart, ProcessRun
from edge_ad.bundle.codec import decode, encode, parse_json
from edge_ad.errors import EdgeAdError
from edge_ad.runtime.benchmark.measure import Extent, Stream, measure_decisions, measure_invoke
from edge_ad.runtime.benchmark.request import Request
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.interpreter import interpreter_version, use_interpreter
from edge_ad.runtime.process import resident_bytes
from edge_ad.runtime.store.open import find_bundle

Say = Callable[..., None]


def main() -> None:
    """Measure, and say each thing before it is tried, so that what killed the process is known."""
    imported_ns = _now_ns()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is none of our lines
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def say(**fields: object) -> None:
        print(json.dumps(fields), file=out, flush=True)

    request = decode(Request, parse_json(sys.argv[1].encode()))
    try:
        run = _run(request, imported_ns, say)
    except EdgeAdError as error:
        say(error=type(error).__name__, text=str(error))
    else:
        say(run=encode(run))


def _run(request: Request, imported_ns: int, say: Say) -> ProcessRun:
    store = None if request.store is None else Path(request.store)
    say(step="reading the bundle")
    bundle = find_bundle(request.bundle, store).bundle
    verified_ns = _now_ns()
    say(step="loading the model")
    use_interpreter(request.engine)
    detector = Detector.load(bundle, request.variant, num_threads=request.threads)
    loaded_ns = _now_ns()
    say(step="the first decision")
    stream = Stream(bundle, detector)
    stream.first_decision()
    decided_ns = _now_ns()
    rss = resident_bytes()
    say(version=interpreter_version(), step="measuring decisions")
    extent = Extent(request.windows, request.warmup, request.time_limit_s)
    run = measure_decisions(stream, extent)
    say(step="measuring the interpreter")
    invoke = measure_invoke(bundle, detector, extent)
    if request.energy_s:
        _draw_energy(stream, request.energy_s, say)
    moments = (imported_ns, verified_ns, loaded_ns, decided_ns)
    return replace(
        run,
        measurements=(invoke, *run.measurements),
        cold_start=ColdStart(*(moment - request.started_ns for moment in moments)),
        rss_bytes=rss,
    )


def _draw_energy(stream: Stream, seconds: float, say: Say) -> None:
    """Decide without a pause, while the process that asked for it looks at the sensor."""
    say(step="measuring energy", energy="begin")
    begin, windows = perf_counter(), 0
    while perf_counter() - begin < seconds:
        for _ in range(50):
            stream.push()
        windows += 50
        stream.durations_ns()  # or the batches would pile up
    say(energy="end", seconds=perf_counter() - begin, windows=windows)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


if __name__ == "__main__":
    main()
