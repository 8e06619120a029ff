"""`edge-ad inspect`: what a bundle holds."""

from __future__ import annotations

from pathlib import Path

import click

from edge_ad.cli.options import PATH


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def inspect(bundle: Path, as_json: bool) -> None:
    """Show what BUNDLE holds, after checking its digests."""
    from edge_ad.bundle.bundle import read
    from edge_ad.bundle.manifest import to_json

    loaded = read(bundle)
    manifest = loaded.manifest
    if as_json:
        click.echo(to_json(manifest).decode())
        return
    click.echo(
        f"asset {manifest.asset}, model version {manifest.model_version}, build {manifest.build_number}"
    )
    click.echo(f"id {manifest.bundle_id}")
    click.echo(
        f"window {manifest.window_length} x {len(manifest.channels)} channels, one sample each "
        f"{manifest.sample_period_s:g} s, largest gap {manifest.largest_gap_s:g} s, "
        f"alarm after {manifest.alarm_rule.k} exceedances in a row"
    )
    if manifest.unchecked:
        click.echo("UNCHECKED: packed although the parity gate failed or did not run")
    for channel, offset, scale in zip(
        manifest.channels, manifest.scaler.offset, manifest.scaler.scale, strict=True
    ):
        click.echo(f"  {channel.name:<24}{channel.unit:<8} offset {offset:<12.6g} scale {scale:.6g}")
    for variant in manifest.variants:
        default = " (default)" if variant.name == manifest.default_variant else ""
        size = len(loaded.members[variant.file])
        click.echo(f"  {variant.name}{default}: {size / 1000:.1f} KB, UCL {variant.limit.ucl:.6g}")
        for quality in variant.evaluation:
            figures = ", ".join(
                f"{name} {value:.3f}"
                for name, value in (("F1", quality.f1), ("FAR", quality.far), ("MAR", quality.mar))
                if value is not None
            )
            click.echo(f"    {quality.rule} rule, {quality.n_rows} rows: {figures or 'not defined'}")
    for key in manifest.unknown_keys:
        click.echo(f"ignored, from a newer edge_ad: {key}", err=True)
