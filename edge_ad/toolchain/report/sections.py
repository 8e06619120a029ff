"""Sections of a report that are tables: comparison, baselines, confusion, parity, delays, assets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from edge_ad.bundle.manifest import CheckEntry
from edge_ad.text import number, percent
from edge_ad.toolchain.gate import GateRecord
from edge_ad.toolchain.metrics import Confusion
from edge_ad.toolchain.report.baselines import Baseline
from edge_ad.toolchain.report.detection import AlarmEpisode, Anomaly, Detection
from edge_ad.toolchain.report.facts import AssetFacts
from edge_ad.toolchain.report.markup import Html, bar, element, table, together
from edge_ad.toolchain.report.overview import AssetLine, Overview
from edge_ad.toolchain.report.summary import Summary

_MOST_LISTED = 200
"""Anomalies or episodes in a table."""


def section(title: str, *parts: str, name: str | None = None) -> Html:
    """A part of the page with its heading."""
    return element("section", element("h2", title), *parts, id=name)


def key_figures(figures: Sequence[tuple[str, str, str]]) -> Html:
    """The few that matter most: name, value, and what it is of."""
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, element("small", of)))
            for name, value, of in figures
        ),
        class_="key",
    )


def notes(lines: Iterable[str]) -> Html:
    """What has to be kept in mind."""
    return element("ul", *(element("li", line) for line in lines), class_="notes")


def quality_table(summary: Summary, found: Sequence[Baseline]) -> Html:
    """Models under both rules, beside what needs no model."""
    header = ("detector", "rule", "F1", "false alarms (FAR) %", "missed (MAR) %")
    rows: list[tuple[str, ...]] = []
    for row in summary.rows:
        rows.append((f"{row.model}-{row.variant}", row.rule, *_rates(row.f1, row.far, row.mar)))
    for baseline in found:
        counts = baseline.counts
        name = together([baseline.name, element("small", baseline.what)])
        rows.append((name, baseline.rule, *_rates(counts.f1, counts.far, counts.mar)))
    return table(header, rows, caption="F1, false and missed alarms beside baselines", left=2)


def size_table(summary: Summary) -> Html:
    """What each form costs."""
    forms = [row for row in summary.rows if row.rule == "streaming"]
    largest = max(row.size_bytes for row in forms)
    slowest = max(row.latency_p50_us for row in forms)
    rows = [
        (
            f"{row.model}-{row.variant}",
            bar(f"{row.size_bytes / 1000:.1f}", row.size_bytes / largest),
            bar(f"{row.latency_p50_us:.0f}", row.latency_p50_us / slowest),
            bar(number(row.f1, 3), row.f1),
        )
        for row in forms
    ]
    header = ("form", "size KB", "median µs per sample", "F1, streaming")
    return table(header, rows, caption="Size, latency and quality of each form")


def confusion_table(counts: Iterable[tuple[str, str, Confusion]]) -> Html:
    """Counts of rows."""
    rows = [
        (name, rule, *map(str, (c.true_positive, c.false_positive, c.false_negative, c.true_negative)))
        for name, rule, c in counts
    ]
    header = ("form", "rule", "alarm, anomalous", "alarm, normal", "none, anomalous", "none, normal")
    return table(header, rows, caption="Confusion table, in rows", left=2)


def parity_table(record: GateRecord) -> Html:
    """Every figure of the gate, its interval drawn against its limit."""
    rows = []
    for verdict in record.verdicts:
        for check in verdict.checks:
            said = "ok" if check.passed else "FAILED"
            rule = "" if check.rule == "-" else f", {check.rule}"
            rows.append(
                (
                    f"{verdict.subject} against {check.reference}",
                    f"{check.figure.replace('_', ' ')}{rule}",
                    element("b", said, class_="good" if check.passed else "bad"),
                    _interval(check),
                    f"{check.value:.4g}"
                    + ("" if check.high is None else f" ({check.low:.3g} … {check.high:.3g})"),
                    f"{check.limit:.4g}",
                )
            )
    header = ("subject", "figure", "result", "", "value (interval)", "limit")
    return table(header, rows, caption="The parity gate", left=4)


def _interval(check: CheckEntry) -> Html:
    """A figure, its interval and its limit on one line; what is allowed is shaded."""
    at_least = check.figure in ("agreement", "asset_agreement", "episode_agreement", "rank_correlation")
    ends = [check.value, check.limit, 0.0, *(end for end in (check.low, check.high) if end is not None)]
    if at_least:
        ends = [check.value, check.limit, 1.0]
    low, high = min(ends), max(ends)
    if at_least:
        low = min(low, 1 - 2 * (1 - check.limit))
    margin = (high - low or 1) * 0.06
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return 120 * (value - low) / (high - low)

    limit = x(check.limit)
    allowed = (limit, 120 - limit) if at_least else (0.0, limit)
    parts = [
        element(
            "rect", x=f"{allowed[0]:.1f}", width=f"{allowed[1]:.1f}", y="3", height="12", class_="allowed"
        ),
        element("path", d=f"M{limit:.1f} 0V18", class_="limit"),
    ]
    if check.low is not None and check.high is not None:
        parts.append(element("path", d=f"M{x(check.low):.1f} 9H{x(check.high):.1f}", class_="range"))
    parts.append(element("circle", cx=f"{x(check.value):.1f}", cy="9", r="4", class_="value"))
    side = "at least" if at_least else "at most"
    return element(
        "svg",
        *parts,
        class_="interval",
        viewBox="0 0 120 18",
        role="img",
        aria_label=f"{check.value:.4g}; allowed is {side} {check.limit:.4g}",
    )


def delay_table(detections: dict[str, Detection]) -> Html:
    """What is noticed, how late, and how often there is nothing."""
    rows = [
        (
            name,
            f"{found.n_detected} of {len(found.anomalies)}",
            number(found.median_delay_s, 0),
            str(found.n_false),
            number(found.false_per_hour, 2),
        )
        for name, found in detections.items()
    ]
    header = ("form", "anomalies noticed", "median delay s", "false alarm episodes", "per normal hour")
    return table(header, rows, caption="Anomalies and alarm episodes by the streaming rule")


def asset_table(overview: Overview, links: dict[str, str]) -> Html:
    """All assets, the worst first; `links` are addresses by name."""
    labelled = any(line.streaming is not None for line in overview.lines)
    header = ["asset"]
    if labelled:
        header += ["F1", "FAR %", "MAR %", "noticed", "delay s", "false/h"]
    header += ["alarmed %", "highest score / UCL", "UCL"]
    rows = [_asset_row(line, links[line.name], labelled) for line in overview.worst_first]
    return table(header, rows, caption="Assets, the worst first", class_="assets")


def _asset_row(line: AssetLine, link: str, labelled: bool) -> list[str]:
    row: list[str] = [element("a", line.name, href=link)]
    if labelled:
        counts, found = line.streaming or Confusion(), line.detection
        row += [
            bar(number(counts.f1, 3), counts.f1),
            percent(counts.far),
            percent(counts.mar),
            "-" if found is None else f"{found.n_detected}/{len(found.anomalies)}",
            "-" if found is None else number(found.median_delay_s, 0),
            "-" if found is None else number(found.false_per_hour, 2),
        ]
    return [
        *row,
        bar(percent(line.alarmed_share), line.alarmed_share),
        f"{line.highest:.3g}",
        f"{line.ucl:.4g}",
    ]


def anomaly_table(anomalies: Sequence[Anomaly]) -> Html:
    """Each labelled anomaly, and when it was noticed."""
    rows = [
        (
            stamp(anomaly.start),
            stamp(anomaly.end),
            "missed" if anomaly.delay_s is None else "noticed",
            number(anomaly.delay_s, 0),
            "-" if anomaly.delay_rows is None else str(anomaly.delay_rows),
        )
        for anomaly in anomalies[:_MOST_LISTED]
    ]
    header = ("first labelled row", "last", "", "delay s", "delay rows")
    return together([table(header, rows, caption="Labelled anomalies", left=3), _rest(len(anomalies))])


def episode_table(episodes: Sequence[AlarmEpisode], ucl: float) -> Html:
    """Each run of alarmed rows, with the channels that had most to do with it."""
    judged = {None: "", True: "false alarm", False: "in an anomaly"}
    rows = [
        (
            stamp(episode.start),
            stamp(episode.end),
            judged[episode.is_false],
            ", ".join(f"{name} {share:.0%}" for name, share in episode.top_channels),
            str(episode.n_rows),
            f"{episode.peak_score / ucl:.3g}",
        )
        for episode in episodes[:_MOST_LISTED]
    ]
    header = ("first alarm", "last", "", "channels", "rows", "peak / UCL")
    return together([table(header, rows, caption="Alarm episodes", left=4), _rest(len(episodes))])


def asset_confusion(facts: AssetFacts) -> list[tuple[str, str, Confusion]]:
    """By form and rule; empty without labels."""
    return [
        (variant.name, rule, counts)
        for variant in facts.variants
        for rule, counts in (
            ("leaderboard", variant.evaluation.leaderboard),
            ("streaming", variant.evaluation.streaming),
        )
        if counts is not None
    ]


def stamp(time: float) -> Html:
    """A time for people, in UTC."""
    try:
        return element("time", datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError, OSError):
        return element("time", f"{time:.10g} s")


def _rates(f1: float | None, far: float | None, mar: float | None) -> tuple[str, str, str]:
    return bar(number(f1, 3), f1), bar(percent(far), far), bar(percent(mar), mar)


def _ends(check: CheckEntry) -> str:
    return "" if check.high is None else f" ({check.low:.3g} … {check.high:.3g})"


def _px(value: float) -> str:
    return f"{value:.1f}"


def _rest(n: int) -> Html:
    return element("p", f"The first {_MOST_LISTED} of {n}.") if n > _MOST_LISTED else Html("")
