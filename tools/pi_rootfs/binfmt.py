"""Programs of other processors, run by qemu: what the kernel's binfmt_misc must know.

Source: https://docs.kernel.org/admin-guide/binfmt-misc.html
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

from pi_rootfs.errors import RootError

_FOLDER = Path("/proc/sys/fs/binfmt_misc")
_NATIVE = {"x86_64": ("amd64",), "aarch64": ("arm64",), "armv7l": ("armhf",), "armv6l": ()}
_PROCESSOR = {"arm64": "aarch64", "armhf": "arm", "amd64": "x86_64"}
"""Of qemu's names."""
_CONF = Path("/usr/lib/binfmt.d")

_FLAGS = "POCF"
"""P: the name a program was called by is kept. C (which implies O): set-user-ID counts, without which sudo
has no effect. F: the kernel opens the emulator now, so that it works in a root that does not contain it."""


def native(architecture: str) -> bool:
    """Does this machine's processor run such programs itself?"""
    return architecture in _NATIVE.get(platform.machine(), ())


def emulator(architecture: str) -> str | None:
    """The program that runs this architecture; empty where none is needed, None where it is missing."""
    if native(architecture):
        return ""
    return shutil.which(f"qemu-{_PROCESSOR[architecture]}-static")


def unavailable() -> str | None:
    """Why programs of other processors cannot be run here; None where they can or none are wanted."""
    if (_FOLDER / "register").exists():
        return None
    mounted = subprocess.run(
        ["mount", "-t", "binfmt_misc", "binfmt_misc", _FOLDER], capture_output=True, text=True, check=False
    )
    if (_FOLDER / "register").exists():
        return None
    return f"binfmt_misc cannot be mounted on {_FOLDER}: {mounted.stderr.strip()}"


def ensure(architecture: str) -> None:
    """Have the kernel run programs of this architecture, with set-user-ID.

    An entry of our own goes before those of the system, which usually lack the flag C, and stays until the
    machine restarts or `pi_rootfs clean --all` removes it. It matches nothing but such programs.
    """
    if native(architecture):
        return
    reason = unavailable()
    if reason is not None:
        raise RootError(reason)
    processor = _PROCESSOR[architecture]
    if any(_suffices(entry, processor) for entry in _FOLDER.glob("*")):
        return
    try:
        (_FOLDER / "register").write_text(_line(processor))
    except OSError as error:
        raise RootError(f"qemu for {architecture} cannot be registered in {_FOLDER}: {error}") from error


def forget() -> None:
    """Remove the entries of our own."""
    for entry in _FOLDER.glob("pi-rootfs-*"):
        entry.write_text("-1")


def _suffices(entry: Path, processor: str) -> bool:
    if entry.name in ("register", "status"):
        return False
    text = entry.read_text()
    flags = re.search(r"^flags: (\w*)$", text, re.MULTILINE)
    return (
        text.startswith("enabled")
        and re.search(rf"^interpreter .*\b{processor}\b", text, re.MULTILINE) is not None
        and flags is not None
        and {"C", "F"} <= set(flags[1])
    )


def _line(processor: str) -> str:
    """The line of the package's own file, under our name and with our flags."""
    file = _CONF / f"qemu-{processor}.conf"
    try:
        fields = file.read_text().strip().split(":")
    except OSError as error:
        raise RootError(f"{error}: apt-get install qemu-user-static") from error
    fields[1], fields[-1] = f"pi-rootfs-{processor}", _FLAGS
    return ":".join(fields)
