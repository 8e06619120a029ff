"""A benchmark as text for people."""

from __future__ import annotations

from statistics import median

from edge_ad.bench.figures import PERCENTILES, enough_for, percentiles
from edge_ad.bench.finding import Finding
from edge_ad.bench.results import DECISION, INVOKE, BenchmarkFile, InstructionCount, Result
from edge_ad.text import align, number

_KEY = ("engine", "variant", "threads")


def report(benchmark: BenchmarkFile, *, stages: bool = False) -> str:
    """Tables of what was measured, then whether it can be trusted, and what would help.

    With `stages` each stage of the way from sample to decision has a line of its own. Where the verdict is
    `none` there is no duration in it: they are in the file only.
    """
    measured = [result for result in benchmark.results if result.runs]
    parts = [_heading(benchmark)]
    if measured and benchmark.trust == "none":
        parts.append(
            f"no durations: {len(measured)} results were measured, and say nothing of any board (their raw "
            "values are in the JSON)"
        )
    elif measured:
        parts += [_durations(measured, stages), _costs(benchmark, measured)]
    counts = [found for found in benchmark.instructions if not found.problem]
    if counts:
        parts.append(_instructions(counts))
    unmeasured: list[Result | InstructionCount] = [*benchmark.results, *benchmark.instructions]
    problems = [f"{found.title}: not measured: {found.problem}" for found in unmeasured if found.problem]
    parts += ["\n".join(problems)] if problems else []
    parts.append(_verdict(benchmark))
    return "\n\n".join(part for part in parts if part)


def _heading(benchmark: BenchmarkFile) -> str:
    machine = benchmark.machine_before
    profile = f", profile {benchmark.profile}" if benchmark.profile else ""
    deadline = f", deadline {benchmark.deadline_s * 1000:g} ms"
    return (
        f"{machine.title} ({machine.architecture}, {machine.n_cpus} processors), {machine.python}{profile}\n"
        f"{benchmark.bundle.asset}, build {benchmark.bundle.build_number}: a sample every "
        f"{benchmark.sample_period_s:g} s{deadline}"
    )


def _durations(measured: list[Result], stages: bool) -> str:
    rows = [[*_KEY, "microseconds", *(f"p{percent:g}" for percent in PERCENTILES), "max"]]
    for result in measured:
        for name in result.names():
            if stages or name in (INVOKE, DECISION) or result.names() == [name]:
                rows.append([*_cells(result), name, *_figures(result.series_ns(name))])
    return align(rows, len(_KEY) + 1)


def _figures(series: list[tuple[int, ...]]) -> list[str]:
    count = sum(map(len, series))
    cells = [
        number(value / 1000 if enough_for(count, percent) else None, 1)
        for percent, value in zip(PERCENTILES, percentiles(series, PERCENTILES), strict=True)
    ]
    return [*cells, number(max(map(max, series)) / 1000, 1)]


def _costs(benchmark: BenchmarkFile, measured: list[Result]) -> str:
    with_energy = any(result.energy for result in measured)
    heads = ["headroom", "late", "CPU %", "cold start ms", "RSS MB", "peak MB"]
    rows = [[*_KEY, *heads, *(["mJ/window"] if with_energy else [])]]
    for result in measured:
        series = result.series_ns(DECISION)
        if not series:
            continue
        longest_s = longest_ns(series) / 1e9
        late = sum(value > benchmark.deadline_s * 1e9 for values in series for value in values)
        cells = [
            f"{benchmark.sample_period_s / longest_s:.0f}",
            f"{late}",
            number(_cpu_percent(result, benchmark.sample_period_s), 3),
            number(_middle(result.cold_starts_ns(), 1e6), 0),
            number(_middle([run.rss_bytes for run in result.runs], 1e6), 1),
            number(_middle([run.peak_rss_bytes for run in result.runs], 1e6), 1),
        ]
        energy = number(None if result.energy is None else 1000 * result.energy.window_j, 3)
        rows.append([*_cells(result), *cells, *([energy] if with_energy else [])])
    if len(rows) == 1:
        return ""
    sources = {
        f"energy by {result.energy.source}: {result.energy.scope}" for result in measured if result.energy
    }
    return "\n".join([align(rows, len(_KEY)), *sorted(sources)])


def longest_ns(series: list[tuple[int, ...]]) -> float:
    """What a decision is said to take at most: its p99.9, or the longest where there are too few for that."""
    if enough_for(sum(map(len, series)), PERCENTILES[-1]):
        return percentiles(series, PERCENTILES[-1:])[0]
    return float(max(map(max, series)))


def _cpu_percent(result: Result, period_s: float) -> float | None:
    """Of one processor, at the pace of the samples."""
    counted = [
        (run.cpu_ns, len(found.raw_ns))
        for run in result.runs
        if run.cpu_ns is not None and (found := run.measurement(DECISION)) is not None
    ]
    windows = sum(count for _, count in counted)
    return 100 * sum(cpu for cpu, _ in counted) / windows / 1e9 / period_s if windows else None


def _middle(values: list[int] | list[int | None], unit: float) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) / unit if known else None


def _instructions(counts: list[InstructionCount]) -> str:
    rows = [["engine", "variant", "of", "counted by", "instructions/window", "differ by %"]]
    for found in counts:
        values = found.per_window()
        differ = 100 * (max(values) / min(values) - 1) if min(values) > 0 else None
        rows.append(
            [
                found.engine_version,
                found.variant,
                found.architecture,
                found.counter,
                f"{median(values):,.0f}",
                number(differ, 2),
            ]
        )
    return align(rows, 4)


def _cells(result: Result) -> list[str]:
    return [result.engine_version, result.variant, str(result.threads)]


def _verdict(benchmark: BenchmarkFile) -> str:
    lines = [f"verdict: {benchmark.trust}"]
    for finding in benchmark.findings:
        lines += finding_lines(finding)
    return "\n".join(lines)


def finding_lines(finding: Finding) -> list[str]:
    """A finding, and below it what helps."""
    fixes = [f"       fix: {step}" for step in finding.fix]
    return [f"{finding.weight:<5}  {finding.check}: {finding.text}", *fixes]
