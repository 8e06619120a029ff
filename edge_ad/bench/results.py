"""Benchmark results: raw values and facts, immutable; every figure is derived from them."""

from __future__ import annotations

from dataclasses import dataclass

from edge_ad.bench.finding import Finding, Trust, trust_of
from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.machine_state import MachineState

SCHEMA = "2.0"
DECISION = "sample-to-decision"
"""The measurement of the whole way: from `push` being called until the decision is made."""
INVOKE = "invoke"
"""The measurement of the interpreter alone, with the window already handed in."""


LONGEST_NS = 10**15
"""Eleven days: whatever claims to have taken longer was not measured."""


@dataclass(frozen=True)
class Measurement:
    """One thing measured many times in one process."""

    name: str
    """`sample-to-decision`, a stage of it, `invoke`, or `keras-predict`."""
    warmup: int
    """How many came before and were not counted."""
    is_stable: bool
    """Whether the warm-up ended because its durations no longer changed, and not for want of time."""
    raw_ns: tuple[int, ...]
    """Every counted duration in nanoseconds, in order."""

    def __post_init__(self) -> None:
        if not self.raw_ns:
            raise ValueError(f"{self.name} has no values")
        if min(self.raw_ns) < 0 or self.warmup < 0:
            raise ValueError(f"{self.name} has values below 0")
        if not 0 < max(self.raw_ns) <= LONGEST_NS:
            raise ValueError(f"{self.name} has no value above 0, or one that no clock measured")


@dataclass(frozen=True)
class ColdStart:
    """Nanoseconds from the start of a process to each step on the way to its first decision."""

    imported_ns: int
    """Python and numpy are there."""
    verified_ns: int
    """The bundle has been read and verified."""
    loaded_ns: int
    """The interpreter and the model are there."""
    decided_ns: int
    """The first window is full, and decided on."""

    def __post_init__(self) -> None:
        steps = (self.imported_ns, self.verified_ns, self.loaded_ns, self.decided_ns)
        if min(steps) < 0 or not 0 < self.decided_ns <= LONGEST_NS or max(steps) > LONGEST_NS:
            raise ValueError("a cold start has steps below 0, or that no clock measured")


@dataclass(frozen=True)
class ProcessRun:
    """What one fresh process measured. None: not measured there."""

    measurements: tuple[Measurement, ...]
    cold_start: ColdStart | None = None
    rss_bytes: int | None = None
    """Resident memory after the first decision."""
    peak_rss_bytes: int | None = None
    """Largest resident memory up to the end of the warm-up, before raw values take any."""
    cpu_ns: int | None = None
    """Processor time of the counted windows of sample-to-decision, all threads together."""
    wall_ns: int | None = None
    """Time that passed meanwhile."""
    preemptions: int | None = None
    """How often another program was given the processor meanwhile."""

    def measurement(self, name: str) -> Measurement | None:
        """The one of that name."""
        return next((found for found in self.measurements if found.name == name), None)


@dataclass(frozen=True)
class Energy:
    """What deciding without a pause drew, and what the machine drew when idle."""

    source: str
    """Where the figures come from."""
    scope: str
    """What of the machine they include."""
    idle_w: float
    load_w: float
    seconds: float
    """Of the load."""
    windows: int
    """Decided on in these seconds."""

    @property
    def window_j(self) -> float:
        """Joules per window above idle; below 0 where the sensor cannot tell the load from idle."""
        return (self.load_w - self.idle_w) * self.seconds / self.windows


@dataclass(frozen=True)
class Result:
    """One variant on one engine with so many threads."""

    engine: str
    """`ai-edge-litert`, `tflite-runtime`, `numpy`; `keras` for what the notebook did."""
    engine_version: str
    """Name and version."""
    variant: str
    threads: int
    runs: tuple[ProcessRun, ...]
    problem: str = ""
    """Why it could not be measured; empty where it was."""
    energy: Energy | None = None
    """None where there is no sensor."""
    before: MachineState | None = None
    after: MachineState | None = None
    others_cpus: float | None = None
    """How many processors other programs kept busy meanwhile, on average."""
    stolen_cpus: float | None = None
    """How many processors a hypervisor gave to other machines meanwhile, on average."""

    @property
    def title(self) -> str:
        """For people."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.variant} on {self.engine}{threads}"

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is a result of."""
        return self.engine, self.variant, self.threads

    def names(self) -> list[str]:
        """Of its measurements, in order."""
        return list(dict.fromkeys(found.name for run in self.runs for found in run.measurements))

    def series_ns(self, name: str) -> list[tuple[int, ...]]:
        """Raw values of a measurement, process by process."""
        found = (run.measurement(name) for run in self.runs)
        return [measurement.raw_ns for measurement in found if measurement is not None]

    def cold_starts_ns(self) -> list[int]:
        """From the start of a process to its first decision, process by process."""
        return [run.cold_start.decided_ns for run in self.runs if run.cold_start is not None]


@dataclass(frozen=True)
class InstructionCount:
    """Instructions that one variant on one engine takes per window.

    Counted over whole processes that differ in nothing but the number of windows: what starting takes
    drops out.
    """

    counter: str
    """Program and version that counted."""
    architecture: str
    """Whose instructions they are."""
    engine: str
    engine_version: str
    variant: str
    few_windows: int
    many_windows: int
    few: tuple[int, ...]
    """Instructions of the processes that decided on few windows."""
    many: tuple[int, ...]
    problem: str = ""

    def __post_init__(self) -> None:
        if not self.problem and (not self.few or len(self.few) != len(self.many)):
            raise ValueError("there must be as many counts of few windows as of many")
        if not 0 < self.few_windows < self.many_windows:
            raise ValueError("many windows must be more than few")

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.variant} on {self.engine}"

    def per_window(self) -> list[float]:
        """Instructions per window, once for each pair of processes."""
        windows = self.many_windows - self.few_windows
        return [(many - few) / windows for few, many in zip(self.few, self.many, strict=True)]


@dataclass(frozen=True)
class BundleFacts:
    """Which bundle was measured."""

    bundle_id: str
    asset: str
    model_version: str
    build_number: int


@dataclass(frozen=True)
class Settings:
    """How it was measured."""

    windows: int
    """Counted, all processes of a result together."""
    processes: int
    """Fresh ones per result."""
    warmup: int
    """Uncounted windows of each process at least."""
    time_limit_s: float
    """For the counted windows of a result; it may have cut them short."""


@dataclass(frozen=True)
class BenchmarkFile:
    """The JSON file of a benchmark."""

    schema: str
    created: str
    """Start, UTC, ISO 8601."""
    bundle: BundleFacts
    profile: str | None
    """Device profile whose defaults were used."""
    sample_period_s: float
    deadline_s: float
    """For a decision."""
    settings: Settings
    versions: dict[str, str]
    machine_before: MachineFacts
    machine_after: MachineFacts
    results: tuple[Result, ...]
    instructions: tuple[InstructionCount, ...]
    trust: Trust
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        if not self.sample_period_s > 0 or not self.deadline_s > 0:
            raise ValueError("sample_period_s and deadline_s must be above 0")
        if self.trust != trust_of(self.findings):
            raise ValueError(f"trust is {self.trust!r}, and its findings say {trust_of(self.findings)!r}")
