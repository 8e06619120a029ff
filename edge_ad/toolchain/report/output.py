"""Where a report goes."""

from __future__ import annotations

import os
from pathlib import Path

from edge_ad.errors import OutputError


def check_output(path: Path, *inputs: Path) -> None:
    """Raises OutputError, before any work is done, for a page that could not be written.

    Neither may it be written over one of the inputs.
    """
    if any(path.resolve() == given.resolve() for given in inputs):
        raise OutputError(f"cannot write {path}: it would be written over, and is what is read")
    if not path.name or path.is_dir():
        raise OutputError(
            f"cannot write {path}: it is a folder; give the name of a file, such as report.html"
        )
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"cannot write {path}: the folder {path.parent} is not yours to write to")
