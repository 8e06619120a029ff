"""An evaluation as text for a terminal, as Markdown, and as a page."""

from __future__ import annotations

import re

import numpy as np

from edge_ad.errors import ConfigurationError
from edge_ad.text import align, percent, printable
from edge_ad.toolchain.evaluation.result import DetectorResult, Evaluation
from edge_ad.toolchain.evaluation.tables import Table, tables, written
from edge_ad.toolchain.report.chart import Chart, Limit, Series, styles
from edge_ad.toolchain.report.markup import Html, element, table
from edge_ad.toolchain.report.page import figure, page
from edge_ad.toolchain.report.sections import notes, section

FORMS = (".html", ".md")
"""What a report can be written as, by the end of its name."""


def document(evaluation: Evaluation, suffix: str) -> bytes:
    """A report in the form that belongs to the suffix of its file. Raises ConfigurationError for another."""
    if suffix not in FORMS:
        raise ConfigurationError(
            f"a report is written as {' or '.join(FORMS)}, by its name's end, not {suffix or 'without'}"
        )
    return html(evaluation) if suffix == ".html" else markdown(evaluation).encode()


def text(evaluation: Evaluation) -> str:
    """For a terminal."""
    parts = []
    for made in tables(evaluation):
        plain = written(made, printable)
        parts.append(f"{made.title} ({made.note})\n{align(plain.rows, plain.left)}")
    parts.append("\n".join(f"* {printable(line)}" for line in (*evaluation.choices, *evaluation.caveats)))
    return _headline(evaluation) + "\n\n" + "\n\n".join(parts) + "\n"


def markdown(evaluation: Evaluation) -> str:
    """For a repository."""
    lines = [f"# Detection on {_escaped(evaluation.data)}", "", _escaped(_headline(evaluation)), ""]
    lines += [f"- {_escaped(line)}" for line in evaluation.caveats]
    lines += ["", "How it was chosen:", ""]
    lines += [f"- {_escaped(line)}" for line in evaluation.choices]
    for made in tables(evaluation):
        cells = written(made, _escaped)
        lines += ["", f"## {_escaped(made.title)}", "", f"{_escaped(made.note)}.", ""]
        rule = ["---" if i < made.left else "---:" for i in range(len(made.rows[0]))]
        lines += [f"| {' | '.join(row)} |" for row in (cells.rows[0], tuple(rule), *cells.rows[1:])]
    lines += ["", "Detectors:", ""]
    lines += [f"- {_escaped(detector.name)}: {_escaped(detector.what)}" for detector in evaluation.detectors]
    return "\n".join(lines) + "\n"


def html(evaluation: Evaluation) -> bytes:
    """A page that needs no network."""
    title = f"Detection on {evaluation.data}"
    detectors = [f"{detector.name}: {detector.what}" for detector in evaluation.detectors]
    return page(
        title,
        element("h1", title),
        element("p", _headline(evaluation), class_="soft"),
        section("What to keep in mind", notes(evaluation.caveats)),
        section("How it was chosen", notes(evaluation.choices)),
        *(section(made.title, _html_table(made)) for made in tables(evaluation)),
        section("Course of the detection", figure(delay_chart(evaluation))),
        section("Detectors", notes(detectors)),
        note="What each figure means: docs/evaluate.md.",
    )


def delay_chart(evaluation: Evaluation) -> Chart:
    """Share of the anomalies that each detector has found within a time, under the streaming rule."""
    delays = {detector.name: _delays(detector) for detector in evaluation.detectors}
    known = [values[np.isfinite(values)] for values in delays.values()]
    longest = max((float(values.max()) for values in known if len(values)), default=1.0)
    x = np.unique(np.concatenate([[0.0, longest * 1.05], *known]))
    series = tuple(
        Series(name, 100 * np.searchsorted(np.sort(values), x, "right") / len(values), *style, "steps")
        for (name, values), style in zip(delays.items(), styles(len(delays)), strict=True)
    )
    return Chart(
        name="delays",
        title="Detection delay",
        text="Each line climbs to the share of the labelled anomalies that is found at all, over all runs. "
        "One that starts high was on before them: see its false alarms.",
        x_label="seconds since the first labelled row",
        y_label="% of anomalies found",
        x=x,
        series=series,
        levels=(Limit(100.0, "all"),),
    )


def _delays(detector: DetectorResult) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of every anomaly in every run; infinite where it is missed."""
    return np.array(
        [
            np.inf if anomaly.delay_s is None else anomaly.delay_s
            for run in detector.runs
            for asset in run.assets
            for anomaly in asset.rules["streaming"].raw.detection.anomalies
        ]
    )


def _headline(evaluation: Evaluation) -> str:
    runs = evaluation.detectors[0].runs
    sources = ", ".join(printable(run.source) for run in runs)
    return (
        f"{evaluation.variant} of {sources}: {evaluation.n_recordings} recordings, {evaluation.n_rows} rows "
        f"after the train spans, {percent(evaluation.anomalous_share)} % anomalous, {evaluation.n_anomalies} "
        "anomalies; "
        f"alarm: {evaluation.alarm}"
    )


def _html_table(made: Table) -> Html:
    return table(made.rows[0], made.rows[1:], caption=f"{made.title}: {made.note}", left=made.left)


def _escaped(line: str) -> str:
    """Somebody's text, with no markup in it."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(line))
