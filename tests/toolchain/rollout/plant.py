"""A small fleet of the toy bundle, as if it had been built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_ad.bundle.archive import sha256
from edge_ad.toolchain.fleet.record import AssetRecord
from edge_ad.toolchain.fleet.store import FleetStore, bundle_path
from tests.forge import edited, manifest_of


def build(
    root: Path,
    toy: bytes,
    asset: str,
    number: int = 1,
    edit: Callable[[dict], object] = lambda manifest: None,
) -> AssetRecord:
    """Put a build of an asset into the fleet."""

    def change(manifest: dict) -> None:
        manifest.update(asset=asset, build_number=number)
        edit(manifest)

    data = edited(toy, change)
    path = root / bundle_path(asset)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    record = AssetRecord(
        asset,
        f"{asset}.csv",
        "built",
        build_number=number,
        made=f"2026-01-{number:02}T00:00:00Z",
        bundle_path=bundle_path(asset),
        bundle_id=manifest_of(data)["bundle_id"],
        sha256=sha256(data),
        size_bytes=len(data),
    )
    with FleetStore.open(root, create=True) as store:
        store.record(record)
    return record


def spoiled(manifest: dict) -> None:
    """A bundle that scores otherwise wherever it is tested."""
    for variant in manifest["variants"]:
        variant["golden_scores"] = [score * 1.5 for score in variant["golden_scores"]]
