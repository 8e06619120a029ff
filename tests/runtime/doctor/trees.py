"""Machines that are folders of files and a few small programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge_ad.runtime.doctor.account import Account
from edge_ad.runtime.doctor.interpreter_facts import PythonFacts
from edge_ad.runtime.doctor.machine import Machine

PI = Account(1000, "pi", frozenset({1000}))
NOW = 1_790_000_000.0  # September 2026
CPUFREQ = "/sys/devices/system/cpu/cpu{}/cpufreq/{}"
SYSTEMCTL = """
if [ "$1" = is-enabled ]; then echo {wait_sync}; exit; fi
printf '%s\\n' {properties}
"""
UNIT = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "WatchdogUSec": "1min",
    "NRestarts": "0",
    "User": "nobody-of-this-machine",
    "PrivateDevices": "yes",
}
AARCH64 = PythonFacts(
    version=(3, 11, 2),
    executable="/opt/edge-ad/bin/python",
    machine="aarch64",
    bits=64,
    libc=("glibc", "2.36"),
    in_environment=True,
    is_managed=False,
    packages={"numpy": "2.2.6", "ai-edge-litert": "2.3.0"},
)
ARMV7L = replace(AARCH64, machine="armv7l", bits=32, packages={"numpy": "1.24.2", "tflite-runtime": "2.14.0"})
ARMV6L = replace(AARCH64, machine="armv6l", bits=32, packages={"numpy": "1.24.2"})


@dataclass
class Tree:
    """A machine in a folder."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def write(self, path: str, content: str | bytes = "") -> None:
        """A file below the root."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def program(self, name: str, script: str) -> None:
        """A program of a few lines of shell."""
        self.programs.mkdir(parents=True, exist_ok=True)
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answers(self, name: str, text: str) -> None:
        """A program that prints the same whatever it is asked."""
        quoted = text.replace("'", "'\\''")
        self.program(name, f"printf '%s\\n' '{quoted}'")

    def unit(self, wait_sync: str = "enabled", **properties: str) -> None:
        """What systemd says of the agent's unit."""
        lines = " ".join(f"'{key}={value}'" for key, value in (UNIT | properties).items())
        self.program("systemctl", SYSTEMCTL.format(wait_sync=wait_sync, properties=lines))

    def machine(self, python: PythonFacts = AARCH64, account: Account = PI, now_s: float = NOW) -> Machine:
        """As the checks see it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.programs.mkdir(parents=True, exist_ok=True)
        return Machine(self.root, str(self.programs), account, python, now_s)


def pi(folder: Path, model: str = "Raspberry Pi 4 Model B Rev 1.4", n_processors: int = 4) -> Tree:
    """A Raspberry Pi on which all is well: the agent runs, the clock is right, the supply is strong."""
    tree = Tree(folder)
    tree.write("/proc/device-tree/model", f"{model}\0")
    tree.write("/proc/1/comm", "systemd\n")
    (tree.root / "run/systemd/system").mkdir(parents=True)
    for number in range(n_processors):
        for name, value in (
            ("scaling_governor", "performance"),
            ("scaling_driver", "cpufreq-dt"),
            ("cpuinfo_min_freq", "600000"),
            ("cpuinfo_max_freq", "1500000"),
        ):
            tree.write(CPUFREQ.format(number, name), f"{value}\n")
    tree.write("/sys/class/thermal/thermal_zone0/temp", "48200\n")
    tree.write("/proc/meminfo", "MemTotal:        3884340 kB\nMemAvailable:    3331264 kB\n")
    tree.write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 102396 0 100\n")
    tree.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    tree.write("/proc/self/mounts", "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\nproc /proc proc rw 0 0\n")
    tree.write("/etc/timezone", "Europe/Berlin\n")
    tree.answers("vcgencmd", "throttled=0x0")
    tree.answers("timedatectl", "Timezone=Europe/Berlin\nLocalRTC=no\nNTP=yes\nNTPSynchronized=yes")
    tree.answers("dpkg", "arm64")
    tree.unit()
    return tree


def by_check(findings):
    """Findings by the name of their check: the worst where there are several."""
    order = ["skip", "ok", "warn", "fail"]
    found = {}
    for finding in findings:
        known = found.get(finding.check)
        if known is None or order.index(finding.level) > order.index(known.level):
            found[finding.check] = finding
    return found
