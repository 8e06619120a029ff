"""One process at a time changes a store."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_ad.errors import OutputError, StoreBusyError
from edge_ad.files import make_durable_folder

WAIT_S = 10.0


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """The store to oneself. Raises StoreBusyError after some seconds, OutputError."""
    make_durable_folder(root)
    try:
        file = (root / "lock").open("ab")
    except OSError as error:
        raise OutputError(
            f"cannot change the store {root}: {error.strerror} (whoever installs, or runs a bundle "
            "on trial, must be able to write there)"
        ) from error
    with file:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise StoreBusyError(
                        f"another edge-ad is changing the store {root}; try again when it is done"
                    ) from error
                time.sleep(0.05)
        yield
