"""Files of settings that are kept, compared and put back."""

from __future__ import annotations

import os
from pathlib import Path

from edge_ad.files import write_atomic
from edge_ad.runtime.install.progress import InstallError


def text_of(path: Path) -> str | None:
    """A file's text with its line ends as they are; None where there is none. Raises InstallError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InstallError(f"{path} on the board is no text in UTF-8: mend it first") from error


def put_text(path: Path, text: str, *, like: Path | None = None) -> None:
    """Write a whole file or nothing, for whoever could read it, or could read `like`; a link is followed.

    Raises OutputError, OSError.
    """
    target = path.resolve()
    try:
        model = os.stat(like or target)
    except FileNotFoundError:
        model = None
    if model is not None and like is not None:
        target.touch(mode=0o600)  # never readable for others than `like`, not for a moment
        os.chmod(target, model.st_mode & 0o777)
    write_atomic(target, text.encode())
    if model is not None and (os.stat(target).st_uid, os.stat(target).st_gid) != (model.st_uid, model.st_gid):
        os.chown(target, model.st_uid, model.st_gid)
