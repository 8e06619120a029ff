"""`edge-ad replay`: what a bundle decides on a recording, as a summary and a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, bundle_argument, store_option, stream_layout

if TYPE_CHECKING:
    from edge_ad.bundle.bundle import Bundle
    from edge_ad.bundle.manifest import CsvFormat
    from edge_ad.toolchain.report.replay_page import ReplayFacts


@click.command()
@bundle_argument
@click.argument("recording", type=PATH)
@click.option("--report", type=PATH, help="Write a page there that a browser opens: replay.html.")
@click.option("--label", help="Column that is 1 where a row is anomalous, to judge the alarms by.")
@click.option("--variant", help="Converted form to run.  [default: the bundle's]")
@click.option("--separator", help="Character between cells.  [default: the bundle's]")
@click.option("--time-column", help="Name of the time column.  [default: the bundle's]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@store_option
def replay(
    bundle: str,
    recording: Path,
    report: Path | None,
    label: str | None,
    variant: str | None,
    separator: str | None,
    time_column: str | None,
    as_json: bool,
    store: Path | None,
) -> None:
    """Put RECORDING, a CSV file, through BUNDLE sample by sample, and sum up what it decides.

    The decisions are those of 'edge-ad run', which prints them one by one. With --report everything goes into
    one page with charts, which needs no network: scores, alarms, contributions, latency and deadline.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.cli.run import summary_text
    from edge_ad.files import write_atomic
    from edge_ad.runtime.store.open import find_bundle
    from edge_ad.toolchain.report.output import check_output
    from edge_ad.toolchain.report.replay_page import replay_page

    if report is not None:
        check_output(report, recording)
    opened = find_bundle(bundle, store).bundle
    layout = stream_layout(opened.manifest.input, separator, time_column)
    facts = _replayed(opened, recording, layout, variant, label)
    if as_json:
        click.echo(json.dumps(encode(facts.summary)))
    else:
        click.echo(summary_text(facts.summary))
    if report is not None:
        write_atomic(report, replay_page(facts))
        click.echo(f"{report}: {report.stat().st_size / 1e6:.1f} MB", err=True)


def _replayed(
    bundle: Bundle, recording: Path, layout: CsvFormat, variant: str | None, label: str | None
) -> ReplayFacts:
    """Raises DataError, ConfigurationError, InterpreterError."""
    import numpy as np

    from edge_ad.cli.run import check_variant
    from edge_ad.detect.decision import Decision
    from edge_ad.errors import DataError
    from edge_ad.runtime.detector import Detector
    from edge_ad.runtime.monitor import Monitor
    from edge_ad.runtime.stream import StreamRun
    from edge_ad.toolchain.report.labelled_samples import LabelledSamples
    from edge_ad.toolchain.report.replay_page import ReplayFacts

    manifest = bundle.manifest
    check_variant(manifest, variant)
    detector = Detector.load(bundle, variant)
    marks: list[np.ndarray] = []
    detector.latency.journal.subscribe(lambda batch: marks.append(batch.marks_ns.copy()))
    monitor = Monitor(bundle, detector, variant)
    decisions: list[Decision] = []
    columns = [channel.name for channel in manifest.channels]
    with LabelledSamples(recording, layout, columns, label) as samples:
        summary = StreamRun(monitor, lambda decision, _: decisions.append(decision)).run(samples)
    if summary.samples < manifest.window_length:
        raise DataError(
            f"{recording} has {summary.samples} samples, fewer than the window of {manifest.window_length}: "
            "there is nothing to decide on"
        )
    n_channels = len(columns)
    nothing = np.full(n_channels, np.nan, np.float32)
    return ReplayFacts(
        manifest=manifest,
        recording=recording.name,
        summary=summary,
        ucl=decisions[-1].ucl,
        times=np.array([decision.time for decision in decisions]),
        scores=np.array([np.nan if d.score is None else d.score for d in decisions]),
        contributions=np.array([nothing if d.contributions is None else d.contributions for d in decisions]),
        alarms=np.array([decision.state == "alarm" for decision in decisions]),
        unknown=np.array([decision.state == "unknown" for decision in decisions]),
        labels=samples.labels,
        marks_ns=np.concatenate(marks) if marks else np.empty((0, 6), np.int64),
    )
