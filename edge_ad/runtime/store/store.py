"""Installing, activating and rolling back bundles so that a power cut at any moment costs nothing.

Every change is the replacement of one small file, `state.json`; bundles are written and synced before
it names them and removed after it does not. Whatever was interrupted left files that nothing names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edge_ad.bundle.bundle import Bundle, read, read_bytes, unpack
from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.bundle.minisign import parse_signature
from edge_ad.bundle.overlay import Overlay, overlaid, overlay_bytes, overlay_id, parse_overlay
from edge_ad.errors import (
    BundleArchiveError,
    BundleDigestError,
    BundleError,
    OutputError,
    StoreBusyError,
    StoreError,
)
from edge_ad.files import make_durable_folder, sync_folder, write_atomic
from edge_ad.runtime.selftest import require_golden_scores
from edge_ad.runtime.store import journal
from edge_ad.runtime.store import state as states
from edge_ad.runtime.store.keyring import Keyring
from edge_ad.runtime.store.state import AssetState, Generation

SYSTEM_STORE = Path("/var/lib/edge-ad")
_LOCK_WAIT_S = 10.0


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


class Store:
    """The bundles of one machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keyring = Keyring(root / "trust")

    # What there is

    def assets(self) -> list[AssetState]:
        """The state of every asset, by name. Raises StoreError for a damaged one."""
        try:
            folders = sorted(path for path in (self.root / "assets").iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        states = [self._load(folder) for folder in folders]
        return [found for found in states if found is not None]

    def state(self, asset: str) -> AssetState:
        """The state of an asset. Raises StoreError for one that has nothing installed."""
        found = self._load(self._folder(asset))
        if found is None:
            known = ", ".join(other.asset for other in self.assets()) or "none"
            raise StoreError(f"no bundle of {asset!r} is installed in {self.root}; assets: {known}")
        return found

    def journal(self, asset: str) -> list[journal.Entry]:
        """What was done to an asset, oldest first. Raises StoreError."""
        return journal.entries(self._folder(asset) / "journal.ndjson", self.state(asset).sequence)

    def bundle_path(self, asset: str, bundle_id: str) -> Path:
        """The file of a generation."""
        return self._folder(asset) / "bundles" / f"{bundle_id}.edgead"

    def active(self, asset: str) -> ActiveBundle:
        """The active bundle, verified. Nothing is changed. Raises StoreError, BundleError."""
        return self._open(self.state(asset))

    # What an installer does

    def install(self, path: Path, *, allow_downgrade: bool = False) -> AssetState:
        """Take a bundle in, without activating it: verify, stage, verify what the disk has, test, name it.

        Raises BundleError (nothing is left behind), StoreError, OutputError, StoreBusyError.
        """
        policy = self.keyring.policy()
        data = read_bytes(path)
        try:
            bundle = unpack(data, policy)
        except BundleError as error:
            raise type(error)(f"{path}: {error}") from error
        manifest = bundle.manifest
        with self._locked():
            folder = self._folder(manifest.asset)
            before = self._load(folder) or AssetState(manifest.asset)
            known = any(g.bundle_id == manifest.bundle_id for g in before.generations)
            generation = Generation(
                manifest.bundle_id,
                manifest.build_number,
                (bundle.signature.key_id or "") if bundle.signature.trusted else "",
                journal.now(),
            )
            after = states.installed(before, generation, allow_downgrade=allow_downgrade)
            target = self.bundle_path(manifest.asset, manifest.bundle_id)
            if known and _reads(target) == data and after == before:
                return before
            with self._staged(target, data) as staged:
                if staged.read_bytes() != data:
                    raise OutputError(f"{staged} does not hold what was written: the disk is failing")
                require_golden_scores(bundle)
                os.replace(staged, target)
                sync_folder(target.parent)
            return self._commit(
                before, after, "install", manifest.bundle_id, f"build {manifest.build_number}"
            )

    def activate(self, asset: str, bundle_id: str) -> AssetState:
        """Let a generation run from the next start on, on trial. It is verified and tested first.

        Raises BundleError, StoreError, OutputError; the active bundle then stays as it is.
        """
        with self._locked():
            before = self.state(asset)
            generation = before.generation(bundle_id)
            after = states.activated(before, generation.bundle_id)
            if after == before:
                return before
            try:
                path = self.bundle_path(asset, generation.bundle_id)
                require_golden_scores(self._verified(path))
            except BundleError as error:
                self._note(before, journal.REFUSED, generation.bundle_id, f"activate: {error}")
                raise
            return self._commit(
                before, after, "activate", generation.bundle_id, f"build {generation.build_number}"
            )

    def rollback(self, asset: str, reason: str = "by hand") -> AssetState:
        """Back to the bundle that ran well before. Raises StoreError where there is none, BundleError."""
        with self._locked():
            before = self.state(asset)
            after = states.rolled_back(before, reason)
            self._verified(self.bundle_path(asset, after.active or ""))
            return self._commit(before, after, "rollback", after.active or "", reason)

    def gc(self, keep: int = states.MIN_KEPT) -> int:
        """Remove generations beyond `keep` per asset, and what interruptions left; returns bytes freed."""
        freed = 0
        with self._locked():
            for before in self.assets():
                after = states.collected(before, keep)
                if after != before:
                    detail = f"{len(before.generations) - len(after.generations)} generations removed"
                    after = self._commit(before, after, "gc", after.active or "", detail)
                freed += self._sweep(after)
        return freed

    # What a service does

    def begin(self, asset: str) -> ActiveBundle:
        """What to run now. Call it once per start of the service.

        A bundle on trial that was started too often without proving itself, and one that cannot be
        read any more, is rolled back here; `notice` then says so. Raises StoreError, BundleError.
        """
        found = self.state(asset)
        notices = []
        if not found.on_trial:
            with contextlib.suppress(BundleError):
                return self._open(found)
        with self._locked():
            found = self.state(asset)
            if states.given_up(found):
                found = self._give_up(found, f"did not last through its trial in {states.MAX_STARTS} starts")
                notices.append(self._rollback_notice(found))
            while True:
                try:
                    opened = self._open(found)
                    break
                except BundleError as error:
                    if not found.previous:
                        raise
                    found = self._give_up(found, str(error))
                    notices.append(self._rollback_notice(found))
            if found.on_trial:
                self._commit(found, states.started(found), "start", found.active or "", "on trial")
        return dataclasses.replace(opened, notice="; ".join(notices))

    def confirm(self, asset: str, bundle_id: str) -> None:
        """The bundle has lasted through its trial. Of no effect where another is active by now."""
        with self._locked():
            before = self.state(asset)
            if before.active == bundle_id and before.on_trial:
                self._commit(before, states.confirmed(before), "confirm", bundle_id, "the trial is over")

    def ended_early(self, asset: str, bundle_id: str) -> None:
        """The service was stopped in good order before the trial was over: the start does not count."""
        with self._locked():
            before = self.state(asset)
            if before.active == bundle_id and before.trial_starts:
                self._commit(
                    before, states.start_undone(before), "stop", bundle_id, "before the trial was over"
                )

    def fail(self, asset: str, bundle_id: str, reason: str) -> AssetState:
        """The bundle does not work in service: where it is on trial, back to the one before, if any."""
        with self._locked():
            before = self.state(asset)
            if before.active != bundle_id or not before.on_trial or not before.previous:
                return before
            return self._give_up(before, reason)

    # Overlays

    def apply_overlay(self, overlay: Overlay, signature: bytes | None = None) -> str:
        """Put an overlay in force for the active bundle of its asset; returns its id.

        One that was derived on this machine needs no signature; one that was brought here is judged
        by the caller. Raises BundleMismatchError for one of another bundle, StoreError, OutputError.
        """
        content = overlay_bytes(overlay)
        new_id = overlay_id(content)
        with self._locked():
            before = self.state(overlay.asset)
            overlaid(self._verified(self.bundle_path(overlay.asset, before.active or "")), overlay)
            folder = make_durable_folder(self._folder(overlay.asset) / "overlays")
            if signature is not None:
                parse_signature(signature)
                write_atomic(folder / f"{new_id}.json.minisig", signature)
            write_atomic(folder / f"{new_id}.json", content)
            after = states.overlaid(before, overlay.bundle_id, new_id)
            changes = ", ".join(f"{x.variant} UCL {x.old_ucl:.6g} -> {x.new_ucl:.6g}" for x in overlay.limits)
            detail = f"{new_id[:12]} by {overlay.by}, samples {overlay.samples_sha256[:12]}: {changes}"
            self._commit(before, after, "recalibrate", overlay.bundle_id, detail)
        return new_id

    def remove_overlay(self, asset: str) -> AssetState:
        """Back to the limits of the active bundle itself. Raises StoreError where no overlay is in force."""
        with self._locked():
            before = self.state(asset)
            active = before.active or ""
            if active not in before.overlays:
                raise StoreError(f"{asset} runs with the limits of its bundle; there is nothing to revert")
            after = states.overlaid(before, active, None)
            return self._commit(before, after, "revert", active, f"overlay {before.overlays[active][:12]}")

    # Files

    def _folder(self, asset: str) -> Path:
        # A name from a bundle is no path: no slash, no leading dot, no more than a file name may have.
        name = quote(asset, safe=" ").replace(".", "%2E") if asset[:1] == "." else quote(asset, safe=" ")
        if not asset or len(name) > 200:
            raise StoreError("an asset in the store needs a name of 1 to 200 letters")
        return self.root / "assets" / name

    def _load(self, folder: Path) -> AssetState | None:
        path = folder / "state.json"
        try:
            found = decode(AssetState, parse_json(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except DecodeError as error:
            raise StoreError(f"{path} is damaged ({error}): install the asset's bundle again") from error
        if found.schema.partition(".")[0] != AssetState("").schema.partition(".")[0]:
            raise StoreError(
                f"{path} was written by another edge_ad (schema {found.schema}): upgrade this one"
            )
        return found

    def _commit(
        self, before: AssetState, after: AssetState, action: str, bundle_id: str, detail: str
    ) -> AssetState:
        """Make a change the truth: first the journal says it, then the state does."""
        after = dataclasses.replace(after, sequence=before.sequence + 1)
        self._note(after, action, bundle_id, detail)
        write_atomic(self._folder(after.asset) / "state.json", canonical_json(encode(after)) + b"\n")
        return after

    def _note(self, at: AssetState, action: str, bundle_id: str, detail: str) -> None:
        entry = journal.Entry(at.sequence, journal.now(), action, journal.account(), bundle_id, detail)
        journal.append(self._folder(at.asset) / "journal.ndjson", entry)

    def _give_up(self, before: AssetState, reason: str) -> AssetState:
        return self._commit(
            before, states.rolled_back(before, reason), "rollback", before.previous[-1], reason
        )

    @staticmethod
    def _rollback_notice(found: AssetState) -> str:
        given_up, reason = list(found.failed.items())[-1]
        return f"rolled back to {(found.active or '')[:12]}, since {given_up[:12]} {reason}"

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
        path = self._folder(found.asset) / "overlays" / f"{wanted}.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"cannot read {path}: {error.strerror}; back to the bundle's own limits: "
                f"edge-ad store revert {found.asset}"
            ) from error
        if overlay_id(content) != wanted:
            raise StoreError(
                f"{path} is damaged; back to the bundle's own limits: edge-ad store revert {found.asset}"
            )
        return parse_overlay(content)

    @contextmanager
    def _staged(self, target: Path, data: bytes) -> Iterator[Path]:
        """The data in a synced file beside its target, removed again unless it was moved there."""
        make_durable_folder(target.parent)
        staged = target.with_name(f".incoming-{os.getpid()}")
        try:
            with staged.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield staged
        except OSError as error:
            raise OutputError(f"cannot write {target}: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                staged.unlink()

    def _sweep(self, found: AssetState) -> int:
        """Remove files that the state does not name; returns their bytes."""
        folder = self._folder(found.asset)
        wanted = {f"{g.bundle_id}.edgead" for g in found.generations}
        for overlay in found.overlays.values():
            wanted |= {f"{overlay}.json", f"{overlay}.json.minisig"}
        wanted |= {"state.json", "journal.ndjson"}
        freed = 0
        try:
            for where in (folder, folder / "bundles", folder / "overlays"):
                for path in where.iterdir() if where.is_dir() else ():
                    if path.is_file() and path.name not in wanted:
                        freed += path.stat().st_size
                        path.unlink()
        except OSError as error:
            raise OutputError(f"cannot remove old files of {found.asset}: {error.strerror}") from error
        return freed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The store to oneself. Raises StoreBusyError after some seconds, OutputError."""
        make_durable_folder(self.root)
        try:
            file = (self.root / "lock").open("ab")
        except OSError as error:
            raise OutputError(f"cannot change the store {self.root}: {error.strerror}") from error
        with file:
            deadline = time.monotonic() + _LOCK_WAIT_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise StoreBusyError(
                            f"another edge-ad is changing the store {self.root}; try again when it is done"
                        ) from error
                    time.sleep(0.05)
            yield


def _reads(path: Path) -> bytes | None:
    with contextlib.suppress(BundleArchiveError):
        return read_bytes(path)
    return None
