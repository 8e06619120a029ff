"""The page of a build whose training rows were drawn at random: tables, and no course of time.

Training and test rows lie between each other there: a chart over time would show as unseen what was learned
from the row before, and a delay or an episode in the test rows alone would mean nothing.
"""

from __future__ import annotations

from pathlib import Path

from edge_ad.files import write_atomic
from edge_ad.text import number
from edge_ad.toolchain.gate import GateRecord
from edge_ad.toolchain.report.heading import made_of, title
from edge_ad.toolchain.report.markup import Html, element, table
from edge_ad.toolchain.report.page import page
from edge_ad.toolchain.report.sections import notes, parity_table, quality_table, section, size_table
from edge_ad.toolchain.report.summary import Summary
from edge_ad.toolchain.report.timeline import BuildReport, report_timelines
from edge_ad.toolchain.workspace import BuildPlan, Workspace

WHY = (
    "There is no timeline, no delay and no chart here: the rows to train on were drawn at random (--split "
    "random), so rows that were learned from lie between those that are tested, and neither has a course of "
    "its own. A build that is split by time has all of these."
)


def write_drawn_report(workspace: Workspace, plan: BuildPlan, summary: Summary, path: Path) -> None:
    """Write the page, and what it is made of: `report.json` and the scored tables.

    Raises OutputError, ConfigurationError where a step has yet to run, DataError.
    """
    report = report_timelines(workspace, plan)
    gate = workspace.load(workspace.root / "gate.json", GateRecord)
    write_atomic(path, drawn_page(plan, summary, report, gate))


def drawn_page(plan: BuildPlan, summary: Summary, report: BuildReport, gate: GateRecord | None) -> bytes:
    """The page."""
    parts: list[str] = [
        element("h1", title(plan)),
        element("p", made_of(plan), class_="soft"),
        section("Keep in mind", notes([WHY, *summary.caveats])),
    ]
    if summary.n_test_rows:
        parts.append(section("Quality", quality_table(summary, [])))
    parts.append(section("Forms", size_table(summary)))
    parts.append(
        section(
            "Alarms",
            _alarm_table(report),
            element(
                "p",
                "Over all rows in their order, those that were learned from among them. Every row is in "
                "scored/ of the build's folder.",
                class_="soft",
            ),
        )
    )
    if gate is not None:
        said = "The gate passed." if gate.passed else "The gate FAILED for what was to be packed."
        parts.append(section("Parity", element("p", said), parity_table(gate)))
    return page(title(plan), *parts)


def _alarm_table(report: BuildReport) -> Html:
    header = ("asset", "form", "UCL", "alarms", "on training rows", "lasting alarm from", "days before end")
    rows = []
    for found in report.timelines:
        first = found.first_alarm
        rows.append(
            (
                found.asset,
                found.variant,
                f"{found.ucl:.4g}",
                str(len(found.alarms)),
                str(found.alarms_in_train),
                "-" if first is None else f"{first.start}, mostly {first.channel}",
                number(found.lead_time_days, 2),
            )
        )
    return table(header, rows, caption="Sustained alarms of each recording", left=2)
