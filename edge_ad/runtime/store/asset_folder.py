"""The files of one asset in the store: how they are named, written, read and cleared away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.bundle.overlay import overlay_id
from edge_ad.errors import OutputError, StoreDamagedError, StoreError
from edge_ad.files import make_durable_folder, write_atomic
from edge_ad.runtime.store import journal
from edge_ad.runtime.store.state import AssetState

_SCHEMA = AssetState("").schema
_STAGED = ".incoming-"


@dataclass(frozen=True)
class AssetFolder:
    """One asset's folder; nothing in it is kept in memory."""

    path: Path

    @classmethod
    def of(cls, root: Path, asset: str) -> AssetFolder:
        """The folder of an asset's name. Raises StoreError for a name that no folder can have."""
        # A name from a bundle is no path: no slash, no leading dot, no more than a file name may have.
        name = quote(asset, safe=" ")
        if name.startswith("."):
            name = name.replace(".", "%2E")
        if not asset or len(name) > 200:
            raise StoreError("an asset in the store needs a name of 1 to 200 letters")
        return cls(root / "assets" / name)

    def bundle(self, bundle_id: str) -> Path:
        """The file of a generation."""
        return self.path / "bundles" / f"{bundle_id}.edgead"

    def load(self) -> AssetState | None:
        """The asset's state; None where nothing was ever installed. Raises StoreDamagedError, StoreError."""
        path = self.path / "state.json"
        try:
            found = decode(AssetState, parse_json(path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        except DecodeError as error:
            raise StoreDamagedError(
                f"{path} is damaged ({error}): install the asset's bundle again, which makes a new one"
            ) from error
        if found.schema.partition(".")[0] != _SCHEMA.partition(".")[0]:
            raise StoreError(
                f"{path} was written by another edge_ad (schema {found.schema}): upgrade this one"
            )
        return found

    def is_damaged(self) -> bool:
        """Whether there is a state that cannot be made sense of."""
        try:
            self.load()
        except StoreDamagedError:
            return True
        return False

    def save(self, state: AssetState, action: str, bundle_id: str, detail: str) -> None:
        """Make a state the truth: first the journal says it, then the state does. Raises OutputError."""
        make_durable_folder(self.path)
        self.note(state, action, bundle_id, detail)
        write_atomic(self.path / "state.json", canonical_json(encode(state)) + b"\n")

    def note(self, at: AssetState, action: str, bundle_id: str, detail: str) -> None:
        """Add to the journal. Raises OutputError."""
        entry = journal.Entry(at.sequence, journal.now(), action, journal.account(), bundle_id, detail)
        journal.append(self.path / "journal.ndjson", entry)

    def journal(self, state: AssetState) -> list[journal.Entry]:
        """What was done, oldest first. Raises OutputError."""
        return journal.entries(self.path / "journal.ndjson", state.sequence)

    def write_overlay(self, content: bytes, signature: bytes | None) -> None:
        """Put an overlay on disk; the state does not name it yet. Raises OutputError."""
        path = make_durable_folder(self.path / "overlays") / f"{overlay_id(content)}.json"
        if signature is not None:
            write_atomic(path.with_name(f"{path.name}.minisig"), signature)
        write_atomic(path, content)

    def read_overlay(self, wanted: str) -> tuple[bytes, bytes | None]:
        """An overlay and its signature file, None for one that was made here. Raises StoreError."""
        path = self.path / "overlays" / f"{wanted}.json"
        beside = path.with_name(f"{path.name}.minisig")
        try:
            content = path.read_bytes()
            signature = beside.read_bytes() if beside.exists() else None
        except OSError as error:
            raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error
        if overlay_id(content) != wanted:
            raise StoreError(f"{path} is damaged")
        return content, signature

    @contextmanager
    def staged(self, target: Path, data: bytes) -> Iterator[Path]:
        """The data in a synced file beside its target, removed again unless it was moved there."""
        make_durable_folder(target.parent)
        staged = target.with_name(f"{_STAGED}{os.getpid()}")
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

    def sweep(self, state: AssetState) -> int:
        """Remove bundles that the state does not name and what interruptions left; returns their bytes.

        Overlays stay, in force or not: they are small, and the journal refers to them.
        """
        wanted = {f"{generation.bundle_id}.edgead" for generation in state.generations}
        freed = 0
        try:
            for folder in (self.path, self.path / "bundles", self.path / "overlays"):
                for path in folder.iterdir() if folder.is_dir() else ():
                    stray = folder.name == "bundles" and path.name not in wanted
                    if path.is_file() and (stray or path.name.startswith(".")) and not _at_work(path):
                        freed += path.stat().st_size
                        path.unlink()
        except OSError as error:
            raise OutputError(f"cannot remove old files of {state.asset}: {error.strerror}") from error
        return freed


def _at_work(path: Path) -> bool:
    """Whether the installer that staged this file still runs."""
    pid = path.name.removeprefix(_STAGED)
    return path.name.startswith(_STAGED) and pid.isdigit() and Path(f"/proc/{pid}").exists()
