"""What each root is: the data the builder works from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

BASE = ("ca-certificates", "dbus", "openssh-server", "python3", "python3-venv", "sudo", "systemd-sysv")
"""What every root holds besides Debian's required packages; a fresh Raspberry Pi OS Lite has them too."""

_BUILD_VERSION = 1
"""To be raised when a root made by the same recipe would come out differently."""


@dataclass(frozen=True)
class Recipe:
    """One root file system."""

    name: str
    architecture: str
    """As Debian calls it: arm64, armhf, amd64."""
    machine: str
    """What `uname -m` and `platform.machine()` say inside."""
    suite: str
    python: str
    """Version of /usr/bin/python3, major.minor (Debian: package python3)."""
    packages: tuple[str, ...] = BASE

    @property
    def digest(self) -> str:
        """Changes with anything that makes the root come out differently."""
        text = json.dumps([_BUILD_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


ROOTS: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe("arm64-bookworm", "arm64", "aarch64", "bookworm", "3.11"),
            Recipe("arm64-trixie", "arm64", "aarch64", "trixie", "3.13"),
            # The package index has no numpy for 32-bit boards: they take Debian's own.
            Recipe("armhf-bookworm", "armhf", "armv7l", "bookworm", "3.11", (*BASE, "python3-numpy")),
            Recipe("amd64-bookworm", "amd64", "x86_64", "bookworm", "3.11"),
        )
    }
)
"""Every root, by name."""
