"""The loop of `edge-ad run`: source -> detector -> sink, and a summary at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic, perf_counter

from edge_ad.detect.decision import Decision
from edge_ad.errors import DataError, Terminated
from edge_ad.runtime.arrivals import ArrivalSummary
from edge_ad.runtime.health import HealthSummary
from edge_ad.runtime.interpreter import interpreter_version
from edge_ad.runtime.latency import LatencySummary
from edge_ad.runtime.monitor import Monitor
from edge_ad.runtime.process import cold_start_s, cpu_seconds, peak_resident_bytes, resident_bytes
from edge_ad.runtime.sources.csv_lines import Sample


@dataclass(frozen=True)
class RunSummary:
    """What a run saw and how long it took."""

    variant: str
    engine: str
    """What the model ran on: package and version."""
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
    """Of a live stream, the silence since the last one included; None for a file."""
    health: HealthSummary


def timed(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples of a live stream, each with the moment at which it came."""
    for sample in samples:
        yield sample._replace(arrived=monotonic())


class StreamRun:
    """One run over a stream of samples; `summary` tells how it goes, at any time."""

    def __init__(self, monitor: Monitor, emit: Callable[[Decision, str], None]) -> None:
        """`emit` gets every decision with its time as written."""
        self._monitor = monitor
        self._emit = emit
        self._samples = self._scored = self._alarms = self._unknown = 0
        self._cold_start_s: float | None = None
        self._interrupted = self._terminated = False
        self._started = perf_counter()
        self._cpu_before = cpu_seconds()

    def run(self, samples: Iterable[Sample], rest: Callable[[], Iterable[Sample]] = tuple) -> RunSummary:
        """Take every sample and hand every decision on.

        Ends with the source, at Ctrl-C or at SIGTERM: a stream that is stopped still has its summary, and
        `rest` says which samples had been read by then. A source that breaks off is no end in good order:
        what had been read is decided as well, its DataError is raised, and `summary` tells how far it came.
        """
        try:
            try:
                self._take(samples)
            except KeyboardInterrupt:
                self._interrupted = True
                self._take(rest())
            except Terminated:
                self._terminated = True
                self._take(rest())
            except DataError:
                self._take(rest())
                raise
        finally:
            self._monitor.close()
        return self.summary()

    def _take(self, samples: Iterable[Sample]) -> None:
        take, emit = self._monitor.take, self._emit
        for sample in samples:
            decision = take(sample)
            if not self._samples:
                self._cold_start_s = cold_start_s()
            self._samples += 1
            self._scored += decision.score is not None
            self._alarms += decision.state == "alarm"
            self._unknown += decision.state == "unknown"
            emit(decision, sample.stamp)

    def summary(self) -> RunSummary:
        """The run so far."""
        monitor = self._monitor
        elapsed = perf_counter() - self._started
        latency = monitor.detector.latency
        return RunSummary(
            variant=monitor.variant,
            engine=interpreter_version(),
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
            arrivals=monitor.arrivals.summary(monotonic()),
            health=monitor.health.summary(),
        )
