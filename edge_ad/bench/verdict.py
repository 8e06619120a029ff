"""Whether the numbers of a benchmark can be trusted: all findings, the gravest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_ad.bench.finding import Finding
from edge_ad.bench.host import Host
from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.machine_findings import machine_findings
from edge_ad.bench.measurement_findings import measurement_findings
from edge_ad.bench.results import InstructionCount, Result

_ORDER = ("void", "doubt", "note")


def verdict(
    host: Host,
    before: MachineFacts,
    after: MachineFacts,
    results: Sequence[Result],
    instructions: Sequence[InstructionCount] = (),
    busiest: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """What speaks against trusting results that were measured between two looks at the machine."""
    between = [state for result in results for state in (result.before, result.after) if state is not None]
    found = [*measurement_findings(results, instructions)]
    if results:  # instructions are the same whatever the machine does
        found += machine_findings(
            host,
            before,
            [before.state, *between, after.state],
            others_cpus=_most(result.others_cpus for result in results),
            stolen_cpus=_most(result.stolen_cpus for result in results),
            busiest=busiest,
        )
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.weight)))


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
