"""A whole benchmark: fresh processes one after the other, and looks at the machine in between."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep

from edge_ad.bench.energy import Sensor, find_sensor
from edge_ad.bench.host import Host
from edge_ad.bench.machine_state import machine_state
from edge_ad.bench.results import Energy, InstructionCount, ProcessRun, Result, Settings
from edge_ad.errors import EdgeAdError, MissingDependencyError
from edge_ad.runtime.benchmark.plan import Configuration
from edge_ad.runtime.benchmark.request import Request
from edge_ad.runtime.benchmark.worker_process import run_worker

ENERGY_S = 5.0
"""Of load, and of idling, where there is a sensor."""


@dataclass
class Session:
    """Measures one configuration after the other."""

    bundle: str
    store: str | None
    settings: Settings
    host: Host = field(default_factory=Host)
    say: Callable[[str], None] = lambda text: None
    """Told what is done next."""

    def __post_init__(self) -> None:
        self.failures: list[EdgeAdError] = []
        """Of configurations that could not be measured, in order."""
        self._sensor: Sensor | None = None
        self._idle_w: float | None = None

    def measure(self, configurations: Sequence[Configuration]) -> list[Result]:
        """A result for each; one that cannot be measured says why, and its error is in `failures`."""
        self._sensor = find_sensor(self.host)
        if self._sensor is not None:
            self.say(f"measuring what the machine draws when idle: {self._sensor.source} …")
            self._idle_w = _idle_watts(self._sensor)
        results = []
        for number, configuration in enumerate(configurations, 1):
            self.say(f"measuring {number}/{len(configurations)} {configuration.title} …")
            results.append(self._result(configuration))
        return results

    def _result(self, configuration: Configuration) -> Result:
        before, begin, own = machine_state(self.host), monotonic(), _own_cpu_s()
        runs: list[ProcessRun] = []
        version, energy, problem = configuration.engine, None, ""
        try:
            for number in range(self.settings.processes):
                is_last = number + 1 == self.settings.processes
                answer = run_worker(self._request(configuration, is_last), self._sensor)
                version = answer.version or version
                if answer.run is not None:
                    runs.append(answer.run)
                energy = self._energy(answer.load) or energy
        except EdgeAdError as error:
            problem = str(error)
            self.failures.append(type(error)(f"{configuration.title}: {error}"))
        elapsed_s, own = max(monotonic() - begin, 1e-9), _own_cpu_s() - own
        after = machine_state(self.host)
        return Result(
            engine=configuration.engine,
            engine_version=version,
            variant=configuration.variant,
            threads=configuration.threads,
            runs=() if problem else tuple(runs),
            problem=problem,
            energy=energy,
            before=before,
            after=after,
            others_cpus=_per_second(before.busy_s, after.busy_s, elapsed_s, own),
            stolen_cpus=_per_second(before.stolen_s, after.stolen_s, elapsed_s),
        )

    def _request(self, configuration: Configuration, is_last: bool) -> Request:
        settings = self.settings
        return Request(
            bundle=self.bundle,
            store=self.store,
            engine=configuration.engine,
            variant=configuration.variant,
            threads=configuration.threads,
            windows=math.ceil(settings.windows / settings.processes),
            warmup=settings.warmup,
            time_limit_s=settings.time_limit_s / settings.processes,
            energy_s=ENERGY_S if is_last and self._idle_w is not None else 0.0,
            started_ns=0,
        )

    def _energy(self, load: tuple[float, float, int] | None) -> Energy | None:
        if load is None or self._sensor is None or self._idle_w is None:
            return None
        joules, seconds, windows = load
        return Energy(
            self._sensor.source, self._sensor.scope, self._idle_w, joules / seconds, seconds, windows
        )


def require_one(
    results: Sequence[Result],
    counts: Sequence[InstructionCount],
    failures: Sequence[EdgeAdError],
    engines: Sequence[str],
) -> None:
    """Raise the first failure that matters, if there is one.

    An engine that was not asked for by name (`engines`) and does not work here is none, as long as another
    does.
    """
    measured = any(result.runs for result in results) or any(count.few for count in counts)
    for failure in failures:
        if not (isinstance(failure, MissingDependencyError) and measured and not engines):
            raise failure


def _idle_watts(sensor: Sensor) -> float | None:
    begin, meter = monotonic(), sensor.meter()
    sleep(ENERGY_S)
    joules = meter.joules()
    return None if joules is None else joules / (monotonic() - begin)


def _own_cpu_s() -> float:
    """Processor time of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _per_second(
    before: float | None, after: float | None, elapsed_s: float, own_s: float = 0.0
) -> float | None:
    """Processors that were busy on average, less what this program used; at least 0."""
    if before is None or after is None:
        return None
    # the kernel counts in ticks: over a short time they may be fewer than what was used
    return max(0.0, (after - before - own_s) / elapsed_s)
