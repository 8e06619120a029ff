"""What the machine is on which something was measured, as far as it tells."""

from __future__ import annotations

import os
import platform
import re
import struct
from dataclasses import dataclass

from edge_ad.bench.architecture import python_architecture
from edge_ad.bench.emulation import hypervisor, translator
from edge_ad.bench.host import Host
from edge_ad.bench.machine_state import MachineState, machine_state

_CORES = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xd03": "Cortex-A53",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}
"""Arm's part numbers of the cores of Raspberry Pis, named as lscpu(1) does."""


@dataclass(frozen=True)
class MachineFacts:
    """Facts that decide whether two measurements can be compared. None: the machine does not say."""

    cpu_model: str | None
    board: str | None
    """Board name from the device tree: `Raspberry Pi 4 Model B Rev 1.4`."""
    architecture: str
    """That this Python is built for: `armv7l` for a 32-bit one on a 64-bit kernel."""
    n_cpus: int
    max_frequency_khz: int | None
    """The highest clock of any processor; an overclocked board says so."""
    kernel: str
    memory_bytes: int | None
    python: str
    translator: str | None
    """What translates instructions for another processor; None where the processor runs them itself."""
    hypervisor: str | None
    """None where it is no virtual machine."""
    state: MachineState

    @property
    def title(self) -> str:
        """The board, or without one the processor."""
        return self.board or self.cpu_model or self.architecture


def machine_facts(host: Host | None = None) -> MachineFacts:
    """Collect the facts now; nothing here fails where a fact is not to be had."""
    host = host or Host()
    architecture = python_architecture(platform.machine(), 8 * struct.calcsize("P"))
    return MachineFacts(
        cpu_model=_cpu_model(host),
        board=host.board() or None,
        architecture=architecture,
        n_cpus=os.cpu_count() or 1,
        max_frequency_khz=_max_frequency(host),
        kernel=platform.release(),
        memory_bytes=_memory_bytes(host),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        translator=translator(host, architecture),
        hypervisor=hypervisor(host),
        state=machine_state(host),
    )


def _cpu_model(host: Host) -> str | None:
    said: dict[str, str] = {}
    for line in host.lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        said.setdefault(key.strip(), value.strip())
    if "model name" in said:
        return said["model name"]
    part = said.get("CPU part")
    if part:
        return _CORES.get(part.lower(), f"{said.get('CPU implementer', '')} {part}".strip())
    return said.get("Model") or platform.processor() or None


def _max_frequency(host: Host) -> int | None:
    pattern = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq"
    return max((value for value in map(host.integer, host.matches(pattern)) if value), default=None)


def _memory_bytes(host: Host) -> int | None:
    for line in host.lines("/proc/meminfo"):
        found = re.match(r"MemTotal:\s*([0-9]{1,15}) kB", line)
        if found:
            return int(found[1]) * 1024
    return None
