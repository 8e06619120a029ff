"""Root file systems as on a Raspberry Pi, for tests: built with debootstrap, run by qemu where need be.

    with pi_rootfs.Machine.open("arm64-bookworm", scratch) as machine:
        machine.run(["uname", "-m"]).stdout          # aarch64
        with machine.sshd() as server:
            server.ssh("sudo id")
    with pi_rootfs.BootedMachine.open("amd64-bookworm", scratch) as machine:
        machine.server.ssh("systemctl is-system-running")

Needs Linux and root; `unavailable()` says in words what else is missing. From the command line:
`python tools/pi_rootfs --help`. A machine keeps tests apart from each other and from this computer; it is no
wall against hostile programs.
"""

from __future__ import annotations

from pi_rootfs.booted import BootedMachine
from pi_rootfs.build import ensure
from pi_rootfs.errors import RootError
from pi_rootfs.host import missing_packages, unavailable
from pi_rootfs.machine import Machine
from pi_rootfs.recipes import ROOTS, Recipe
from pi_rootfs.ssh import SshServer

__all__ = [
    "ROOTS",
    "BootedMachine",
    "Machine",
    "Recipe",
    "RootError",
    "SshServer",
    "ensure",
    "missing_packages",
    "unavailable",
]
