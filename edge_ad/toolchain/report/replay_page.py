"""`edge-ad replay --report FILE`: what a bundle decides on a recording, and how fast, as a page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_ad.bundle.manifest import Manifest
from edge_ad.detect.fusion import scoring_text
from edge_ad.runtime.latency import STAGES
from edge_ad.runtime.stream import RunSummary
from edge_ad.text import number, percent
from edge_ad.toolchain.metrics import confusion
from edge_ad.toolchain.report.chart import Chart
from edge_ad.toolchain.report.course import Course, contributions, timeline
from edge_ad.toolchain.report.detection import Detection, alarm_episodes, detection
from edge_ad.toolchain.report.distribution import distribution_chart
from edge_ad.toolchain.report.latency import deadline_view, histogram, stage_table
from edge_ad.toolchain.report.markup import Html, element, table
from edge_ad.toolchain.report.page import figure, page
from edge_ad.toolchain.report.sections import (
    anomaly_table,
    confusion_table,
    delay_table,
    episode_table,
    key_figures,
    section,
)


@dataclass(frozen=True)
class ReplayFacts:
    """What was decided, row by row, and how long it took."""

    manifest: Manifest
    recording: str
    """What the recording is called."""
    summary: RunSummary
    ucl: float
    times: NDArray[np.float64]
    """`(n,)` seconds since the epoch, as they came."""
    scores: NDArray[np.float64]
    """`(n,)`; NaN where there is none."""
    contributions: NDArray[np.float32]
    """`(n, n_channels)`; NaN where there is none."""
    alarms: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    labels: NDArray[np.bool_] | None
    marks_ns: NDArray[np.int64]
    """`(n_scored, 6)`: the journal's marks of every scored sample."""


def replay_page(facts: ReplayFacts) -> bytes:
    """The page."""
    course, n_left_out = _course(facts)
    title = f"Replay of {facts.recording}"
    manifest, summary = facts.manifest, facts.summary
    left_out = f"; {n_left_out} rows whose time is none, or goes back, are not drawn" if n_left_out else ""
    parts: list[str] = [
        element("h1", title),
        element(
            "p",
            f"{manifest.asset}, build {manifest.build_number}, {summary.variant} on {summary.engine}; UCL "
            f"{facts.ucl:.4g}. An alarm: {manifest.alarm_rule.text()}{left_out}.",
            class_="soft",
        ),
    ]
    found = None
    if course.labels is not None:
        found = detection(course.times, course.labels, course.alarms, course.period_s)
    parts.append(key_figures(_key_figures(facts, course, found)))
    if len(course.times):
        parts.append(section("Scores", *map(figure, _time_charts(course))))
        parts.append(section("Alarms", *_alarms(course, found)))
    if reasons := _reasons(summary):
        rows = [(kind, str(n)) for kind, n in reasons]
        parts.append(section("Rows without a score", table(("reason", "rows"), rows, caption="Reasons")))
    if len(facts.marks_ns):
        stages, total = _durations(facts)
        parts.append(section("Latency", element("div", *map(figure, _latency_charts(facts)), class_="pair")))
        parts.append(section("Stage by stage", stage_table("From sample to decision", stages, total)))
    return page(title, *parts)


def replay_charts(facts: ReplayFacts) -> list[Chart]:
    """Every chart of the page."""
    course, _ = _course(facts)
    over_time = _time_charts(course) if len(course.times) else []
    return [*over_time, *(_latency_charts(facts) if len(facts.marks_ns) else [])]


def _time_charts(course: Course) -> list[Chart]:
    charts = [timeline(course), contributions(course)]
    (ratios,) = course.ratios.values()
    scored = np.isfinite(ratios)
    classes = {"all": ratios[scored]}
    if course.labels is not None:
        classes = {"normal": ratios[scored & ~course.labels], "anomalous": ratios[scored & course.labels]}
    return [*charts, distribution_chart(f"{course.name}-scores", f"of {course.name}", course.score, classes)]


def _latency_charts(facts: ReplayFacts) -> list[Chart]:
    stages, total = _durations(facts)
    period = facts.manifest.sample_period_s
    return [
        histogram(
            "latency", "From sample to decision", {"whole way": total, **stages}, ["whole way", "infer"]
        ),
        deadline_view("deadline", {"whole way": total}, period, ["whole way"]),
    ]


def _course(facts: ReplayFacts) -> tuple[Course, int]:
    """The rows in order of time; of the others, whose clock is wrong or was set back, how many there are."""
    times = facts.times
    known = np.isfinite(times)
    latest = np.maximum.accumulate(np.where(known, times, -np.inf))
    so_far = np.concatenate([[-np.inf], latest[:-1]])
    rows = np.flatnonzero(known & (times > so_far))
    variant = facts.summary.variant
    course = Course(
        name=facts.manifest.asset,
        channels=[channel.name for channel in facts.manifest.channels],
        times=times[rows],
        ratios={variant: facts.scores[rows] / facts.ucl},
        contributions=facts.contributions[rows] / facts.ucl,
        alarms=facts.alarms[rows],
        unknown=facts.unknown[rows],
        labels=None if facts.labels is None else facts.labels[rows],
        in_train=np.zeros(len(rows), bool),
        period_s=facts.manifest.sample_period_s,
        score=scoring_text(facts.manifest.scoring(variant)),
    )
    return course, len(times) - len(rows)


def _alarms(course: Course, found: Detection | None) -> list[Html]:
    (ratios,) = course.ratios.values()
    episodes = alarm_episodes(
        course.times, ratios, course.contributions, course.channels, course.alarms, course.labels
    )
    parts = [episode_table(episodes, 1.0) if episodes else element("p", "There is no alarm.")]
    if found is not None and course.labels is not None:
        name = next(iter(course.ratios))
        parts.insert(0, anomaly_table(found.anomalies))
        parts.append(delay_table({name: found}))
        parts.append(confusion_table([(name, "streaming", confusion(course.labels, course.alarms))]))
    return parts


def _reasons(summary: RunSummary) -> list[tuple[str, int]]:
    return sorted(summary.health.since_start.reasons.items(), key=lambda item: -item[1])


def _durations(facts: ReplayFacts) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    durations = np.diff(facts.marks_ns, axis=1)
    stages = {name: durations[:, i] for i, name in enumerate(STAGES)}
    return stages, facts.marks_ns[:, -1] - facts.marks_ns[:, 0]


def _key_figures(facts: ReplayFacts, course: Course, found: Detection | None) -> list[tuple[str, str, str]]:
    summary = facts.summary
    figures = [
        ("samples", str(summary.samples), f"{summary.scored} scored"),
        ("alarm episodes", str(summary.episodes), f"{summary.alarms} alarmed rows"),
        ("unknown", str(summary.unknown), "rows"),
    ]
    if course.labels is not None and found is not None:
        counts = confusion(course.labels, course.alarms)
        figures += [
            ("F1", number(counts.f1, 3), "streaming rule, all labelled rows"),
            ("false alarm rate", f"{percent(counts.far)} %", "of the normal rows"),
            ("missed alarm rate", f"{percent(counts.mar)} %", "of the anomalous rows"),
            ("noticed", f"{found.n_detected}/{len(found.anomalies)}", "labelled anomalies"),
        ]
    if len(facts.marks_ns):
        _, total = _durations(facts)
        figures.append(("latency", f"{np.median(total) / 1000:.1f} µs", "sample to decision, median, here"))
        figures.append(("late", str(summary.missed_deadlines), "decisions later than a sample period"))
    return figures
