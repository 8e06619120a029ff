"""`edge-ad report BUILD -o FILE`: a build as pages that a browser opens without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edge_ad.files import make_folder, write_atomic
from edge_ad.text import number, percent
from edge_ad.toolchain.gate import GateRecord
from edge_ad.toolchain.report.asset_charts import course, other_charts
from edge_ad.toolchain.report.course import contributions, timeline
from edge_ad.toolchain.report.detection import alarm_episodes
from edge_ad.toolchain.report.drawn_page import write_drawn_report
from edge_ad.toolchain.report.facts import AssetFacts, asset_facts, default_variant
from edge_ad.toolchain.report.heading import made_of, title
from edge_ad.toolchain.report.markup import Html, element, together
from edge_ad.toolchain.report.output import check_output
from edge_ad.toolchain.report.overview import Overview
from edge_ad.toolchain.report.page import figure, page
from edge_ad.toolchain.report.sections import (
    anomaly_table,
    asset_confusion,
    asset_table,
    confusion_table,
    delay_table,
    episode_table,
    key_figures,
    notes,
    parity_table,
    quality_table,
    section,
    size_table,
)
from edge_ad.toolchain.report.summary import Summary
from edge_ad.toolchain.workspace import BuildPlan, Workspace

LARGEST_TOGETHER = 4_000_000
"""Bytes of assets that still go into the page of the build itself; beyond it each has a page of its own."""


@dataclass(frozen=True)
class Written:
    """What a report consists of."""

    page: Path
    asset_pages: tuple[Path, ...]
    """Empty where everything is on the one page."""


def write_report(workspace: Workspace, plan: BuildPlan, summary: Summary, path: Path) -> Written:
    """Write the report of a build whose steps have run.

    One self-contained page with everything; where that would be too large, the assets have pages in a folder
    beside it. Where the training rows were drawn at random it has tables alone. Raises OutputError,
    ConfigurationError where a step has yet to run, DataError.
    """
    check_output(path)
    if plan.format.train.share is not None:
        write_drawn_report(workspace, plan, summary, path)
        return Written(path, ())
    folder = path.with_name(f"{path.stem}-assets")
    overview = Overview(default_variant(plan))
    bodies: dict[str, Html] = {}
    size, apart = 0, False
    for asset in plan.assets:
        facts = asset_facts(workspace, plan, asset)
        overview.add(facts)
        bodies[facts.name] = _asset(facts)
        size += len(bodies[facts.name].encode())
        if apart := apart or size > LARGEST_TOGETHER:
            _write_asset_pages(folder, path, bodies)
            bodies.clear()
    names = [asset.name for asset in plan.assets]
    links = {name: f"#asset-{name}" for name in names}
    if apart:
        links = {name: quote(f"{folder.name}/{name}.html") for name in names}
    gate = workspace.load(workspace.root / "gate.json", GateRecord)
    only = len(names) == 1 and not apart
    parts = []
    for name, body in bodies.items():
        if only:
            parts.append(element("div", element("h1", name), body))
        else:
            back = element("p", element("a", "← all assets", href="#"), class_="back")
            parts.append(
                element("article", back, element("h1", name), body, class_="asset", id=f"asset-{name}")
            )
    write_atomic(path, index_page(plan, summary, overview, gate, {} if only else links, *parts))
    return Written(path, tuple(folder / f"{name}.html" for name in names) if apart else ())


def index_page(
    plan: BuildPlan,
    summary: Summary,
    overview: Overview,
    gate: GateRecord | None,
    links: dict[str, str],
    *parts: str,
) -> bytes:
    """The page of the whole build; `links` lead to its assets, `parts` stand below."""
    return page(title(plan), _overview(plan, summary, overview, gate, links), *parts)


def _write_asset_pages(folder: Path, index: Path, bodies: dict[str, Html]) -> None:
    make_folder(folder)
    for name, body in bodies.items():
        back = element("p", element("a", "← all assets", href=quote(f"../{index.name}")), class_="back")
        write_atomic(folder / f"{name}.html", page(name, back, element("h1", name), body))


def _overview(
    plan: BuildPlan,
    summary: Summary,
    overview: Overview,
    gate: GateRecord | None,
    links: dict[str, str],
) -> Html:
    labelled = summary.n_test_rows > 0
    parts: list[str] = [
        element("h1", title(plan)),
        element("p", made_of(plan), class_="soft"),
        key_figures(_key_figures(summary, overview)),
        section("Keep in mind", notes(summary.caveats)),
    ]
    if links:
        parts.append(section("Assets", asset_table(overview, links), name="assets"))
    if labelled:
        parts.append(
            section(
                "Quality",
                quality_table(summary, overview.baselines()),
                element(
                    "p",
                    "The baselines are computed on these recordings. A detector that does not beat the first "
                    "two has learned nothing. One that nears the position alone may have learned where in a "
                    "file anomalies stand.",
                    class_="soft",
                ),
            )
        )
    parts.append(section("Forms", size_table(summary)))
    parts.append(section("Over all assets", element("div", *map(figure, overview.charts()), class_="pair")))
    if labelled:
        parts.append(section("Detection", delay_table(overview.detections)))
        counts = [(name, rule, found) for (name, rule), found in overview.counts.items()]
        parts.append(section("Confusion", confusion_table(counts)))
    if gate is not None:
        said = "The gate passed." if gate.passed else "The gate FAILED for what was to be packed."
        why = "" if gate.labelled else " Without labels only scores and agreement were judged."
        parts.append(section("Parity", element("p", said + why), parity_table(gate)))
    return element("div", *parts, id="overview")


def _key_figures(summary: Summary, overview: Overview) -> list[tuple[str, str, str]]:
    name = overview.default
    row = next(r for r in summary.rows if f"{r.model}-{r.variant}" == name and r.rule == "streaming")
    gate = {None: "not run", True: "passed", False: "FAILED"}[summary.gate_passed]
    figures = [("parity gate", gate, "do converted forms decide as their references?")]
    found = overview.detections.get(name)
    if row.f1 is not None:
        figures += [
            ("F1", number(row.f1, 3), f"{name}, streaming rule"),
            ("false alarm rate", f"{percent(row.far)} %", "of the normal rows"),
            ("missed alarm rate", f"{percent(row.mar)} %", "of the anomalous rows"),
        ]
    if found is not None and found.anomalies:
        delay = found.median_delay_s
        figures += [
            ("noticed", f"{found.n_detected}/{len(found.anomalies)}", "labelled anomalies"),
            ("median delay", "-" if delay is None else f"{delay:.0f} s", "of the noticed ones"),
        ]
    if found is not None and found.false_per_hour is not None:
        figures.append(("false alarms", f"{found.false_per_hour:.2g}/h", "episodes per normal hour"))
    figures += [
        ("size", f"{row.size_bytes / 1000:.1f} KB", f"{name}, median"),
        ("latency", f"{row.latency_p50_us:.0f} µs", "sample to decision, median, on the workstation"),
    ]
    return figures


def _asset(facts: AssetFacts) -> Html:
    default, recording = facts.default, facts.recording
    times, others = [timeline(course(facts)), contributions(course(facts))], other_charts(facts)
    parts: list[str] = [
        element(
            "p",
            f"{len(recording)} rows, the first {recording.train_rows} for training; {default.name} with a "
            f"UCL of {default.ucl:.4g}.",
            class_="soft",
        ),
        section("Scores", *map(figure, times)),
    ]
    found = facts.detections.get(default.name)
    test = slice(recording.train_rows, None)
    episodes = alarm_episodes(
        recording.times[test],
        default.scores[test],
        facts.contributions[test],
        facts.channels,
        default.alarms[test],
        None if recording.labels is None else recording.labels[test],
    )
    tables = [episode_table(episodes, default.ucl) if episodes else element("p", "There is no alarm.")]
    if found is not None:
        tables.insert(
            0,
            anomaly_table(found.anomalies)
            if found.anomalies
            else element("p", "No row is labelled as anomalous."),
        )
    parts.append(section("Anomalies and alarms", *tables))
    parts.append(section("Training and scores", element("div", *map(figure, others), class_="pair")))
    if counts := asset_confusion(facts):
        parts.append(section("Confusion", confusion_table(counts), delay_table(facts.detections)))
    return together(parts)
