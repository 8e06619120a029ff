"""`edge-ad run`: a bundle against a stream of samples."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, bundle_argument, store_option, stream_layout

if TYPE_CHECKING:
    from edge_ad.bundle.manifest import CsvFormat
    from edge_ad.runtime.store.service import Service
    from edge_ad.runtime.stream import RunSummary


@click.command()
@bundle_argument
@click.argument("input_", metavar="INPUT")
@click.option("--variant", help="Converted form to run.  [default: the bundle's]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the interpreter.")
@click.option("--separator", help="Character between cells.  [default: the bundle's]")
@click.option("--time-column", help="Name of the time column.  [default: the bundle's]")
@click.option(
    "--summary",
    type=click.Choice(["text", "json", "none"]),
    default="text",
    show_default=True,
    help="How the run ends on stderr.",
)
@click.option("--summary-file", type=PATH, help="Write the summary there as JSON as well.")
@click.option(
    "--trial",
    type=click.FloatRange(0),
    default=180.0,
    show_default=True,
    help="Seconds after which a newly activated @ASSET counts as proven.",
)
@store_option
def run(
    bundle: str,
    input_: str,
    variant: str | None,
    threads: int,
    separator: str | None,
    time_column: str | None,
    summary: str,
    summary_file: Path | None,
    trial: float,
    store: Path | None,
) -> None:
    """Decide on every sample of INPUT (a CSV file, or - for standard input).

    BUNDLE is a file, or @ASSET for what the store of this machine has active for an asset.

    Writes one line of JSON per sample, from the first full window on. A garbled line does not end
    the run: its state is "unknown", with the reason.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import BundleError, ConfigurationError, DataError
    from edge_ad.files import write_atomic
    from edge_ad.runtime.store.service import Service
    from edge_ad.text import printable

    def say(notice: str) -> None:
        click.echo(f"edge-ad: {printable(notice)}", err=True)

    with ExitStack() as stack:
        lines, name = _open(input_, stack)  # before the bundle, which is not to blame for a slip here
        service = stack.enter_context(Service.start(bundle, store, say, trial))
        manifest = service.bundle.manifest
        try:
            manifest.variant(variant)
        except BundleError as error:
            raise ConfigurationError(str(error)) from error
        layout = stream_layout(manifest.input, separator, time_column)
        result = _decide(service, lines, layout, name, variant, threads, live=input_ == "-")
    if result is None:
        return
    if summary_file is not None:
        write_atomic(summary_file, json.dumps(encode(result), indent=1).encode() + b"\n")
    if summary == "json":
        click.echo(json.dumps(encode(result)), err=True)
    elif summary == "text":
        click.echo(_text(result), err=True)
    if result.interrupted:
        sys.exit(130)
    if result.decisions == 0 and not result.terminated:
        raise DataError(
            f"{name} has {result.samples} samples, fewer than the window of {manifest.window_length}: there "
            "is nothing to decide on"
        )


def _decide(
    service: Service,
    lines: Iterable[str],
    layout: CsvFormat,
    name: str,
    variant: str | None,
    threads: int,
    *,
    live: bool,
) -> RunSummary | None:
    """The stream from its first line to its end; None where it was stopped before the first."""
    from edge_ad.errors import Terminated
    from edge_ad.runtime.detector import Detector
    from edge_ad.runtime.sinks.ndjson import NdjsonSink
    from edge_ad.runtime.sources.csv_lines import CsvLines
    from edge_ad.runtime.stream import run_stream

    detector = Detector.load(service.bundle, variant, num_threads=threads)
    columns = [channel.name for channel in service.bundle.manifest.channels]
    try:
        samples = CsvLines(lines, layout, columns, name=name, strict=False)
    except Terminated:
        return None
    # A file is read at full speed; of a live stream every decision is to be seen at once.
    sink = NdjsonSink(sys.stdout, columns, flush_each=live or sys.stdout.isatty())
    result = run_stream(samples, detector, service.watched(sink.write))
    sink.flush()
    return result


def _open(input_: str, stack: ExitStack) -> tuple[Iterable[str], str]:
    """Lines of the input, and what to call it. Bytes that are not UTF-8 spoil their cell only."""
    from edge_ad.errors import DataError

    if input_ == "-":
        stream = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace", newline="\n")
        return stream, "standard input"
    try:
        file = Path(input_).open(encoding="utf-8", errors="replace", newline="\n")  # noqa: SIM115
        return stack.enter_context(file), input_
    except OSError as error:
        raise DataError(f"cannot read {input_}: {error.strerror}") from error


def _text(result: RunSummary) -> str:
    lines = [
        f"{result.samples} samples, {result.decisions} decisions: {result.alarms} alarm, "
        f"{result.unknown} unknown; {result.samples_per_s:.0f} samples/s, "
        f"RSS {result.rss_bytes / 1e6:.1f} MB (peak {result.peak_rss_bytes / 1e6:.1f} MB)"
    ]
    if result.latency_us:
        lines.append("latency us      p50      p95      p99      max")
        for stage, figures in result.latency_us.items():
            values = (figures.p50_us, figures.p95_us, figures.p99_us, figures.max_us)
            lines.append(f"{stage:<10}" + "".join(f"{value:9.1f}" for value in values))
    return "\n".join(lines)
