"""`edge-ad fleet build`: a bundle for every recording of a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_ad.cli.options import PATH, build_settings, data_options, fleet_settings_options

if TYPE_CHECKING:
    from edge_ad.toolchain.datasets.formats import RecordingFormat
    from edge_ad.toolchain.fleet.build import Tally
    from edge_ad.toolchain.fleet.engines import Engine
    from edge_ad.toolchain.fleet.record import AssetRecord
    from edge_ad.toolchain.fleet.sources import Source

_SHOWN = 20
"""Failures that are named one by one where a person reads."""


@click.command()
@click.argument("dataset")
@click.option("-o", "--output", required=True, type=PATH, help="Folder of the fleet; it can be resumed.")
@data_options
@fleet_settings_options
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done: in processes of this machine, or by Ray. The bundles are the same.",
)
@click.option(
    "--address",
    help="HOST:PORT of a Ray cluster, for --engine ray; its token is taken from where Ray looks for it.  "
    "[default: a cluster of this machine's own]",
)
@click.option("--workers", type=click.IntRange(1), help="Tasks at a time.  [default: one per processor]")
@click.option(
    "--assets-per-task",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Assets that a worker trains side by side, and that are done again if it is lost.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what came out as JSON.")
def build(
    dataset: str,
    output: Path,
    preset: str | None,
    format_file: Path | None,
    config: Path | None,
    engine: str,
    address: str | None,
    workers: int | None,
    assets_per_task: int,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train, convert, gate and pack a bundle for every recording in DATASET, each on its own.

    DATASET is a folder of CSV or Parquet recordings, the URL of one (s3://…, file://…; what fsspec knows), or
    pump://N for N simulated machines. Models are tiny unless --models or --config says otherwise; those of
    LSTM layers are trained side by side, conv and dense one by one.

    A recording that cannot be used, or whose models fail the gate, never stops the rest; the command then
    ends with the exit code of the first such reason. Given again, it does what is missing, what failed, and
    what was built from other data or settings.
    """
    from edge_ad.toolchain.fleet.build import build_fleet
    from edge_ad.toolchain.fleet.plan import FleetPlan
    from edge_ad.toolchain.fleet.sources import find_sources
    from edge_ad.toolchain.workspace import Workspace

    default_models = None if preset == "bearing" else ("tiny",)
    settings = build_settings(config, preset, default_models=default_models, **overrides)
    workers_of = _engine(engine, address, workers)
    sources = find_sources(dataset)
    recording_format, found_preset = _choose_format(dataset, sources, preset, format_file)
    plan = FleetPlan(dataset, recording_format, settings, found_preset)
    click.get_current_context().with_resource(Workspace(output).locked())
    tally, missing = build_fleet(
        output, plan, sources, workers_of, assets_per_task=assets_per_task, watch=_show
    )
    _report(output, tally, missing, as_json)


def _engine(kind: str, address: str | None, workers: int | None) -> Engine:
    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.fleet.engines import LocalEngine
    from edge_ad.toolchain.pool import default_jobs

    n_workers = workers or default_jobs()
    if kind == "ray":
        from edge_ad.toolchain.fleet.ray_engine import RayEngine

        on_cluster = RayEngine(address, n_workers)
        on_cluster.check()
        return on_cluster
    if address is not None:
        raise ConfigurationError("--address is that of a Ray cluster: give --engine ray as well")
    return LocalEngine(n_workers)


def _choose_format(
    dataset: str, sources: list[Source], preset: str | None, format_file: Path | None
) -> tuple[RecordingFormat, str | None]:
    """The format asked for, or the preset that the first recording fits."""
    import tempfile

    from edge_ad.errors import ConfigurationError
    from edge_ad.toolchain.datasets.choose import choose_format
    from edge_ad.toolchain.fleet.sources import SIMULATOR

    if dataset.startswith(SIMULATOR) and preset is None and format_file is None:
        preset = "pump"
    with tempfile.TemporaryDirectory() as folder:
        first = Path(dataset) if preset or format_file else sources[0].fetch(Path(folder))
        recording_format, found = choose_format(first, preset, format_file)
    if recording_format.snapshots is not None:
        raise ConfigurationError(
            "a fleet is built from recordings of samples, not from snapshots: 'edge-ad build' makes their "
            "features into a recording"
        )
    return recording_format, found


def _show(record: AssetRecord, tally: Tally) -> None:
    """A line on stderr for every asset that is done."""
    from edge_ad.text import printable

    if record.is_built:
        f1 = "" if record.f1 is None else f", F1 {record.f1:.3f}"
        what = f"{record.default_variant}, {record.size_bytes / 1000:.1f} KB, UCL {record.ucl:.4g}{f1}"
    else:
        what = f"{record.state}: {record.reason}"
    done, all_ = tally.done + tally.skipped, tally.total
    left = "" if tally.seconds_left is None else f", {_duration(tally.seconds_left)} left"
    failed = f"{tally.failed} failed, " if tally.failed else ""
    line = f"{done}/{all_} {record.asset}: {what} ({failed}{tally.per_minute:.1f} a minute{left})"
    click.echo(printable(line), err=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _report(output: Path, tally: Tally, missing: list[AssetRecord], as_json: bool) -> None:
    """What came out; ends with the exit code of the first reason where an asset has no bundle."""
    from edge_ad.text import counted, printable

    n_built = tally.total - len(missing)
    if as_json:
        import json

        failed = [{"asset": r.asset, "state": r.state, "error": r.error} for r in missing]
        facts = {
            "assets": tally.total,
            "built": n_built,
            "skipped": tally.skipped,
            "done": tally.done,
            "seconds": tally.seconds,
            "failed": failed,
        }
        click.echo(json.dumps(facts, indent=1))
    else:
        click.echo(f"with a bundle in {output / 'bundles'}: {n_built} of {counted(tally.total, 'asset')}")
    if not missing:
        return
    states = Counter(record.state for record in missing)
    counts = ", ".join(f"{n} {state}" for state, n in sorted(states.items()))
    click.echo(f"without a bundle: {counts}", err=True)
    for record in missing[:_SHOWN]:
        click.echo(printable(f"  {record.asset}: {record.reason}"), err=True)
    if len(missing) > _SHOWN:
        click.echo(
            f"  and {len(missing) - _SHOWN} more: edge-ad fleet list {output} --where 'state!=built'",
            err=True,
        )
    click.get_current_context().exit(
        4 if missing[0].state == "gate-failed" else 5 if "failed" in states else 1
    )
