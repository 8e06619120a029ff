"""Installing, activating and rolling back bundles so that a power cut at any moment costs nothing.

Every change is the replacement of one small file, `state.json`; bundles are written and synced before
it names them and removed after it does not. Whatever was interrupted left files that nothing names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.bundle import Bundle, read, read_bytes, unpack
from edge_ad.bundle.minisign import parse_signature
from edge_ad.bundle.overlay import Overlay, overlaid, overlay_id, parse_overlay
from edge_ad.errors import (
    BundleDigestError,
    BundleError,
    BundleRevokedKeyError,
    BundleSignatureError,
    BundleUnsignedError,
    BundleUntrustedKeyError,
    OutputError,
    StoreBusyError,
    StoreError,
)
from edge_ad.files import sync_folder
from edge_ad.runtime.selftest import require_golden_scores
from edge_ad.runtime.store import journal
from edge_ad.runtime.store import state as states
from edge_ad.runtime.store.asset_folder import AssetFolder
from edge_ad.runtime.store.keyring import Keyring
from edge_ad.runtime.store.lock import locked
from edge_ad.runtime.store.state import AssetState, Generation

SYSTEM_STORE = Path("/var/lib/edge-ad")
_UNTRUSTED = (BundleUnsignedError, BundleSignatureError, BundleUntrustedKeyError, BundleRevokedKeyError)
"""What a machine's rules refuse. The bundle is what it was: a matter for a person, not for a rollback."""


def default_store() -> Path:
    """Where the store is unless told otherwise: the system's, or the account's own where there is none."""
    if os.geteuid() == 0 or SYSTEM_STORE.is_dir():
        return SYSTEM_STORE
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "edge-ad"


@dataclass(frozen=True)
class ActiveBundle:
    """What is to run for an asset."""

    asset: str
    original: Bundle
    running: Bundle
    """The original under the overlay in force, if there is one."""
    overlay: Overlay | None
    on_trial: bool
    notice: str = ""
    """What the person in charge should know, such as a rollback that just happened."""

    @property
    def bundle_id(self) -> str:
        """Which one it is."""
        return self.original.manifest.bundle_id


