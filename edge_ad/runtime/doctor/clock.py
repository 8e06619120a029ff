"""Whether the clock can be believed, now and in the first minutes after a start."""

from __future__ import annotations

import ctypes
import re
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine

EARLIEST_YEAR = 2024
"""No board that runs this program was last set before it."""
_WAIT = "systemd-time-wait-sync.service"
_STA_UNSYNC = 0x40
"""adjtimex(2)"""
_SYNCHRONISE = "sudo timedatectl set-ntp true"


def clock(machine: Machine) -> Iterator[Finding]:
    """The date, who keeps it right, what becomes of it without power, and the time zone."""
    yield from _year(machine)
    shown = machine.run("timedatectl", "show")
    values = shown.values() if shown is not None and shown.code == 0 else {}
    yield _synchronised(machine, values)
    yield _real_time_clock(machine)
    yield _zone(machine, values)


def _year(machine: Machine) -> Iterator[Finding]:
    moment = time.gmtime(max(0.0, min(machine.now(), 1e11)))
    if moment.tm_year < EARLIEST_YEAR:
        yield fail(
            "date",
            f"the clock says {time.strftime('%Y-%m-%d %H:%M', moment)} UTC: decisions and events would "
            "bear that date, and certificates not be valid yet",
            _SYNCHRONISE,
            "sudo date -u --set 'YYYY-MM-DD HH:MM'  # without a network",
        )


def _synchronised(machine: Machine, values: dict[str, str]) -> Finding:
    said = values.get("NTPSynchronized")
    synchronised = {"yes": True, "no": False}.get(said or "")
    if not synchronised and (chrony := machine.run("chronyc", "-n", "tracking")) is not None:
        # chrony tells the kernel only where its configuration says rtcsync.
        synchronised = synchronised or bool(re.search(r"^Leap status\s*: Normal", chrony.text, re.MULTILINE))
    if synchronised is None and machine.is_this_one:
        synchronised = _kernel_says()
    if synchronised is None:
        return skip("clock", "nothing tells whether it is synchronised", "timedatectl status")
    if synchronised:
        return ok("clock", "synchronised with a time server")
    if values.get("NTP") == "yes":
        return warn(
            "clock",
            "not synchronised, though a service for it runs: no time server was reached",
            "timedatectl timesync-status || chronyc sources",
            "ping -c 1 pool.ntp.org",
        )
    return warn(
        "clock",
        "not synchronised: it drifts by seconds a day, and nobody can say when an alarm was",
        _SYNCHRONISE,
        "sudo apt-get install -y systemd-timesyncd  # where that fails",
    )


def _kernel_says() -> bool | None:
    """Whether the kernel holds its clock for synchronised; None where it cannot be asked."""
    # struct timex begins with `unsigned modes; long offset, freq, maxerror, esterror; int status`; with
    # modes 0 it is only filled in. Twice as long as any C library's.
    buffer = ctypes.create_string_buffer(512)
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    if adjtimex(buffer) < 0:
        return None
    offset = 5 * ctypes.sizeof(ctypes.c_long)
    status = int.from_bytes(buffer.raw[offset : offset + 4], sys.byteorder)
    return not status & _STA_UNSYNC


def _real_time_clock(machine: Machine) -> Finding:
    if machine.exists("/dev/rtc0") or machine.exists("/sys/class/rtc/rtc0"):
        return ok(
            "real-time-clock", "there is one: the clock goes on without power, where its battery is good"
        )
    if " hypervisor" in (machine.text("/proc/cpuinfo") or ""):
        return skip(
            "real-time-clock", "none, but this is a virtual machine, which gets the time from its host"
        )
    waiting = machine.run("systemctl", "is-enabled", _WAIT)
    if waiting is not None and waiting.text.strip() == "enabled":
        return ok("real-time-clock", "none, but services that ask for it wait for a time server at the start")
    return warn(
        "real-time-clock",
        "none: after a power cut the clock goes on where it stood, until a time server is reached; then it "
        "jumps, and the window begins anew",
        f"sudo systemctl enable {_WAIT}  # units with After=time-sync.target then wait",
    )


def _zone(machine: Machine, values: dict[str, str]) -> Finding:
    link = machine.link("/etc/localtime") or ""
    name = values.get("Timezone") or machine.text("/etc/timezone") or link.partition("zoneinfo/")[2]
    if not name:
        return skip("time-zone", "not known")
    try:
        zone = ZoneInfo(name)
        year = time.gmtime(max(0.0, min(machine.now(), 1e11))).tm_year
        offsets = {datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)}
    # what is no name of a zone raises many things: KeyError (ZoneInfoNotFoundError), ValueError, OSError
    except (KeyError, ValueError, OSError):
        return skip("time-zone", f"{name}, which is no zone that Python knows")
    if len(offsets) == 1:
        return ok("time-zone", f"{name}, the same all year")
    return ok(
        "time-zone",
        f"{name}, with summer time: sensors that write local time without its zone jump by an hour twice a "
        "year",
    )
