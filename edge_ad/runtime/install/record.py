"""What is in service on the board, and what was before a change that is under way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge_ad.bundle.codec import DecodeError, decode, encode
from edge_ad.files import make_durable_folder, write_atomic


@dataclass(frozen=True)
class InService:
    """What the service was last started with; equal means that it need not be started anew."""

    release: str
    bundles: dict[str, str]
    """Active bundle by asset."""
    settings: str
    """Digest of unit, drop-in and configuration."""


@dataclass(frozen=True)
class Before:
    """What a change goes back to if it does not work."""

    release: str | None
    bundles: dict[str, str]
    """Active bundle by asset."""
    files: dict[str, str | None]
    """Unit, drop-in and configuration by path; None for one that was not there."""
    was_active: bool
    was_enabled: bool


@dataclass(frozen=True)
class Record:
    """Both of it."""

    in_service: InService | None = None
    before: Before | None = None
    """None where no change is under way. It outlives an interruption: the next run goes back to it, too."""
    is_service_touched: bool = False
    """Whether a change that is under way has come as far as the service."""


def read_record(path: Path) -> Record:
    """As it was written; an empty one where there is none, or where it makes no sense."""
    try:
        return decode(Record, json.loads(path.read_bytes()))
    except (OSError, ValueError, DecodeError):
        return Record()


def write_record(path: Path, record: Record) -> None:
    """As a whole, and on disk when this returns. Raises OutputError."""
    make_durable_folder(path.parent)
    path.touch(mode=0o600)  # settings are in it
    write_atomic(path, json.dumps(encode(record)).encode())
