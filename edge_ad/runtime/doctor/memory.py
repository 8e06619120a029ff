"""Whether there is memory for the agent, and what happens when there is none."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from edge_ad.runtime.doctor.finding import Finding, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine
from edge_ad.runtime.doctor.mounts import mount_of

LEAST_MB = 100.0
"""The agent takes some 60 MB; the rest is for installing an update while it runs."""


def memory(machine: Machine) -> Iterator[Finding]:
    """Memory, swap, and the controller that a unit's limits rely on."""
    yield _available(machine)
    yield _swap(machine)
    yield _controller(machine)


def _available(machine: Machine) -> Finding:
    for line in machine.lines("/proc/meminfo"):
        found = re.match(r"MemAvailable:\s*([0-9]{1,15}) kB", line)
        if found:
            available_mb = int(found[1]) * 1024 / 1e6
            text = f"{available_mb:.0f} MB are available"
            if available_mb >= LEAST_MB:
                return ok("memory", text)
            return warn(
                "memory",
                f"{text}: the agent needs some 60 MB, and the system ends programs when there is none left",
                "ps -eo rss,comm --sort=-rss | head -n 10",
                "sudo systemctl set-default multi-user.target  # no desktop from the next start",
            )
    return skip("memory", "the kernel does not tell how much is available")


def _swap(machine: Machine) -> Finding:
    rows = [line.split() for line in machine.lines("/proc/swaps")[1:]]
    places = [row[0] for row in rows if len(row) >= 2 and row[0].startswith("/")]
    on_cards = [place for place in places if _is_on_card(machine, place)]
    if on_cards:
        name = shlex.quote(on_cards[0])
        dphys = machine.exists("/etc/dphys-swapfile")
        return warn(
            "swap",
            f"{', '.join(on_cards)} is on an SD card: it wears the card, and a decision that waits for it "
            "comes late",
            "sudo systemctl disable --now dphys-swapfile"
            if dphys
            else f"sudo swapoff {name}  # and /etc/fstab",
            "sudo apt-get install -y zram-tools  # compressed memory instead",
        )
    return ok("swap", ", ".join(places) if places else "none")


def _is_on_card(machine: Machine, place: str) -> bool:
    if place.startswith("/dev/"):
        return place.startswith("/dev/mmcblk")
    mount = mount_of(machine, Path(place).parent) if "\0" not in place else None
    return mount is not None and mount.is_sd_card


def _controller(machine: Machine) -> Finding:
    unified = machine.text("/sys/fs/cgroup/cgroup.controllers")
    if unified is not None and "memory" in unified.split():
        return ok("memory-limits", "a unit's MemoryMax= is kept")
    legacy = [line.split() for line in machine.lines("/proc/cgroups")]
    row = next((row for row in legacy if row[:1] == ["memory"]), None)
    if unified is None and row is not None and row[-1] == "1":
        return ok("memory-limits", "a unit's MemoryMax= is kept")
    if not machine.is_pi or (unified is None and not legacy):
        return skip("memory-limits", "the kernel does not tell whether a unit's MemoryMax= is kept")
    # Off by default on a Pi: https://github.com/raspberrypi/linux/pull/6439
    boot = (
        "/boot/firmware/cmdline.txt" if machine.exists("/boot/firmware/cmdline.txt") else "/boot/cmdline.txt"
    )
    return warn(
        "memory-limits",
        "the kernel does not count memory by unit: MemoryMax= of edge-ad-agent.service has no effect",
        f"sudo sed -i '1s/$/ cgroup_enable=memory/' {boot} && sudo reboot",
    )
