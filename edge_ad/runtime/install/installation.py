"""What is installed on the board, as far as it decides what runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_ad.runtime.install import systemd
from edge_ad.runtime.install.bundles import active_bundles
from edge_ad.runtime.install.commands import attempt, tail
from edge_ad.runtime.install.layout import Layout
from edge_ad.runtime.install.progress import InstallError
from edge_ad.runtime.install.record import Before, InService
from edge_ad.runtime.install.text_file import text_of


class Installation:
    """The store, the settings and the release in service; changed by our own commands of another release."""

    def __init__(self, layout: Layout, release: str) -> None:
        """`release`: whose commands work on the store."""
        self.layout = layout
        self._program = layout.release(release) / "bin" / "edge-ad"

    def active_bundles(self) -> dict[str, str]:
        """Active bundle by asset."""
        return {a: f.active for a, f in active_bundles(self.layout.store).items() if f.active is not None}

    def active(self, asset: str) -> str | None:
        """Id of the bundle that the store has active for an asset."""
        return self.active_bundles().get(asset)

    def complaint(self, asset: str, bundle_id: str) -> str:
        """Why that bundle is no longer active; empty where it is."""
        fact = active_bundles(self.layout.store).get(asset)
        if fact is not None and fact.active == bundle_id:
            return ""
        why = fact.given_up.get(bundle_id) if fact else None
        return f"the agent gave the bundle up: {why or 'another one is active by now'}"

    def in_service(self) -> InService:
        """What a service that is started now runs with."""
        layout = self.layout
        digest = hashlib.sha256()
        for path in (layout.unit, layout.drop_in, layout.config):
            digest.update(f"{path}\0{text_of(path)}\0".encode())
        return InService(layout.release_in_service() or "", self.active_bundles(), digest.hexdigest())

    def before(self) -> Before:
        """All that a change may have to go back to."""
        layout = self.layout
        return Before(
            layout.release_in_service(),
            self.active_bundles(),
            {str(path): text_of(path) for path in (layout.unit, layout.drop_in, layout.config)},
            systemd.is_active(),
            systemd.is_enabled(),
        )

    def edge_ad(self, *words: str | Path) -> str:
        """Our own command on this board's store, under the account that runs the agent; what it printed.

        Raises InstallError with what it said, and its exit code where that tells of settings or a bundle.
        """
        store = ("--store", self.layout.store)
        code, output = attempt([self._program, *words, *store], account=self.layout.account)
        if code:
            said = [line for line in output.splitlines() if line.startswith("edge-ad: ")]
            text = said[-1].removeprefix("edge-ad: ") if said else tail(output)
            error = InstallError(text or f"edge-ad {words[0]} ended with {code}")
            error.exit_code = code if code in (2, 3) else 1
            raise error
        return output
