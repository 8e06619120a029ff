"""`edge-ad bench report FILE`: what `edge-ad bench` measured, as a page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_ad.bench.machine import MachineFacts
from edge_ad.bench.report import longest_ns
from edge_ad.bench.results import DECISION, INVOKE, BenchmarkFile, Result
from edge_ad.text import number
from edge_ad.toolchain.report.chart import Chart
from edge_ad.toolchain.report.latency import Durations, deadline_view, figures, histogram, stage_table
from edge_ad.toolchain.report.markup import Html, bar, element, table
from edge_ad.toolchain.report.page import figure, page
from edge_ad.toolchain.report.sections import key_figures, section

_KERAS = "keras-predict"
_FIRST_SHOWN = 4
"""Results that a chart shows until it is told otherwise."""


def bench_page(benchmark: BenchmarkFile) -> bytes:
    """The page. Where the verdict is that durations mean nothing, there are none in it."""
    measured = [result for result in benchmark.results if result.runs]
    title = f"Benchmark of {benchmark.bundle.asset}"
    parts: list[str] = [
        element("h1", title),
        element("p", _heading(benchmark), class_="soft"),
        key_figures(_key_figures(benchmark, measured)),
        section("Can it be trusted?", _findings(benchmark)),
    ]
    if benchmark.trust == "none":
        parts.append(section("Durations", element("p", "None is shown: these say nothing of any board.")))
    elif measured:
        parts += _durations(benchmark, measured)
    if unmeasured := [result for result in benchmark.results if result.problem]:
        lines = [element("li", f"{result.title}: {result.problem}") for result in unmeasured]
        parts.append(section("Not measured", element("ul", *lines)))
    if counts := [found for found in benchmark.instructions if not found.problem]:
        rows = [
            (found.title, found.architecture, f"{np.median(found.per_window()):.0f}", str(len(found.few)))
            for found in counts
        ]
        header = ("form", "architecture", "instructions per window", "pairs of processes")
        parts.append(section("Instructions", table(header, rows, caption="Counted instructions", left=2)))
    parts.append(section("Machine", _machine(benchmark)))
    return page(title, *parts)


def bench_charts(benchmark: BenchmarkFile) -> Iterator[Chart]:
    """Histograms and the deadline view; none where the verdict is that durations mean nothing."""
    measured = [result for result in benchmark.results if result.runs]
    decisions = {result.title: values for result in measured if len(values := _raw(result, DECISION))}
    if benchmark.trust == "none" or not decisions:
        return
    shown = list(decisions)[:_FIRST_SHOWN]
    yield histogram("latency", "From sample to decision", decisions, shown)
    yield deadline_view("deadline", decisions, benchmark.deadline_s, shown)
    invokes = {result.title: values for result in measured if len(values := _raw(result, INVOKE))}
    if invokes:
        yield histogram("invoke", "The bare interpreter", invokes, shown)


def _durations(benchmark: BenchmarkFile, measured: list[Result]) -> list[Html]:
    rows = []
    for result in measured:
        for name in (DECISION, INVOKE, _KERAS):
            if len(values := _raw(result, name)):
                late = int((values > benchmark.deadline_s * 1e9).sum())
                rows.append((result.title, name, *figures(values), str(late)))
    header = ("form", "microseconds", "p50", "p95", "p99", "p99.9", "max", "late")
    parts = [section("Durations", table(header, rows, caption="Durations in microseconds", left=2))]
    if charts := list(bench_charts(benchmark)):
        parts.append(section("Latency", element("div", *map(figure, charts), class_="pair")))
    if staged := [result for result in measured if len(_raw(result, DECISION))]:
        parts.append(section("Stage by stage", *_stages(staged)))
    costs = [
        (
            result.title,
            _ms(result.cold_starts_ns()),
            _mb([run.rss_bytes for run in result.runs]),
            _mb([run.peak_rss_bytes for run in result.runs]),
            "-" if result.energy is None else f"{result.energy.window_j * 1000:.3g}",
        )
        for result in measured
        if len(_raw(result, DECISION))
    ]
    if costs:
        heads = ("form", "cold start ms", "RSS MB", "peak MB", "mJ per window")
        parts.append(section("Costs", table(heads, costs, caption="Medians of the processes")))
    return parts


def _stages(staged: list[Result]) -> Iterator[Html]:
    """Medians of all, then each on its own, folded away."""
    names = [name for name in staged[0].names() if name not in (DECISION, INVOKE)]
    rows = []
    for result in staged:
        medians = [float(np.median(_raw(result, name))) / 1000 for name in (*names, DECISION)]
        rows.append((result.title, *(bar(f"{value:.1f}", value / medians[-1]) for value in medians)))
    yield table(("form", *names, "whole way"), rows, caption="Median microseconds of each stage")
    for result in staged:
        stages = {name: _raw(result, name) for name in names}
        inside = stage_table(f"Stages of {result.title}", stages, _raw(result, DECISION))
        yield element("details", element("summary", result.title), inside, class_="data")


def _raw(result: Result, name: str) -> Durations:
    """Of all processes, one after the other."""
    series = result.series_ns(name)
    return (
        np.concatenate([np.array(values, np.int64) for values in series])
        if series
        else np.array([], np.int64)
    )


def _heading(benchmark: BenchmarkFile) -> str:
    machine, bundle = benchmark.machine_before, benchmark.bundle
    profile = f", profile {benchmark.profile}" if benchmark.profile else ""
    return (
        f"{machine.title} ({machine.architecture}, {machine.n_cpus} processors), {machine.python}{profile}; "
        f"build {bundle.build_number}, version {bundle.model_version}; a sample each "
        f"{benchmark.sample_period_s:g} s, deadline {benchmark.deadline_s * 1000:g} ms; {benchmark.created}"
    )


def _key_figures(benchmark: BenchmarkFile, measured: list[Result]) -> list[tuple[str, str, str]]:
    said = {"trusted": "trusted", "doubtful": "doubtful", "none": "none"}[benchmark.trust]
    found = [("trust in the durations", said, "the reasons are below")]
    decisions = [(result, _raw(result, DECISION)) for result in measured]
    decisions = [(result, values) for result, values in decisions if len(values)]
    if benchmark.trust == "none" or not decisions:
        return found
    fastest, values = min(decisions, key=lambda pair: float(np.median(pair[1])))
    longest = max(longest_ns(result.series_ns(DECISION)) for result, _ in decisions)
    late = sum(int((values > benchmark.deadline_s * 1e9).sum()) for _, values in decisions)
    return [
        *found,
        ("fastest", f"{np.median(values) / 1000:.1f} µs", f"{fastest.title}, median to decision"),
        ("longest", f"{longest / 1e6:.2f} ms", "decision of any form (p99.9, or the maximum of few)"),
        ("headroom", f"{benchmark.sample_period_s * 1e9 / longest:.0f} ×", "sample period over the longest"),
        ("late", str(late), f"decisions beyond {benchmark.deadline_s * 1000:g} ms"),
    ]


def _findings(benchmark: BenchmarkFile) -> Html:
    if not benchmark.findings:
        return element("p", "Nothing speaks against it.")
    words = {"void": "makes them void", "doubt": "a doubt", "note": "to keep in mind"}
    items = []
    for finding in benchmark.findings:
        fixes = [element("li", element("code", step)) for step in finding.fix]
        style = {"void": "bad", "doubt": "warn", "note": "soft"}[finding.weight]
        head = element("b", f"{finding.check}, {words[finding.weight]}: ", class_=style)
        items.append(element("li", head, finding.text, *([element("ul", *fixes)] if fixes else [])))
    return element("ul", *items, class_="notes")


def _machine(benchmark: BenchmarkFile) -> Html:
    before: MachineFacts = benchmark.machine_before
    rows = [
        ("processor", before.cpu_model or "-"),
        ("board", before.board or "-"),
        ("architecture", before.architecture),
        ("processors", str(before.n_cpus)),
        ("kernel", before.kernel),
        ("Python", before.python),
        ("virtual machine", before.hypervisor or "no"),
        ("translated", before.translator or "no"),
        *sorted(benchmark.versions.items()),
    ]
    return table(("fact", "value"), rows, caption="Where it was measured", left=2)


def _ms(values_ns: list[int]) -> str:
    return number(float(np.median(values_ns)) / 1e6 if values_ns else None, 0)


def _mb(values: list[int | None]) -> str:
    known = [value for value in values if value is not None]
    return number(float(np.median(known)) / 1e6 if known else None, 1)
