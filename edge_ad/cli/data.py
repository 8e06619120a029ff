"""`edge-ad data`: describe, simulate and fetch recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, data_options

if TYPE_CHECKING:
    from edge_ad.toolchain.datasets.describe import RecordingDescription


@click.group()
def data() -> None:
    """Describe, simulate and fetch recordings."""


@data.command()
@click.argument("path", type=PATH)
@data_options
@click.option("--save-format", type=PATH, help="Write the format as a TOML file to edit.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def describe(
    path: Path, preset: str | None, format_file: Path | None, save_format: Path | None, as_json: bool
) -> None:
    """Show what is understood of the recordings at PATH: rows, rate, gaps, ranges, label share."""
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import ConfigurationError
    from edge_ad.files import write_atomic
    from edge_ad.toolchain.datasets.choose import choose_format
    from edge_ad.toolchain.datasets.describe import describe as describe_recording
    from edge_ad.toolchain.datasets.discover import find_recordings
    from edge_ad.toolchain.datasets.formats import format_toml
    from edge_ad.toolchain.datasets.guess import guess_format

    found = find_recordings(path)
    if preset or format_file:
        recording_format, matched = choose_format(path, preset, format_file)
    else:
        recording_format, matched = guess_format(next(iter(found.values())))
        origin = f"the preset {matched}" if matched else "guessed: check it before you train on it"
        click.echo(f"format: {origin}", err=True)
    if save_format is not None and save_format.exists():
        raise ConfigurationError(f"{save_format} exists; it is not overwritten")
    descriptions = [describe_recording(file, recording_format, name) for name, file in found.items()]
    if save_format is not None:
        write_atomic(save_format, format_toml(recording_format).encode())
    if as_json:
        click.echo(json.dumps([encode(description) for description in descriptions], indent=1))
        return
    for description in descriptions:
        click.echo(_text(description))


@data.command()
@click.option("-o", "--output", required=True, type=PATH, help="Folder to write to.")
@click.option("--machines", type=click.IntRange(1), default=6, show_default=True, help="How many.")
@click.option("--parquet", is_flag=True, help="Write Parquet instead of CSV.")
def pump(output: Path, machines: int, parquet: bool) -> None:
    """Write the simulated pump's recordings, each of another machine, the kinds of fault in turn."""
    from edge_ad.toolchain.datasets.simulated import write_pump_recordings

    write_pump_recordings(output, machines, parquet=parquet)
    suffix = "parquet" if parquet else "csv"
    for index in range(machines):
        click.echo(output / f"pump-{index}.{suffix}")


@data.group()
def fetch() -> None:
    """Download a public data set."""


@fetch.command()
@click.option(
    "-o", "--output", type=PATH, default=Path("skab"), show_default=True, help="Folder to write to."
)
@click.option("--base-url", help="Server to load from.  [default: where SKAB is published]")
def skab(output: Path, base_url: str | None) -> None:
    """Download the Skoltech Anomaly Benchmark: 34 labelled recordings of a pump test bed, 3.5 MB."""
    from edge_ad.cli.progress import make_progress
    from edge_ad.toolchain.datasets.fetch import SKAB_NOTICE, SKAB_URL, fetch_skab, skab_files

    click.echo(SKAB_NOTICE, err=True)
    progress = make_progress()
    progress.start("fetch", len(skab_files()), 0)
    try:
        summary = fetch_skab(
            output,
            base_url=base_url.rstrip("/") + "/" if base_url else SKAB_URL,
            on_file=lambda file, what: progress.advance(file.name, what),
        )
    finally:
        progress.finish()
    click.echo(
        f"{output}: {summary.downloaded} files downloaded ({summary.resumed} of them resumed), "
        f"{summary.already_present} already there"
    )


def _text(description: RecordingDescription) -> str:
    d = description
    lines = [f"{d.asset}: {d.rows} rows, {d.start} to {d.end}; the first {d.train_rows} train"]
    if d.median_step_s is not None:
        lines.append(
            f"  one row each {d.median_step_s:g} s ({d.nominal_step_share:.1%} of the steps), longest step "
            f"{d.longest_step_s:g} s, {d.gaps} gaps"
        )
    if d.label_share is None:
        lines.append("  no labels")
    else:
        lines.append(f"  {d.label_share:.1%} labelled anomalous in {d.label_column!r}")
    if d.not_used:
        lines.append(f"  not used: {', '.join(d.not_used)}")
    width = max(len(channel.name) for channel in d.channels)
    lines.append(f"  {'':<{width}} {'minimum':>12} {'mean':>12} {'maximum':>12}")
    for c in d.channels:
        if c.minimum is None:
            ranges = "no finite value"
        else:
            ranges = f"{c.minimum:12.6g} {c.mean:12.6g} {c.maximum:12.6g} {c.unit}"
        notes = [f"{c.missing} missing"] if c.missing else []
        notes += ["constant while training"] if c.constant_in_train else []
        lines.append(f"  {c.name:<{width}} {ranges}" + (f"  ({', '.join(notes)})" if notes else ""))
    return "\n".join(line.rstrip() for line in lines)
