"""`edge-ad bench`: how fast a bundle runs on this machine."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from edge_ad.cli.options import PATH, bundle_argument, store_option

_PACKAGES = ("edge-ad", "numpy", "ai-edge-litert", "tflite-runtime", "tensorflow", "keras")


@click.command()
@bundle_argument
@click.option("--variant", "variants", multiple=True, help="May be repeated.  [default: all]")
@click.option("--windows", type=click.IntRange(500), default=2000, show_default=True, help="Counted windows.")
@click.option("--warmup", type=click.IntRange(0), default=200, show_default=True, help="Uncounted windows.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of the interpreter.")
@click.option(
    "--keras/--no-keras", default=None, help="Time Keras predict too.  [default: where TensorFlow is]"
)
@click.option("--keras-windows", type=click.IntRange(1), default=50, show_default=True)
@click.option("-o", "--output", type=PATH, help="Write raw values and machine facts there as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print that JSON instead of the table.")
@store_option
def bench(
    bundle: str,
    variants: tuple[str, ...],
    windows: int,
    warmup: int,
    threads: int,
    keras: bool | None,
    keras_windows: int,
    output: Path | None,
    as_json: bool,
    store: Path | None,
) -> None:
    """Time the variants of BUNDLE: bare invoke, every stage, and the way from sample to decision."""
    from edge_ad.bench.machine import machine_facts
    from edge_ad.bench.results import BenchmarkFile
    from edge_ad.bundle.codec import encode
    from edge_ad.errors import OutputError
    from edge_ad.files import write_atomic
    from edge_ad.runtime.benchmark import benchmark_variant
    from edge_ad.runtime.interpreter import interpreter_version
    from edge_ad.runtime.store.open import find_bundle

    if output is not None and not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")
    loaded = find_bundle(bundle, store).bundle
    manifest = loaded.manifest
    before = machine_facts()
    measurements = []
    for name in variants or [variant.name for variant in manifest.variants]:
        click.echo(f"measuring {name} …", err=True)
        measurements += benchmark_variant(loaded, name, windows=windows, warmup=warmup, threads=threads)
    if keras or (keras is None and find_spec("tensorflow") is not None):
        from edge_ad.toolchain.keras_baseline import benchmark_keras

        click.echo("measuring Keras predict …", err=True)
        measurements += benchmark_keras(manifest, windows=keras_windows, warmup=3)
    result = BenchmarkFile(
        schema="1.0",
        bundle_id=manifest.bundle_id,
        asset=manifest.asset,
        threads=threads,
        interpreter=interpreter_version(),
        versions=_versions(),
        machine_before=before,
        machine_after=machine_facts(),
        measurements=tuple(measurements),
    )
    text = json.dumps(encode(result))
    if output is not None:
        write_atomic(output, text.encode() + b"\n")
    if as_json:
        click.echo(text)
        return
    click.echo(f"{before.board or before.cpu_model}, {result.interpreter}, {threads} thread(s)")
    click.echo(f"{'microseconds':<34}{'p50':>10}{'p95':>10}{'p99':>10}{'max':>10}")
    for measurement in measurements:
        figures = "".join(f"{measurement.percentile_us(p):10.1f}" for p in (50, 95, 99, 100))
        click.echo(f"{measurement.name:<34}{figures}")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
