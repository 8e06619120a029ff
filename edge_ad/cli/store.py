"""`edge-ad store`: the bundles of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_ad.cli.options import PATH, store_option

if TYPE_CHECKING:
    from edge_ad.runtime.store.state import AssetState

_DOWNGRADE = click.option(
    "--allow-downgrade", is_flag=True, help="Take a build number that is not above all earlier ones."
)


@click.group()
def store() -> None:
    """Install, activate and roll back bundles on the machine that runs them.

    The active bundle of an asset is called @ASSET in run, verify, inspect, bench and diff.
    """


@store.command()
@click.argument("bundle", type=PATH)
@click.option(
    "--activate/--no-activate", default=True, show_default=True, help="Let it run from the next start."
)
@_DOWNGRADE
@store_option
def install(bundle: Path, activate: bool, allow_downgrade: bool, store: Path | None) -> None:
    """Verify BUNDLE, test it on this machine's interpreter, and take it into the store."""
    from edge_ad.bundle.bundle import read_bytes, unpack
    from edge_ad.errors import StoreError
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    opened = open_store(store)
    data = read_bytes(bundle)
    state = opened.install_bytes(data, str(bundle), allow_downgrade=allow_downgrade)
    manifest = unpack(data).manifest
    bundle_id, asset = manifest.bundle_id, printable(state.asset)
    click.echo(f"{asset}: build {manifest.build_number} is installed ({bundle_id[:12]}) in {opened.root}")
    for key in manifest.unknown_keys:
        click.echo(f"ignored, from a newer edge_ad: {printable(key)}", err=True)
    if activate:
        if bundle_id in state.failed and state.active != bundle_id:
            raise StoreError(
                f"{bundle_id[:12]} was given up on this machine ({state.failed[bundle_id]}); to try it "
                f"again: edge-ad store activate {state.asset} {bundle_id[:12]}"
            )
        recalibrated = state.active != bundle_id and state.active in state.overlays
        _say_active(opened.activate(state.asset, bundle_id))
        if recalibrated:
            click.echo(
                f"{asset}: the recalibration was of the former bundle; edge-ad recalibrate @{asset}", err=True
            )


@store.command()
@click.argument("asset")
@click.argument("bundle_id", required=False)
@store_option
def activate(asset: str, bundle_id: str | None, store: Path | None) -> None:
    """Let BUNDLE_ID of ASSET (the one installed last, if not given) run from the next start, on trial."""
    from edge_ad.runtime.store.store import open_store

    opened = open_store(store)
    chosen = bundle_id or opened.state(asset).generations[-1].bundle_id
    _say_active(opened.activate(asset, chosen))


@store.command()
@click.argument("asset")
@click.option("--reason", default="by hand", show_default=True, help="For the journal.")
@store_option
def rollback(asset: str, reason: str, store: Path | None) -> None:
    """Go back to the bundle of ASSET that ran well before the active one."""
    from edge_ad.runtime.store.store import open_store

    _say_active(open_store(store).rollback(asset, reason))


@store.command()
@click.argument("overlay", type=PATH)
@store_option
def apply(overlay: Path, store: Path | None) -> None:
    """Put OVERLAY (edge-ad recalibrate --output) in force for the active bundle it was made for.

    Where signatures are required, OVERLAY.minisig must lie beside it.
    """
    from edge_ad.bundle.bundle import read_bytes
    from edge_ad.bundle.overlay import overlay_id, parse_overlay
    from edge_ad.errors import BundleError
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    opened = open_store(store)
    beside = overlay.with_name(f"{overlay.name}.minisig")
    content = read_bytes(overlay)
    signature = read_bytes(beside) if beside.exists() else None
    try:
        opened.keyring.policy().check(content, signature, what="overlay")
        parsed = parse_overlay(content)
    except BundleError as error:
        raise type(error)(f"{overlay}: {error}") from error
    opened.apply_overlay(content, signature)
    click.echo(f"{printable(parsed.asset)}: in force from the next start ({overlay_id(content)[:12]})")


@store.command()
@click.argument("asset")
@store_option
def revert(asset: str, store: Path | None) -> None:
    """Take back a recalibration: the limits of the active bundle of ASSET itself count again."""
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    open_store(store).remove_overlay(asset)
    click.echo(f"{printable(asset)}: the limits of its bundle are in force")


@store.command(name="list")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print the states as JSON.")
def list_(store: Path | None, as_json: bool) -> None:
    """Show every asset with its generations."""
    from edge_ad.bundle.codec import encode
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    opened = open_store(store)
    states = opened.assets()
    for folder in opened.damaged():
        click.echo(f"{folder / 'state.json'} is damaged: install the asset's bundle again", err=True)
    if as_json:
        click.echo(json.dumps([encode(state) for state in states]))
        return
    if not states:
        click.echo(f"nothing is installed in {opened.root}", err=True)
    for state in states:
        click.echo(printable(state.asset))
        for generation in state.generations:
            click.echo(
                f"  {generation.bundle_id[:12]}  build {generation.build_number:<6} {generation.installed}  "
                f"{'key ' + generation.key_id if generation.key_id else 'signature not checked'}"
                f"{_role(state, generation.bundle_id)}"
            )


@store.command()
@click.argument("asset")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per entry.")
def log(asset: str, store: Path | None, as_json: bool) -> None:
    """Show what was done to ASSET, when, and by whom."""
    from edge_ad.bundle.codec import encode
    from edge_ad.runtime.store.store import open_store
    from edge_ad.text import printable

    for entry in open_store(store).journal(asset):
        if as_json:
            click.echo(json.dumps(encode(entry)))
        else:
            line = f"{entry.time}  {entry.action:<12}{entry.bundle_id[:12]}  {entry.by}: {entry.detail}"
            click.echo(printable(line))


@store.command()
@click.option("--keep", type=click.IntRange(2), default=2, show_default=True, help="Generations per asset.")
@store_option
def gc(keep: int, store: Path | None) -> None:
    """Remove old generations, and what interrupted installations left."""
    from edge_ad.runtime.store.store import open_store

    freed = open_store(store).gc(keep)
    click.echo(f"{freed / 1000:.1f} KB freed")


def _role(state: AssetState, bundle_id: str) -> str:
    from edge_ad.text import printable

    words = []
    if bundle_id == state.active:
        words.append("active, on trial" if state.on_trial else "active")
    if state.previous and bundle_id == state.previous[-1]:
        words.append("to go back to")
    if bundle_id in state.failed:
        words.append(f"given up: {printable(state.failed[bundle_id])}")
    if bundle_id in state.overlays:
        words.append(f"recalibrated ({state.overlays[bundle_id][:12]})")
    return f"  {', '.join(words)}" if words else ""


def _say_active(state: AssetState) -> None:
    from edge_ad.text import printable

    generation = state.generation(state.active or "")
    what = f"build {generation.build_number} ({generation.bundle_id[:12]})"
    trial = ", on trial until it has run for a while" if state.on_trial else ""
    click.echo(f"{printable(state.asset)}: {what} is active{trial}")
