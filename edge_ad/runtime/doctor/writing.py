"""A real write: does it arrive on the disk, and how long does that take?"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from edge_ad.files import sync_folder
from edge_ad.runtime.doctor.disks import nearest
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine

SLOW_S = 1.0
TIME_LIMIT_S = 5.0
_PREFIX = ".edge-ad-doctor-"


def writing(machine: Machine, folders: dict[str, Path]) -> Iterator[Finding]:
    """Write, sync and remove a small file in each folder, by what it is for: `store`, `spool`."""
    for purpose, folder in folders.items():
        if os.path.isdir(folder):
            yield judge_write(machine, purpose, folder, write_time_s(folder))
        elif not os.access(nearest(folder), os.X_OK):
            yield skip("write", f"{machine.account.name} may not look into {nearest(folder)}")
        elif os.access(nearest(folder), os.W_OK):
            yield skip("write", f"the {purpose} folder {folder} is not there yet, and can be made")
        else:
            owner = shlex.quote(machine.account.name)
            yield (warn if purpose == "spool" else skip)(
                "write",
                f"the {purpose} folder {folder} is not there, and {machine.account.name} cannot make it",
                f"sudo install -d -o {owner} {shlex.quote(str(folder))}",
            )


def write_time_s(folder: Path, time_limit_s: float = TIME_LIMIT_S) -> float | OSError | None:
    """How long it takes until a small file and its name are safe on the disk.

    The error where it fails; None where it has not happened within the time limit.
    """
    outcome: list[float | OSError] = []

    def write() -> None:
        try:
            outcome.append(_write(folder))
        except OSError as error:
            outcome.append(error)

    # A disk that is dying keeps whoever syncs for minutes, and nothing can end that.
    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(time_limit_s)
    return outcome[0] if outcome else None


def judge_write(machine: Machine, purpose: str, folder: Path, outcome: float | OSError | None) -> Finding:
    """What the outcome of `write_time_s` means."""
    where = f"{purpose} folder {folder}"
    if outcome is None:
        return fail(
            "write",
            f"{where}: a small file is not on the disk after {TIME_LIMIT_S:g} s. The disk is failing, or "
            "something else writes all the time",
            "sudo dmesg | grep -i -E 'error|mmc|timeout'",
            "sudo iotop -o -b -n 3",
        )
    if isinstance(outcome, OSError):
        return _failed(machine, purpose, folder, outcome)
    text = f"{where}: a small file is safe on the disk after {1000 * outcome:.1f} ms"
    if outcome > SLOW_S:
        return warn("write", f"{text}: the card is slow, worn or busy", "sudo iotop -o -b -n 3")
    return ok("write", text)


def _failed(machine: Machine, purpose: str, folder: Path, error: OSError) -> Finding:
    where, path = f"{purpose} folder {folder}", shlex.quote(str(folder))
    if error.errno in (errno.EACCES, errno.EPERM):
        name = machine.account.name
        text = f"{where}: {name} may not write there"
        if purpose == "store":
            # Whoever only runs what is proven may do without.
            return skip("write", f"{text}, which installing bundles, and running them on trial, needs")
        return fail("write", text, f"sudo chown -R {shlex.quote(name)}: {path}")
    if error.errno == errno.ENOSPC:
        return fail(
            "write", f"{where}: the disk is full", "sudo apt-get clean", "sudo journalctl --vacuum-size=50M"
        )
    reason = error.strerror or str(error)
    return fail(
        "write", f"{where} cannot be written: {reason}", "sudo dmesg | tail -n 30", f"findmnt -T {path}"
    )


def _write(folder: Path) -> float:
    begun = monotonic()
    handle, name = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"edge-ad doctor\n" * 256)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
        return monotonic() - begun
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
