"""The loop of `edge-ad run`: source -> detector -> sink, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic, perf_counter

from edge_ad.detect.decision import Decision
from edge_ad.errors import Terminated
from edge_ad.runtime.arrivals import ArrivalSummary
from edge_ad.runtime.health import HealthSummary
from edge_ad.runtime.latency import LatencySummary
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.process import cold_start_s, cpu_seconds, peak_resident_bytes, resident_bytes
from edge_ad.runtime.sources.csv_lines import Sample


@dataclass(frozen=True)
class RunSummary:
    """What a run saw and how long it took."""

    samples: int
    scored: int
    alarms: int
    unknown: int
    episodes: int
    elapsed_s: float
    samples_per_s: float
    """Whole loop: reading, deciding and writing."""
    cpu_share: float
    """Of one processor, over the whole loop."""
    rss_bytes: int
    peak_rss_bytes: int
    cold_start_s: float | None
    """From the start of the process to the first decision; None where there was none, or where not known."""
    interrupted: bool
    """Whether Ctrl-C ended the stream."""
    terminated: bool
    """Whether SIGTERM did, as it does for a service."""
    missed_deadlines: int
    """Decisions that took longer than the nominal sample period."""
    latency_us: dict[str, LatencySummary]
    """Per stage, and `total` from sample to decision; scored samples only."""
    arrivals: ArrivalSummary | None
    """Of a live stream."""
    health: HealthSummary


class StreamRun:
    """One run over a stream of samples; `summary` tells how it goes, at any time."""

    def __init__(self, monitor: Monitor, emit: Callable[[Decision, str], None], *, live: bool) -> None:
        """`emit` gets every decision with its time as written. Of a `live` stream arrivals are timed."""
        self._monitor = monitor
        self._emit = emit
        self._live = live
        self._samples = self._scored = self._alarms = self._unknown = 0
        self._cold_start_s: float | None = None
        self._interrupted = self._terminated = False
        self._started = perf_counter()
        self._cpu_before = cpu_seconds()

    def run(self, samples: Iterable[Sample]) -> RunSummary:
        """Take every sample and hand every decision on.

        Ends with the source, at Ctrl-C or at SIGTERM: a stream that is stopped still has its summary.
        """
        take, emit, live = self._monitor.take, self._emit, self._live
        try:
            for sample in samples:
                decision = take(sample, monotonic() if live else None)
                if not self._samples:
                    self._cold_start_s = cold_start_s()
                self._samples += 1
                self._scored += decision.score is not None
                self._alarms += decision.state == "alarm"
                self._unknown += decision.state == "unknown"
                emit(decision, sample.stamp)
        except KeyboardInterrupt:
            self._interrupted = True
        except Terminated:
            self._terminated = True
        self._monitor.close()
        return self.summary()

    def summary(self) -> RunSummary:
        """The run so far."""
        monitor = self._monitor
        elapsed = perf_counter() - self._started
        latency = monitor.detector.latency
        return RunSummary(
            samples=self._samples,
            scored=self._scored,
            alarms=self._alarms,
            unknown=self._unknown,
            episodes=monitor.episodes.count,
            elapsed_s=elapsed,
            samples_per_s=self._samples / elapsed if elapsed else 0.0,
            cpu_share=(cpu_seconds() - self._cpu_before) / elapsed if elapsed else 0.0,
            rss_bytes=resident_bytes(),
            peak_rss_bytes=peak_resident_bytes(),
            cold_start_s=self._cold_start_s,
            interrupted=self._interrupted,
            terminated=self._terminated,
            missed_deadlines=latency.missed_deadlines or 0,
            latency_us=latency.summary(),
            arrivals=monitor.arrivals.summary() if self._live else None,
            health=monitor.health.summary(),
        )
