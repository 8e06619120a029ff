"""Two benchmarks against each other: ratios, and whether they are a difference."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from edge_ad.bench.bootstrap import Ratio, ratios
from edge_ad.bench.likeness import differences, remarks
from edge_ad.bench.results import DECISION, INVOKE, BenchmarkFile, InstructionCount, Result
from edge_ad.errors import ConfigurationError

PERCENTS = (50.0, 95.0, 99.0)
COLD_START = "cold-start"


@dataclass(frozen=True)
class Row:
    """One measurement in both."""

    engine: str
    variant: str
    threads: int
    name: str
    p50: Ratio
    """B to A."""
    p95: Ratio | None
    """None where one value per process is all there is."""
    p99: Ratio | None


@dataclass(frozen=True)
class CountRow:
    """Instructions per window in both."""

    engine: str
    variant: str
    architecture: str
    ratio: Ratio
    """B to A: of the medians, between the extremes of all counts."""


@dataclass(frozen=True)
class Comparison:
    """B against A."""

    unlike: tuple[str, ...]
    """What differs between the machines; empty where they are alike."""
    remarks: tuple[str, ...]
    """What else differs, and may be what is compared."""
    untrusted: tuple[str, ...]
    """What speaks against trusting either."""
    rows: tuple[Row, ...]
    counts: tuple[CountRow, ...]
    only_a: tuple[str, ...]
    """Results that B does not have."""
    only_b: tuple[str, ...]


def compare(
    a: BenchmarkFile,
    b: BenchmarkFile,
    *,
    across_machines: bool = False,
    untrusted: bool = False,
    stages: bool = False,
) -> Comparison:
    """Ratios B/A of everything that both have measured; with `stages` of each stage as well.

    Raises ConfigurationError for unlike machines without `across_machines`, for durations that mean nothing
    without `untrusted`, and where there is nothing to compare.
    """
    unlike = differences(a, b)
    if unlike and not across_machines:
        raise ConfigurationError(
            "the machines are unlike, and a ratio would be theirs and not that of what was measured. In A, "
            f"and in B: {'; '.join(unlike)}. To compare all the same: --across-machines"
        )
    mine, its = _measured(a), _measured(b)
    both = [key for key in mine if key in its]
    counts = [
        _count_row(mine_, its_) for mine_ in a.instructions for its_ in b.instructions if _same(mine_, its_)
    ]
    void = [name for name, benchmark in (("A", a), ("B", b)) if benchmark.trust == "none"]
    if both and void and not untrusted:
        if not counts:
            raise ConfigurationError(
                f"the durations in {' and '.join(void)} mean nothing: {_why(a, b)}. To compare them all the "
                "same: --untrusted"
            )
        both = []
    if not both and not counts:
        raise ConfigurationError(
            f"A and B have nothing in common. A has: {_titles(a)}; B has: {_titles(b)}. Measure both with "
            "the same --variant, --engine and --threads"
        )
    return Comparison(
        unlike=tuple(unlike),
        remarks=tuple(remarks(a, b)),
        untrusted=_doubts(a, b),
        rows=tuple(row for key in both for row in _rows(mine[key], its[key], stages=stages)),
        counts=tuple(counts),
        only_a=tuple(result.title for key, result in mine.items() if key not in its),
        only_b=tuple(result.title for key, result in its.items() if key not in mine),
    )


def _measured(benchmark: BenchmarkFile) -> dict[tuple[str, str, int], Result]:
    return {result.key: result for result in benchmark.results if result.runs}


def _titles(benchmark: BenchmarkFile) -> str:
    titles = [result.title for result in benchmark.results if result.runs]
    titles += [
        f"instructions of {found.title} by {found.counter}"
        for found in benchmark.instructions
        if not found.problem
    ]
    return ", ".join(titles) or "nothing"


def _why(a: BenchmarkFile, b: BenchmarkFile) -> str:
    found = (finding for benchmark in (a, b) for finding in benchmark.findings)
    return "; ".join(dict.fromkeys(finding.text for finding in found if finding.weight == "void"))


def _doubts(a: BenchmarkFile, b: BenchmarkFile) -> tuple[str, ...]:
    """Findings of both that speak against them, with the side they are of."""
    return tuple(
        f"{name}: {finding.check}: {finding.text}"
        for name, benchmark in (("A", a), ("B", b))
        for finding in benchmark.findings
        if finding.weight != "note"
    )


def _rows(a: Result, b: Result, *, stages: bool) -> list[Row]:
    names = [name for name in a.names() if name in b.names()]
    wanted = names if stages else [name for name in names if name in (INVOKE, DECISION) or len(names) == 1]
    rows = []
    for name in wanted:
        p50, p95, p99 = ratios(a.series_ns(name), b.series_ns(name), PERCENTS)
        rows.append(Row(*a.key, name, p50, p95, p99))
    starts = a.cold_starts_ns(), b.cold_starts_ns()
    if all(starts):
        mine, its = ([(value,) for value in values] for values in starts)
        rows.append(Row(*a.key, COLD_START, ratios(mine, its, PERCENTS[:1])[0], None, None))
    return rows


def _same(a: InstructionCount, b: InstructionCount) -> bool:
    keys = [(found.engine, found.variant, found.architecture, found.counter) for found in (a, b)]
    return keys[0] == keys[1] and not a.problem and not b.problem


def _count_row(a: InstructionCount, b: InstructionCount) -> CountRow:
    mine, its = a.per_window(), b.per_window()
    ratio = Ratio(median(its) / median(mine), min(its) / max(mine), max(its) / min(mine))
    return CountRow(a.engine, a.variant, a.architecture, ratio)
