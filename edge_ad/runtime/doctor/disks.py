"""The file systems that a service writes to: what becomes of it at a power cut, and how much fits."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.mounts import Mount, mount_of

LEAST_BYTES, FEW_BYTES = 50_000_000, 500_000_000
FEW_PERCENT = 5.0
FEW_INODES = 1000
_LOST = {"tmpfs", "ramfs", "rootfs"}
_UNSAFE = {
    "vfat": "has no journal: a power cut may damage it",
    "exfat": "has no journal: a power cut may damage it",
    "msdos": "has no journal: a power cut may damage it",
    "ext2": "has no journal: a power cut may damage it",
    "nfs": "lies on another machine: without the network nothing is kept, and SQLite cannot rely on its "
    "locks",
    "nfs4": "lies on another machine: without the network nothing is kept, and SQLite cannot rely on its "
    "locks",
    "cifs": "lies on another machine: without the network nothing is kept, and SQLite cannot rely on its "
    "locks",
}


@dataclass(frozen=True)
class Space:
    """Room on a file system."""

    free_bytes: int
    """For accounts other than root."""
    total_bytes: int
    free_inodes: int
    total_inodes: int
    """0 where the file system has no fixed number of them."""


def disks(machine: Machine, folders: dict[str, Path]) -> Iterator[Finding]:
    """`folders` by what they are for; those on one file system are looked at once."""
    seen = set()
    for folder in folders.values():
        existing = nearest(folder)
        mount = mount_of(machine, existing)
        key = (mount.device, mount.point) if mount else ("", str(existing))
        if key in seen:
            continue
        seen.add(key)
        if mount is None:
            yield skip("mount", f"{folder}: it is not known what file system it lies on")
        else:
            yield _mount(machine, mount, folder)
        yield _space(existing)


def nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next((path for path in (folder, *folder.parents) if os.path.isdir(path)), Path("/"))


def space_of(folder: Path) -> Space | None:
    """Room where a folder lies; None where that is not to be had."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    size = found.f_frsize
    return Space(found.f_bavail * size, found.f_blocks * size, found.f_favail, found.f_files)


def judge_space(folder: Path, space: Space) -> Finding:
    """Whether it will last."""
    free = f"{folder}: {_size(space.free_bytes)} free"
    cleaning = (
        "sudo apt-get clean && sudo journalctl --vacuum-size=50M",
        f"sudo du -xh --max-depth=2 {shlex.quote(str(folder))} | sort -h | tail -n 20",
    )
    if space.free_bytes < LEAST_BYTES:
        text = f"{free}: events would be lost, and an update would fail"
        return fail("disk-space", text, *cleaning)
    if space.total_inodes and space.free_inodes < FEW_INODES:
        judge = fail if not space.free_inodes else warn
        text = f"{folder}: {space.free_inodes} more files can be made, however small"
        return judge(
            "disk-space", text, f"sudo du -x --inodes {shlex.quote(str(folder))} | sort -n | tail -n 20"
        )
    percent = 100 * space.free_bytes / max(1, space.total_bytes)
    if space.free_bytes < FEW_BYTES or percent < FEW_PERCENT:
        return warn("disk-space", f"{free} ({percent:.1f} %)", *cleaning)
    return ok("disk-space", f"{free} ({percent:.0f} %)")


def _space(folder: Path) -> Finding:
    space = space_of(folder)
    if space is None:
        return skip("disk-space", f"{folder} does not tell")
    return judge_space(folder, space)


def _mount(machine: Machine, mount: Mount, folder: Path) -> Finding:
    where = f"{folder} lies on {mount.device} ({mount.kind}, mounted on {mount.point})"
    point = shlex.quote(mount.point)
    if "ro" in mount.options:
        return fail(
            "mount",
            f"{where}, which is read-only. The kernel makes it so after an error on the disk: then replace "
            "the card",
            "sudo dmesg | grep -i -E 'error|mmc|ext4'",
            f"sudo mount -o remount,rw {point}",
        )
    if mount.kind in _LOST:
        return warn(
            "mount",
            f"{where}, which is memory: a power cut or a restart loses all of it, events not yet delivered "
            "too",
            "sudo mkdir -p /var/lib/edge-ad/agent  # and name it in [agent] spool",
        )
    if mount.kind == "overlay":
        upper = mount.option("upperdir") or "memory"
        return warn(
            "mount",
            f"{where}: what is written goes to {upper}. With overlayroot that is memory, and a power cut "
            "or a restart loses it, in a container it goes with the container",
            *_without_overlay(machine),
        )
    if mount.kind in _UNSAFE:
        return warn("mount", f"{where}, which {_UNSAFE[mount.kind]}", "df -hT  # a folder on ext4 is better")
    unsafe = _unsafe_options(mount)
    if unsafe:
        return warn(
            "mount",
            f"{where} with {', '.join(unsafe)}: after a power cut files may hold what they held before, or "
            "rubbish",
            *(f"sudo mount -o remount,barrier=1 {point}" for _ in "1" if "data=writeback" not in unsafe),
            f"sudoedit /etc/fstab  # take {', '.join(unsafe)} out, then: sudo reboot",
        )
    return ok("mount", where)


def _unsafe_options(mount: Mount) -> list[str]:
    # https://docs.kernel.org/admin-guide/ext4.html
    return sorted(mount.options & {"data=writeback", "nobarrier", "barrier=0"})


def _without_overlay(machine: Machine) -> tuple[str, ...]:
    if machine.exists("/usr/bin/raspi-config"):
        return ("sudo raspi-config nonint do_overlayfs 1 && sudo reboot  # 1 switches it off",)
    if machine.exists("/etc/overlayroot.conf"):
        return ("sudo overlayroot-chroot sed -i 's/^overlayroot=.*/overlayroot=\"\"/' /etc/overlayroot.conf",)
    return ("findmnt -T /var/lib/edge-ad  # a volume or a partition of its own there keeps it",)


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes / 1e3:.0f} KB"
