"""What a board is, and what it has of edge_ad already."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edge_ad.runtime.doctor.disks import nearest, space_of
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.install import systemd
from edge_ad.runtime.install.bundles import ActiveFact, active_bundles
from edge_ad.runtime.install.layout import Layout


@dataclass(frozen=True)
class BoardFacts:
    """As the board itself tells."""

    board: str
    """Name from the device tree; empty where there is none."""
    os_id: str
    """Such as `debian` or `raspbian`."""
    os_name: str
    """Such as `bookworm`; empty where the system has no code name."""
    os_title: str
    kernel_machine: str
    machine: str
    """That packages must be built for: `armv7l` for a 32-bit system on a 64-bit kernel."""
    python: tuple[int, int, int]
    libc: tuple[str, str]
    memory_mb: int | None
    n_cpus: int
    free_bytes: int | None
    """Where environments go."""
    has_systemd: bool
    prefix: str
    store: str
    release: str | None
    """Id of the one in service."""
    releases: tuple[str, ...]
    """All that are whole."""
    bundles: dict[str, ActiveFact]
    has_config: bool
    service: str
    """What systemd says of the agent; empty where it does not know it."""


def collect(layout: Layout) -> BoardFacts:
    """Look. Nothing is changed."""
    machine, python = Machine(), PythonFacts.here()
    release = dict(
        line.split("=", 1) for line in machine.lines("/etc/os-release") if "=" in line and line[0] != "#"
    )
    os_facts = {key: value.strip("\"' ") for key, value in release.items()}
    space = space_of(nearest(layout.releases))
    found = systemd.show() if systemd.is_there() else {}
    return BoardFacts(
        board=machine.board(),
        os_id=os_facts.get("ID", ""),
        os_name=os_facts.get("VERSION_CODENAME", ""),
        os_title=os_facts.get("PRETTY_NAME", platform.system()),
        kernel_machine=python.machine,
        machine=python.wheel_machine,
        python=python.version,
        libc=python.libc,
        memory_mb=_memory_mb(machine),
        n_cpus=os.cpu_count() or 1,
        free_bytes=space.free_bytes if space else None,
        has_systemd=systemd.is_there(),
        prefix=str(layout.prefix),
        store=str(layout.store),
        release=layout.release_in_service(),
        releases=_complete(layout),
        bundles=active_bundles(layout.store),
        has_config=layout.config.exists(),
        service=found.get("ActiveState", ""),
    )


def _complete(layout: Layout) -> tuple[str, ...]:
    try:
        names = sorted(path.name for path in Path(layout.releases).iterdir())
    except OSError:
        return ()
    return tuple(name for name in names if layout.is_complete(name))


def _memory_mb(machine: Machine) -> int | None:
    for line in machine.lines("/proc/meminfo"):
        words = line.split()
        if words[:1] == ["MemTotal:"] and words[1].isdecimal():
            return int(words[1]) // 1000
    return None
