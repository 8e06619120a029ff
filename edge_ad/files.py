"""Writing files so that what was there before survives a crash, a full disk or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from edge_ad.errors import OutputError


def make_folder(path: Path) -> Path:
    """Create a folder and its parents where they are missing. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create folder {path}: {error.strerror}") from error
    return path


def sync_folder(path: Path) -> None:
    """See to it that what was created, renamed or removed in a folder outlives a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_durable_folder(path: Path) -> Path:
    """As `make_folder`, and each new folder's name is on disk when this returns. Raises OutputError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path)
    try:
        for folder in missing:
            sync_folder(folder.parent)
    except OSError as error:
        raise OutputError(f"cannot create folder {path}: {error.strerror}") from error
    return path


def write_atomic(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: a temporary file beside it, synced, then renamed over it.

    Raises OutputError; the former file is then untouched and no temporary file is left.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            # mkstemp makes the file private; give it what it had, or what an ordinary new file gets
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _mode(path: Path) -> int:
    with contextlib.suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
