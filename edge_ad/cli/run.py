"""`edge-ad run`: a bundle against a stream of samples."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, FiniteRange, bundle_argument, store_option, stream_layout

if TYPE_CHECKING:
    from edge_ad.bundle.manifest import CsvFormat, Manifest
    from edge_ad.detect.decision import Decision
    from edge_ad.errors import DataError
    from edge_ad.runtime.monitor import Monitor
    from edge_ad.runtime.sources.csv_lines import Sample
    from edge_ad.runtime.sources.in_order import InOrder
    from edge_ad.runtime.store.service import Service
    from edge_ad.runtime.stream import RunSummary

_SUMMARY_EVERY_S = 600.0


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
@click.option(
    "--summary-file",
    type=PATH,
    help="Write it there as JSON as well; of standard input every 10 minutes.",
)
@click.option("--episodes", type=PATH, help="Append a line there as an alarm episode begins, worsens, ends.")
@click.option("--record-normal", type=PATH, help="Keep the newest minutes of normal samples there as CSV.")
@click.option(
    "--record-minutes",
    type=FiniteRange(0, 1e6, min_open=True),
    default=60.0,
    show_default=True,
    help="How many of those.",
)
@click.option(
    "--hold",
    type=FiniteRange(0, 3600),
    default=0.0,
    show_default=True,
    help="Seconds to wait for samples that are overtaken by later ones.",
)
@click.option("--resample", is_flag=True, help="Interpolate samples to the bundle's period.")
@click.option(
    "--trial",
    type=FiniteRange(0, 1e9),
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
    episodes: Path | None,
    record_normal: Path | None,
    record_minutes: float,
    hold: float,
    resample: bool,
    trial: float,
    store: Path | None,
) -> None:
    """Decide on every sample of INPUT (a CSV file, or - for standard input).

    For a bundle made of snapshots INPUT can also be a folder of snapshot files, each of which is a sample.

    BUNDLE is a file, or @ASSET for what the store of this machine has active for an asset.

    Writes one line of JSON per sample. A garbled line does not end the run: its state is "unknown", with
    the reason.
    """
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import DataError
    from edge_ad.files import write_atomic
    from edge_ad.runtime.detector import Detector
    from edge_ad.runtime.engine import engine_notice
    from edge_ad.runtime.monitor import Monitor
    from edge_ad.runtime.normal_recorder import NormalRecorder
    from edge_ad.runtime.sinks.episode_lines import EpisodeLines
    from edge_ad.runtime.store.service import Service
    from edge_ad.text import printable

    def say(notice: str) -> None:
        click.echo(f"edge-ad: {printable(notice)}", err=True)

    def write_summary(result: RunSummary) -> None:
        if summary_file is not None:
            write_atomic(summary_file, json.dumps(encode(result), indent=1).encode() + b"\n")

    _require_stdout()
    with ExitStack() as stack:
        # Before the bundle, which is not to blame for a slip here.
        is_folder = Path(input_).is_dir()
        lines, name = ((), input_) if is_folder else _open(input_, stack)
        _check_outputs(input_, summary_file, record_normal, episodes)
        tell = EpisodeLines(episodes, say).write if episodes else None
        service = stack.enter_context(Service.start(bundle, store, say, trial))
        manifest = service.bundle.manifest
        check_variant(manifest, variant)
        layout = stream_layout(manifest.input, separator, time_column)
        if is_folder:
            lines = _snapshot_lines(Path(input_), manifest, layout, say)
        if (notice := engine_notice()) is not None:
            say(notice)
        detector = Detector.load(service.bundle, variant, num_threads=threads, resample=resample)
        recorder = (
            NormalRecorder.of(manifest, record_normal, minutes=record_minutes, say=say)
            if record_normal
            else None
        )
        monitor = Monitor(service.bundle, detector, variant, tell=tell, recorder=recorder)
        live = input_ == "-"
        ordered = _samples(lines, layout, manifest, name, hold, live=live)
        if ordered is None:
            return
        result, broken_off = _run(service, monitor, ordered, write_summary, say, live=live)
    if recorder is not None and (progress := recorder.progress()):
        say(progress)
    write_summary(result)
    if summary == "json":
        click.echo(json.dumps(encode(result)), err=True)
    elif summary == "text":
        click.echo(summary_text(result), err=True)
    if broken_off is not None:
        raise broken_off
    if result.interrupted:
        sys.exit(130)
    if result.samples < manifest.window_length and not result.terminated:
        raise DataError(
            f"{name} has {result.samples} samples, fewer than the window of {manifest.window_length}: there "
            "is nothing to decide on"
        )


def _require_stdout() -> None:
    """Raises OutputError where the caller has closed it: a detector nobody can hear must not seem to work."""
    from edge_ad.errors import OutputError

    if sys.__stdout__ is None:
        raise OutputError(
            "standard output is closed, so decisions can be written nowhere; where only the files of "
            "--summary-file, --episodes or --record-normal are wanted, give it > /dev/null"
        )


def _snapshot_lines(
    folder: Path, manifest: Manifest, layout: CsvFormat, say: Callable[[str], None]
) -> Iterable[str]:
    from edge_ad.errors import DataError
    from edge_ad.runtime.sources.snapshots import folder_lines

    if manifest.snapshots is None:
        raise DataError(
            f"{folder} is a folder, and the bundle was not made of snapshot files: give a CSV file"
        )
    return folder_lines(folder, manifest.snapshots, layout, say)


def check_variant(manifest: Manifest, variant: str | None) -> None:
    """Raises ConfigurationError for a variant that the bundle does not have."""
    from edge_ad.errors import BundleError, ConfigurationError

    try:
        manifest.variant(variant)
    except BundleError as error:
        raise ConfigurationError(str(error)) from error


def _check_outputs(input_: str, replaced: Path | None, recorded: Path | None, appended: Path | None) -> None:
    """Refuse what would destroy something. The first two are replaced as a whole, the third grows."""
    from edge_ad.errors import ConfigurationError

    taken = set() if input_ == "-" else {Path(input_).resolve()}
    for path in (replaced, recorded, appended):
        if path is None:
            continue
        if not path.name or (path is not appended and path.exists() and not path.is_file()):
            raise ConfigurationError(f"{str(path)!r} is not the name of a file that could be replaced")
        if path.resolve() in taken:
            raise ConfigurationError(f"{path} would be written over: it is the input, or stands twice")
        taken.add(path.resolve())


def _samples(
    lines: Iterable[str], layout: CsvFormat, manifest: Manifest, name: str, hold_s: float, *, live: bool
) -> InOrder | None:
    """The stream; None where it was stopped before its first line."""
    from edge_ad.cli.termination import end_if_told
    from edge_ad.errors import Terminated
    from edge_ad.runtime.sources.csv_lines import CsvLines
    from edge_ad.runtime.sources.in_order import InOrder
    from edge_ad.runtime.stream import timed

    columns = [channel.name for channel in manifest.channels]
    try:
        end_if_told()
        samples: Iterable[Sample] = CsvLines(lines, layout, columns, name=name, strict=False)
    except Terminated:
        return None
    return InOrder(timed(samples) if live else samples, hold_s)


def _run(
    service: Service,
    monitor: Monitor,
    samples: InOrder,
    write_summary: Callable[[RunSummary], None],
    say: Callable[[str], None],
    *,
    live: bool,
) -> tuple[RunSummary, DataError | None]:
    """The stream from its first sample to its end, and the error of a source that broke off.

    Of a live one, how it goes is written down meanwhile.
    """
    from edge_ad.errors import DataError, OutputError
    from edge_ad.runtime.sinks.ndjson import NdjsonSink
    from edge_ad.runtime.stream import StreamRun

    columns = [channel.name for channel in service.bundle.manifest.channels]
    # A file is read at full speed; of a live stream every decision is to be seen at once.
    sink = NdjsonSink(sys.stdout, columns, flush_each=live or sys.stdout.isatty())
    emit = service.watched(sink.write)
    next_summary = monotonic() + _SUMMARY_EVERY_S

    def emit_and_sum_up(decision: Decision, stamp: str) -> None:
        nonlocal next_summary
        emit(decision, stamp)
        if monotonic() >= next_summary:
            next_summary = monotonic() + _SUMMARY_EVERY_S
            try:
                write_summary(stream.summary())
            except OutputError as error:  # the machine is watched whatever becomes of the disk
                say(f"{error}; it is tried again in {_SUMMARY_EVERY_S / 60:g} minutes")

    stream = StreamRun(monitor, emit_and_sum_up if live else emit)
    broken_off = None
    try:
        try:
            result = stream.run(samples, samples.rest)
        except DataError as error:  # what was decided until then is summed up nevertheless
            result, broken_off = stream.summary(), error
        sink.flush()
    except BrokenPipeError:  # a reader that has seen enough; the summary is for others
        write_summary(stream.summary())
        raise
    return result, broken_off


def _open(input_: str, stack: ExitStack) -> tuple[Iterable[str], str]:
    """Lines of the input, and what to call it. Bytes that are not UTF-8 spoil their cell only."""
    from edge_ad.errors import DataError
    from edge_ad.runtime.sources.interruptible import interruptible

    if input_ == "-":
        reader = stack.enter_context(interruptible(sys.stdin.fileno()))
        return io.TextIOWrapper(reader, encoding="utf-8", errors="replace", newline="\n"), "standard input"
    try:
        file = Path(input_).open(encoding="utf-8", errors="replace", newline="\n")  # noqa: SIM115
        return stack.enter_context(file), input_
    except OSError as error:
        raise DataError(f"cannot read {input_}: {error.strerror}") from error


def summary_text(result: RunSummary) -> str:
    """A run in a few lines, for people."""
    # Processor time is counted in ticks: of a short run it says nothing.
    share = f", {result.cpu_share:.0%} of a processor" if result.elapsed_s >= 1 else ""
    kinds = result.health.since_start.reasons.items()
    reasons = ", ".join(f"{kind} {n}" for kind, n in kinds if kind != "warming")
    lines = [
        f"{result.samples} samples, {result.scored} scored: {result.alarms} alarm in {result.episodes} "
        f"episodes; {result.unknown} unknown{f' ({reasons})' if reasons else ''}; {result.variant} on "
        f"{result.engine}",
        f"{result.samples_per_s:.0f} samples/s{share}, RSS "
        f"{result.rss_bytes / 1e6:.1f} MB (peak {result.peak_rss_bytes / 1e6:.1f} MB), first decision after "
        f"{result.cold_start_s or 0:.2f} s, {result.missed_deadlines} decisions later than a sample period",
    ]
    drift = result.health.drift
    if drift is not None and drift.psi is not None and drift.psi_noise is not None:
        figures = f"PSI {drift.psi:.2f} (up to {drift.psi_noise:.2f} may be chance), KS {drift.ks:.2f}"
        lines.append(f"scores against those of training: {drift.level}, {figures}")
    if result.latency_us:
        lines.append("latency us      p50      p95      p99    p99.9      max   jitter")
        for stage, f in result.latency_us.items():
            values = (f.p50_us, f.p95_us, f.p99_us, f.p999_us, f.max_us, f.jitter_us)
            lines.append(f"{stage:<10}" + "".join(f"{value:9.1f}" for value in values))
    return "\n".join(lines)
