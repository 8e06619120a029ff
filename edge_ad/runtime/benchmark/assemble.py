"""From results to the file: bundle, machine, versions, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from edge_ad.bench.finding import trust_of
from edge_ad.bench.host import Host
from edge_ad.bench.machine import MachineFacts, machine_facts
from edge_ad.bench.other_programs import busiest, processor_seconds
from edge_ad.bench.results import SCHEMA, BenchmarkFile, BundleFacts, InstructionCount, Result, Settings
from edge_ad.bench.verdict import verdict
from edge_ad.bundle.manifest import Manifest

_PACKAGES = ("edge-ad", "numpy", "ai-edge-litert", "tflite-runtime", "tensorflow", "keras")


@dataclass(frozen=True)
class Terms:
    """What results are judged by."""

    profile: str | None
    """Device profile whose defaults are used."""
    sample_period_s: float
    deadline_s: float
    settings: Settings


@dataclass
class Observation:
    """The machine from when it was made until the results are there."""

    host: Host = field(default_factory=Host)

    def __post_init__(self) -> None:
        self._created = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._programs = processor_seconds(self.host)
        self.before: MachineFacts = machine_facts(self.host)

    def benchmark(
        self,
        manifest: Manifest,
        terms: Terms,
        results: Sequence[Result],
        instructions: Sequence[InstructionCount] = (),
    ) -> BenchmarkFile:
        """The whole, with its verdict."""
        after = machine_facts(self.host)
        programs = busiest(self._programs, processor_seconds(self.host))
        findings = verdict(self.host, self.before, after, results, instructions, programs)
        return BenchmarkFile(
            schema=SCHEMA,
            created=self._created,
            bundle=BundleFacts(
                manifest.bundle_id, manifest.asset, manifest.model_version, manifest.build_number
            ),
            profile=terms.profile,
            sample_period_s=terms.sample_period_s,
            deadline_s=terms.deadline_s,
            settings=terms.settings,
            versions=_versions(),
            machine_before=self.before,
            machine_after=after,
            results=tuple(results),
            instructions=tuple(instructions),
            trust=trust_of(findings),
            findings=findings,
        )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
