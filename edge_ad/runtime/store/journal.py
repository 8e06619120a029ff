"""The audit trail of an asset: a line of JSON for each change, only ever appended to."""

from __future__ import annotations

import contextlib
import getpass
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, canonical_json, decode, encode, parse_json
from edge_ad.errors import OutputError
from edge_ad.files import sync_folder

REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One change, or one attempt that was refused."""

    sequence: int
    """The state's number after the change. An entry above the state's own number was not carried out."""
    time: str
    """ISO 8601, UTC, by this machine's clock."""
    action: str
    """`install`, `activate`, `start`, `stop`, `confirm`, `rollback`, `recalibrate`, `revert`, `gc`, or
    `refused` for an attempt that changed nothing."""
    by: str
    """Account that did it."""
    bundle_id: str
    detail: str


def now() -> str:
    """The time as the store writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def account() -> str:
    """Who is at work: behind sudo, the person who called it."""
    with contextlib.suppress(KeyError, OSError):  # an account without a name, as in some containers
        name = getpass.getuser()
        sudo = os.environ.get("SUDO_USER")
        return f"{sudo} as {name}" if sudo and sudo != name else name
    return f"uid {os.getuid()}"


def append(path: Path, entry: Entry) -> None:
    """Add an entry, durably: on disk when this returns. Raises OutputError."""
    line = canonical_json(encode(entry)) + b"\n"
    try:
        existed = path.exists()
        with path.open("ab") as file:
            size = file.tell()
            try:
                # A power cut may have left half a line; it must not swallow this one.
                file.write(line if _ends_whole(path, size) else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(size)
                raise
        if not existed:
            sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def entries(path: Path, sequence: int) -> list[Entry]:
    """The entries that were carried out, for a state with that number; half-written lines are left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from error
    found: list[Entry] = []
    for line in lines:
        with contextlib.suppress(DecodeError):
            found.append(decode(Entry, parse_json(line), lambda key: None))
    # A change that was cut off before its state was written is repeated under the same number.
    latest = {entry.sequence: entry for entry in found if entry.action != REFUSED}
    return [
        entry
        for entry in found
        if entry.sequence <= sequence and (entry.action == REFUSED or latest[entry.sequence] is entry)
    ]


def _ends_whole(path: Path, size: int) -> bool:
    if size == 0:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
