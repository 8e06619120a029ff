"""From what a user names to a verified bundle: a file, or `@ASSET` for what a machine's store runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.bundle import Bundle, read
from edge_ad.runtime.store.store import open_store


@dataclass(frozen=True)
class FoundBundle:
    """A bundle under this machine's rules of trust."""

    name: str
    """What the user called it."""
    bundle: Bundle
    running: Bundle
    """The bundle under the overlay in force, for one of the store; otherwise the bundle itself."""


def find_bundle(reference: str, store: Path | None = None) -> FoundBundle:
    """Read and verify `reference` under the rules of `store` (the machine's own for None).

    Raises BundleError, StoreError, KeyFileError.
    """
    opened = open_store(store)
    if reference.startswith("@"):
        active = opened.active(reference[1:])
        return FoundBundle(reference, active.original, active.running)
    bundle = read(Path(reference), opened.keyring.policy())
    return FoundBundle(reference, bundle, bundle)


def wanted_run(reference: str, store: Path | None = None) -> tuple[str, str | None]:
    """Ids of the bundle, and of the overlay in force, that a service of `reference` would run now.

    Raises BundleError, StoreError.
    """
    if not reference.startswith("@"):
        return find_bundle(reference, store).bundle.manifest.bundle_id, None
    state = open_store(store).state(reference[1:])
    active = state.active or ""
    return active, state.overlays.get(active)
