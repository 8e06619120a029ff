"""Which file system a folder lies on, and how it is mounted."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge_ad.runtime.doctor.machine import Machine

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of `/proc/self/mounts`; see fstab(5) for what its fields are."""

    device: str
    point: str
    """Folder that it is mounted on."""
    kind: str
    """Of file system: `ext4`."""
    options: frozenset[str]

    def option(self, name: str) -> str | None:
        """What an option of the form `name=value` is set to."""
        found = (option.partition("=") for option in self.options)
        return next((value for key, separator, value in found if separator and key == name), None)

    @property
    def is_sd_card(self) -> bool:
        """Whether its device is an SD card or eMMC."""
        return self.device.startswith("/dev/mmcblk")


def mounts(machine: Machine) -> list[Mount]:
    """All of them, in the order in which they were made."""
    rows = (line.split() for line in machine.lines("/proc/self/mounts"))
    return [
        Mount(_unescaped(row[0]), _unescaped(row[1]), row[2], frozenset(row[3].split(",")))
        for row in rows
        if len(row) >= 4
    ]


def mount_of(machine: Machine, folder: Path) -> Mount | None:
    """The mount that a folder lies on; the last one, where several are on the same point."""
    real = os.path.realpath(folder)
    best = None
    for mount in mounts(machine):
        point = mount.point.rstrip("/")
        is_above = real == point or real.startswith(f"{point}/")
        if is_above and (best is None or len(point) >= len(best.point.rstrip("/"))):
            best = mount
    return best


def _unescaped(field: str) -> str:
    # Blanks and the like are written as \040.
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)
