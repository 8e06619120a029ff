"""What changes while something is measured: clocks, temperature, supply, load."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from edge_ad.bench.firmware_flags import read_flags
from edge_ad.bench.host import Host
from edge_ad.bench.temperature import hottest_c

_IDLE, _IOWAIT, _STEAL = 3, 4, 7
"""Places in a processor's line of /proc/stat; see proc(5)."""


@dataclass(frozen=True)
class Clock:
    """Of one processor."""

    cpu: int
    governor: str | None
    frequency_khz: int | None


@dataclass(frozen=True)
class MachineState:
    """Read in a moment; None: the machine does not say."""

    clocks: tuple[Clock, ...]
    """Empty where the kernel does not scale the clock."""
    clock_changes: int | None
    """How often the clock has been changed since the start, all processors together."""
    temperature_c: float | None
    """Of the hottest sensor."""
    firmware_flags: int | None
    """Of a Raspberry Pi; see `firmware_flags`. 0 is good."""
    throttle_events: int | None
    """How often an x86 processor has slowed itself down for its temperature since the start."""
    load_1min: float | None
    busy_s: float | None
    """Processor time spent since the start, all processors and all programs together."""
    stolen_s: float | None
    """Processor time that a hypervisor has given to other machines."""


def machine_state(host: Host | None = None) -> MachineState:
    """Look now; nothing here fails where a fact is not to be had."""
    host = host or Host()
    busy_s, stolen_s = _processor_time(host)
    return MachineState(
        clocks=_clocks(host),
        clock_changes=_sum(host, "/sys/devices/system/cpu/cpufreq/policy*/stats/total_trans"),
        temperature_c=hottest_c(host),
        firmware_flags=read_flags(host),
        # https://docs.kernel.org/admin-guide/abi-testing.html, thermal_throttle
        throttle_events=_sum(host, "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"),
        load_1min=_load(host),
        busy_s=busy_s,
        stolen_s=stolen_s,
    )


def _clocks(host: Host) -> tuple[Clock, ...]:
    found = []
    for folder in host.matches("/sys/devices/system/cpu/cpu[0-9]*/cpufreq"):
        number = re.search(r"/cpu([0-9]{1,5})/", folder)
        if number:
            found.append(
                Clock(
                    int(number[1]),
                    host.text(f"{folder}/scaling_governor"),
                    host.integer(f"{folder}/scaling_cur_freq"),
                )
            )
    return tuple(sorted(found, key=lambda clock: clock.cpu))


def _sum(host: Host, pattern: str) -> int | None:
    numbers = [number for number in map(host.integer, host.matches(pattern)) if number is not None]
    return sum(numbers) if numbers else None


def _load(host: Host) -> float | None:
    word = (host.text("/proc/loadavg") or "").split(" ")[0]
    return float(word) if re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,4}", word) else None


def _processor_time(host: Host) -> tuple[float | None, float | None]:
    """Seconds of work, and seconds stolen."""
    for line in host.lines("/proc/stat"):
        words = line.split()
        if words[:1] != ["cpu"]:
            continue
        # the last two, of guests, are part of the first two
        ticks = [int(word) for word in words[1:9] if word.isdecimal()]
        if len(ticks) <= _IOWAIT:
            return None, None
        per_s = os.sysconf("SC_CLK_TCK")
        stolen = ticks[_STEAL] if len(ticks) > _STEAL else 0
        return (sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT] - stolen) / per_s, stolen / per_s
    return None, None