class Store:
    """The bundles of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keyring = Keyring(root / "trust")

    # What there is

    def assets(self) -> list[AssetState]:
        """The state of every asset whose state can be read, by name. Raises StoreError."""
        loaded = (folder.load() for folder in self._folders() if not folder.is_damaged())
        return [found for found in loaded if found is not None]

    def damaged(self) -> list[Path]:
        """The folders of assets whose state makes no sense. Raises StoreError."""
        return [folder.path for folder in self._folders() if folder.is_damaged()]

    def state(self, asset: str) -> AssetState:
        """The state of an asset. Raises StoreError for one that has nothing installed."""
        found = self._folder(asset).load()
        if found is None:
            known = ", ".join(other.asset for other in self.assets()) or "none"
            raise StoreError(f"no bundle of {asset!r} is installed in {self.root}; assets: {known}")
        return found

    def journal(self, asset: str) -> list[journal.Entry]:
        """What was done to an asset, oldest first. Raises StoreError, OutputError."""
        return self._folder(asset).journal(self.state(asset))

    def bundle_path(self, asset: str, bundle_id: str) -> Path:
        """The file of a generation."""
        return self._folder(asset).bundle(bundle_id)

    def active(self, asset: str) -> ActiveBundle:
        """The active bundle, verified. Nothing is changed. Raises StoreError, BundleError."""
        return self._open(self.state(asset))

    # What an installer does

    def install(self, path: Path, *, allow_downgrade: bool = False) -> AssetState:
        """Take a bundle file in, as `install_bytes` does. Raises the same, naming the file."""
        return self.install_bytes(read_bytes(path), str(path), allow_downgrade=allow_downgrade)

    def install_bytes(self, data: bytes, name: str, *, allow_downgrade: bool = False) -> AssetState:
        """Take a bundle in, without activating it: verify, stage, verify what the disk has, test, name it.

        The store is locked for the last of these only: a test may take a while. A state that was damaged is
        made anew, of the bundles that are there. Raises BundleError (nothing is left behind), StoreError,
        OutputError, StoreBusyError.
        """
        try:
            bundle = unpack(data, self.keyring.policy())
        except BundleError as error:
            raise type(error)(f"{name}: {error}") from error
        manifest = bundle.manifest
        folder = self._folder(manifest.asset)
        before = self._before_install(folder, manifest.asset)
        after = states.installed(before, _generation(bundle), allow_downgrade=allow_downgrade)
        target = folder.bundle(manifest.bundle_id)
        if after == before and self._is_there(before, target, bundle, data) and not folder.is_damaged():
            return before
        with folder.staged(target, data) as staged:
            if staged.read_bytes() != data:
                raise OutputError(f"{staged} does not hold what was written: the disk is failing")
            self._require_self_test(folder, before, bundle, f"install {name}")
            with locked(self.root):
                before = self._before_install(folder, manifest.asset)
                after = states.installed(before, _generation(bundle), allow_downgrade=allow_downgrade)
                os.replace(staged, target)
                sync_folder(target.parent)
                detail = f"build {manifest.build_number}"
                return self._commit(before, after, "install", manifest.bundle_id, detail)

    def activate(self, asset: str, bundle_id: str) -> AssetState:
        """Let a generation run from the next start on, on trial. It is verified and tested first.

        Raises BundleError, StoreError, OutputError; the active bundle then stays as it is.
        """
        before = self.state(asset)
        chosen = before.generation(bundle_id).bundle_id
        if chosen == before.active:
            return before
        folder = self._folder(asset)
        try:
            bundle = self._verified(folder.bundle(chosen))
        except BundleError as error:
            folder.note(before, journal.REFUSED, chosen, f"activate: {error}")
            raise
        self._require_self_test(folder, before, bundle, "activate")
        with locked(self.root):
            before = self.state(asset)
            after = states.activated(before, chosen)
            detail = f"build {before.generation(chosen).build_number}"
            return before if after == before else self._commit(before, after, "activate", chosen, detail)

    def rollback(self, asset: str, reason: str = "by hand") -> AssetState:
        """Back to the bundle that ran before. Raises StoreError where there is none, BundleError."""
        with locked(self.root):
            before = self.state(asset)
            after = states.rolled_back(before, reason)
            self._verified(self.bundle_path(asset, after.active or ""))
            return self._commit(before, after, "rollback", after.active or "", reason)

    def gc(self, keep: int = states.MIN_KEPT) -> int:
        """Remove generations beyond `keep` per asset, and what interruptions left; returns bytes freed."""
        freed = 0
        with locked(self.root):
            for before in self.assets():
                after = states.collected(before, keep)
                if after != before:
                    detail = f"{len(before.generations) - len(after.generations)} generations removed"
                    after = self._commit(before, after, "gc", after.active or "", detail)
                freed += self._folder(after.asset).sweep(after)
            for folder in self._folders():  # of first installations that were interrupted
                if not folder.is_damaged() and folder.load() is None:
                    freed += folder.sweep(AssetState(""))
        return freed

    # What a service does

    def begin(self, asset: str) -> ActiveBundle:
        """What to run now. Call it once per start of the service, of which there is one per asset.

        A bundle on trial that was started too often without proving itself is rolled back. In place of one
        that cannot be read, the latest former one that can be runs for this time; the state stays as it is.
        `notice` then says so. What the rules of trust refuse is an error. Raises StoreError, BundleError.
        """
        found = self.state(asset)
        try:
            opened = self._open(found)
        except _UNTRUSTED:
            raise
        except BundleError as problem:
            former = self._former(found, str(problem))
            if former is None:
                raise
            substitute = former[1]  # for this time only: the disk may recover
            notice = f"{problem}. In its place runs {substitute.bundle_id[:12]}: install the bundle again"
            return dataclasses.replace(substitute, notice=notice)
        if not found.on_trial:
            return opened
        try:
            with locked(self.root):
                found = self.state(asset)
                if states.given_up(found):
                    reason = f"it did not last through its trial in {states.MAX_STARTS} starts"
                    if (former := self._former(found, reason)) is not None:
                        after, opened = former
                        self._commit(found, after, "rollback", opened.bundle_id, reason)
                        change = f"from {(found.active or '')[:12]} to {opened.bundle_id[:12]}"
                        return dataclasses.replace(opened, notice=f"rolled back {change}: {reason}")
                opened = self._open(found)
                if found.on_trial:
                    self._commit(found, states.started(found), "start", found.active or "", "on trial")
                return opened
        except (OutputError, StoreBusyError) as error:
            # A full disk is no reason to stop watching a machine.
            return dataclasses.replace(opened, notice=f"this start on trial is not counted: {error}")

    def confirm(self, asset: str, bundle_id: str) -> None:
        """The bundle has lasted through its trial. Of no effect where another is active by now."""
        with locked(self.root):
            before = self.state(asset)
            if before.active == bundle_id and before.on_trial:
                self._commit(before, states.confirmed(before), "confirm", bundle_id, "the trial is over")

    def ended_early(self, asset: str, bundle_id: str) -> None:
        """The service was stopped in good order before the trial was over: the start does not count."""
        with locked(self.root):
            before = self.state(asset)
            if before.active == bundle_id and before.trial_starts:
                after = states.start_undone(before)
                self._commit(before, after, "stop", bundle_id, "before the trial was over")

    def fail(self, asset: str, bundle_id: str, reason: str) -> AssetState:
        """The bundle does not work in service: where it is on trial, back to the one before, if any."""
        with locked(self.root):
            before = self.state(asset)
            if before.active != bundle_id or not before.on_trial:
                return before
            former = self._former(before, reason)
            if former is None:
                return before
            return self._commit(before, former[0], "rollback", former[1].bundle_id, reason)

    # Overlays

    def apply_overlay(self, content: bytes, signature: bytes | None = None) -> Overlay:
        """Put an overlay's bytes in force for the active bundle of its asset.

        One that was derived on this machine needs no signature; one that was brought here is judged
        by the caller. Raises BundleError for one that is none or of another bundle, StoreError, OutputError.
        """
        overlay = parse_overlay(content)
        new_id = overlay_id(content)
        with locked(self.root):
            before = self.state(overlay.asset)
            overlaid(self._verified(self.bundle_path(overlay.asset, before.active or "")), overlay)
            self._folder(overlay.asset).write_overlay(content, signature)
            after = states.overlaid(before, overlay.bundle_id, new_id)
            origin = f"signed with key {parse_signature(signature).key_id}" if signature else "made here"
            detail = f"overlay {new_id}, {origin}, {overlay.text()}"
            self._commit(before, after, "recalibrate", overlay.bundle_id, detail)
        return overlay

    def remove_overlay(self, asset: str) -> AssetState:
        """Back to the limits of the active bundle itself. Raises StoreError where no overlay is in force."""
        with locked(self.root):
            before = self.state(asset)
            active = before.active or ""
            if active not in before.overlays:
                raise StoreError(f"{asset} runs with the limits of its bundle; there is nothing to revert")
            after = states.overlaid(before, active, None)
            return self._commit(before, after, "revert", active, f"overlay {before.overlays[active]}")

    # Inside

    def _folders(self) -> list[AssetFolder]:
        try:
            found = sorted(path for path in (self.root / "assets").iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.root / 'assets'}: {error.strerror}") from error
        return [AssetFolder(path) for path in found]

    def _folder(self, asset: str) -> AssetFolder:
        return AssetFolder.of(self.root, asset)

    def _commit(
        self, before: AssetState, after: AssetState, action: str, bundle_id: str, detail: str
    ) -> AssetState:
        after = dataclasses.replace(after, sequence=before.sequence + 1)
        self._folder(after.asset).save(after, action, bundle_id, detail)
        return after

    def _before_install(self, folder: AssetFolder, asset: str) -> AssetState:
        if folder.is_damaged():
            return self._rebuilt(folder, asset)
        return folder.load() or AssetState(asset)

    def _is_there(self, state: AssetState, target: Path, bundle: Bundle, data: bytes) -> bool:
        """Whether that very file is installed, or one that is worth more for its signature."""
        if not any(g.bundle_id == bundle.manifest.bundle_id for g in state.generations):
            return False
        try:
            old_data = read_bytes(target)
            old = unpack(old_data, self.keyring.policy())
        except BundleError:
            return False
        return old_data == data or (old.signature.key_id is not None and not bundle.signature.trusted)

    def _rebuilt(self, folder: AssetFolder, asset: str) -> AssetState:
        """A state in place of a damaged one: the bundles that are there and verify, none of them active."""
        found = AssetState(asset)
        bundles = []
        for path in sorted((folder.path / "bundles").glob("[0-9a-f]*.edgead")):
            with contextlib.suppress(BundleError):
                bundles.append(self._verified(path))
        for bundle in sorted(bundles, key=lambda each: each.manifest.build_number):
            if bundle.manifest.asset == asset:
                found = states.installed(found, _generation(bundle), allow_downgrade=True)
        # Above all numbers that the journal knows, so that none of its entries is taken for undone.
        last = max(
            (entry.sequence for entry in folder.journal(dataclasses.replace(found, sequence=2**62))),
            default=0,
        )
        return dataclasses.replace(found, sequence=last)

    def _require_self_test(self, folder: AssetFolder, at: AssetState, bundle: Bundle, attempt: str) -> None:
        try:
            require_golden_scores(bundle)
        except BundleError as error:
            with contextlib.suppress(OutputError):
                if folder.path.is_dir() and at.generations:
                    folder.note(at, journal.REFUSED, bundle.manifest.bundle_id, f"{attempt}: {error}")
            raise type(error)(
                f"{attempt}: {error}. It was left out, and what was active stays active. Compare the "
                "interpreter's versions here and where it was built, or build it anew"
            ) from error

    def _former(self, found: AssetState, reason: str) -> tuple[AssetState, ActiveBundle] | None:
        """The state after going back to the latest former bundle that opens, and that bundle."""
        while found.previous:
            found = states.rolled_back(found, reason)
            try:
                return found, self._open(found)
            except BundleError as error:
                reason = str(error)
        return None

    def _verified(self, path: Path) -> Bundle:
        return read(path, self.keyring.policy())

    def _open(self, found: AssetState) -> ActiveBundle:
        if found.active is None:
            raise StoreError(f"no bundle of {found.asset} is active: edge-ad store activate {found.asset}")
        path = self.bundle_path(found.asset, found.active)
        bundle = self._verified(path)
        if bundle.manifest.bundle_id != found.active or bundle.manifest.asset != found.asset:
            raise BundleDigestError(f"{path} is not the bundle it is named after")
        overlay = self._overlay(found)
        running = bundle if overlay is None else overlaid(bundle, overlay)
        return ActiveBundle(found.asset, bundle, running, overlay, found.on_trial)

    def _overlay(self, found: AssetState) -> Overlay | None:
        wanted = found.overlays.get(found.active or "")
        if wanted is None:
            return None
        try:
            content, signature = self._folder(found.asset).read_overlay(wanted)
            if signature is not None:
                self.keyring.policy().check(content, signature)
            return parse_overlay(content)
        except (BundleError, StoreError) as error:
            # No BundleError: the bundle is in order, and to roll it back would help nobody.
            raise StoreError(
                f"the recalibration in force for {found.asset} cannot be used: {error}. Back to the bundle's "
                f"own limits: edge-ad store revert {found.asset}"
            ) from error


def open_store(root: Path | None) -> Store:
    """The store in a folder, this machine's own for None."""
    return Store(root or default_store())


def _generation(bundle: Bundle) -> Generation:
    key_id = (bundle.signature.key_id or "") if bundle.signature.trusted else ""
    return Generation(bundle.manifest.bundle_id, bundle.manifest.build_number, key_id, journal.now())
