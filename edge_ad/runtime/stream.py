"""The loop of `edge-ad run`: source -> detector -> sink, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter

from edge_ad.detect.decision import Decision
from edge_ad.errors import Terminated
from edge_ad.runtime.detector import Detector
from edge_ad.runtime.latency import LatencySummary
from edge_ad.runtime.process import peak_resident_bytes, resident_bytes
from edge_ad.runtime.sources.csv_lines import Sample


@dataclass(frozen=True)
class RunSummary:
    """What a run saw and how long it took."""

    samples: int
    decisions: int
    alarms: int
    unknown: int
    elapsed_s: float
    samples_per_s: float
    """Whole loop: reading, deciding and writing."""
    rss_bytes: int
    peak_rss_bytes: int
    interrupted: bool
    """Whether Ctrl-C ended the stream."""
    terminated: bool
    """Whether SIGTERM did, as it does for a service."""
    latency_us: dict[str, LatencySummary] = field(default_factory=dict)
    """Per stage, and `total` from sample to decision; scored samples only."""


def run_stream(
    samples: Iterable[Sample], detector: Detector, emit: Callable[[Decision, str], None]
) -> RunSummary:
    """Push every sample through the detector, hand every decision to `emit`, and sum up.

    Ends with the source, at Ctrl-C or at SIGTERM: a stream that is stopped still has its summary.
    """
    n_samples = n_decisions = n_alarms = n_unknown = 0
    interrupted = terminated = False
    start = perf_counter()
    try:
        for time, values, stamp, _, problem in samples:
            n_samples += 1
            decision = detector.push(time, values, problem)
            if decision is not None:
                n_decisions += 1
                n_alarms += decision.state == "alarm"
                n_unknown += decision.state == "unknown"
                emit(decision, stamp)
    except KeyboardInterrupt:
        interrupted = True
    except Terminated:
        terminated = True
    elapsed = perf_counter() - start
    return RunSummary(
        samples=n_samples,
        decisions=n_decisions,
        alarms=n_alarms,
        unknown=n_unknown,
        elapsed_s=elapsed,
        samples_per_s=n_samples / elapsed if elapsed else 0.0,
        rss_bytes=resident_bytes(),
        peak_rss_bytes=peak_resident_bytes(),
        interrupted=interrupted,
        terminated=terminated,
        latency_us=detector.latency.summary(),
    )
