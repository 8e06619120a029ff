"""Which bundle of a fleet a host is to run, read and held against what the index says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.bundle import read_bytes, unpack
from edge_ad.errors import BundleError, BundleMismatchError, ConfigurationError
from edge_ad.toolchain.fleet.store import FleetStore
from edge_ad.toolchain.rollout.inventory import InventoryHost


@dataclass(frozen=True)
class Wanted:
    """A bundle that a host is to run."""

    asset: str
    bundle_id: str
    build_number: int
    path: Path
    """Here."""

    @property
    def file(self) -> str:
        """Where a rollout keeps its copy, below its folder."""
        return f"bundles/{self.bundle_id}.edgead"


@dataclass(frozen=True)
class Chosen:
    """What all hosts are to run, and what they cannot get."""

    hosts: dict[str, tuple[Wanted, ...]]
    """Without those that would get nothing."""
    without: tuple[str, ...]
    """Assets that have no bundle in the fleet."""


def choose_bundles(store: FleetStore, hosts: Iterable[InventoryHost]) -> Chosen:
    """The fleet's bundle for every asset of every host.

    Raises ConfigurationError for an asset that the fleet does not know, BundleError for a file that is
    damaged or is not the bundle that the index names.
    """
    records = {record.asset: record for record in store.assets()}
    chosen: dict[str, tuple[Wanted, ...]] = {}
    without: list[str] = []
    for host in hosts:
        found = []
        for asset in host.assets:
            record = records.get(asset)
            if record is None:
                raise ConfigurationError(
                    f"host {host.name} of the inventory watches {asset!r}, which the fleet in {store.root} "
                    "does not know: correct edge_ad_assets there"
                )
            if not record.bundle_path:
                without.append(asset)
                continue
            path = store.root / record.bundle_path
            wanted = Wanted(asset, record.bundle_id, record.build_number, path)
            _check(wanted)
            found.append(wanted)
        if found:
            chosen[host.name] = tuple(found)
    return Chosen(chosen, tuple(without))


def _check(wanted: Wanted) -> None:
    try:
        manifest = unpack(read_bytes(wanted.path)).manifest
    except BundleError as error:
        raise type(error)(f"{wanted.path}: {error}") from error
    if manifest.asset != wanted.asset:
        raise BundleMismatchError(
            f"{wanted.path} is a bundle of {manifest.asset!r}, not of {wanted.asset!r}: build that asset "
            "again"
        )
    if manifest.bundle_id != wanted.bundle_id:
        raise BundleMismatchError(
            f"{wanted.path} is build {manifest.build_number} ({manifest.bundle_id[:12]}), and the fleet's "
            f"index says build {wanted.build_number} ({wanted.bundle_id[:12]}): build that asset again"
        )
