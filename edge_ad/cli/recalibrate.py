"""`edge-ad recalibrate`: new limits from normal samples, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, store_option, stream_layout

if TYPE_CHECKING:
    from edge_ad.bundle.manifest import Manifest
    from edge_ad.bundle.overlay import Overlay


@click.command()
@click.argument("bundle")
@click.argument("samples", type=PATH)
@click.option("--scaler", "with_scaler", is_flag=True, help="Fit the scaler to the samples too.")
@click.option("--force", is_flag=True, help="Accept a limit that moves by more than a factor of three.")
@click.option("--separator", help="Character between cells.  [default: the bundle's]")
@click.option("--time-column", help="Name of the time column.  [default: the bundle's]")
@click.option("--by", help="Who answers for it.  [default: this account]")
@click.option("--key", "key_file", type=PATH, help="Sign the overlay with this private key.")
@click.option("--passphrase-file", type=PATH, help="File whose first line is its passphrase.  [default: ask]")
@click.option("-o", "--output", type=PATH, help="Write the overlay there instead of putting it in force.")
@store_option
def recalibrate(
    bundle: str,
    samples: Path,
    with_scaler: bool,
    force: bool,
    separator: str | None,
    time_column: str | None,
    by: str | None,
    key_file: Path | None,
    passphrase_file: Path | None,
    output: Path | None,
    store: Path | None,
) -> None:
    """Derive new control limits for BUNDLE from SAMPLES, a CSV file of normal operation on this machine.

    BUNDLE is @ASSET for the one that the store runs, or a file (then --output is needed). The bundle stays as
    it is: the limits go into an overlay, `edge-ad store log` has who made it of what, and
    `edge-ad store revert` takes it back.
    """
    from edge_ad.bundle.overlay import overlay_bytes, overlay_id
    from edge_ad.cli.keys import open_key
    from edge_ad.errors import ConfigurationError
    from edge_ad.files import write_atomic
    from edge_ad.runtime.recalibrate import derive_overlay
    from edge_ad.runtime.store.journal import account, now
    from edge_ad.runtime.store.open import find_bundle
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    if not bundle.startswith("@") and output is None:
        raise ConfigurationError("for a bundle file, name where the overlay goes: --output overlay.json")
    found = find_bundle(bundle, store)
    overlay = derive_overlay(
        found.bundle,
        samples,
        with_scaler=with_scaler,
        by=by or account(),
        created=now(),
        layout=stream_layout(found.bundle.manifest.input, separator, time_column),
        force=force,
    )
    content, signature = overlay_bytes(overlay), None
    if key_file is not None:
        key = open_key(key_file, passphrase_file)
        signature = key.sign(content, f"edge_ad overlay of {overlay.bundle_id}").text().encode()
    if overlay.old_scaler is not None and overlay.new_scaler is not None:
        for channel, old, new in zip(
            found.bundle.manifest.channels, overlay.old_scaler.scale, overlay.new_scaler.scale, strict=True
        ):
            click.echo(f"{printable(channel.name)}: scale {old:.6g} -> {new:.6g}")
    for limit in overlay.limits:
        change = limit.new_ucl / limit.old_ucl - 1
        click.echo(
            f"{limit.variant}: UCL {limit.old_ucl:.6g} -> {limit.new_ucl:.6g} ({change:+.1%}), from "
            f"{limit.n_windows} windows"
        )
    for note in _doubts(found.bundle.manifest, overlay):
        click.echo(printable(note), err=True)
    if output is not None:
        if signature is not None:
            write_atomic(output.with_name(f"{output.name}.minisig"), signature)
        write_atomic(output, content)
        click.echo(f"{output}: in force once it is handed to edge-ad store apply", err=True)
        return
    open_store(store).apply_overlay(content, signature)
    click.echo(
        f"{printable(overlay.asset)}: in force from the next start ({overlay_id(content)[:12]})", err=True
    )


def _doubts(manifest: Manifest, overlay: Overlay) -> list[str]:
    """Why the samples cannot promise the budget of false alarms that the limits are for; each reason once."""
    doubts = (
        manifest.variant(limit.variant).limit.rule.doubt(limit.n_windows, manifest.sampling)
        for limit in overlay.limits
    )
    return [doubt for doubt in dict.fromkeys(doubts) if doubt]
