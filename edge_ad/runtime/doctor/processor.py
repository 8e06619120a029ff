"""Whether the processor runs at full clock: governor, power supply, temperature."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from edge_ad.runtime.doctor.account import READ, WRITE
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
UNDER_VOLTAGE = 1 << 0
_NOW = {
    UNDER_VOLTAGE: "under-voltage",
    1 << 1: "the clock is capped",
    1 << 2: "throttled",
    1 << 3: "the soft temperature limit is active",
}
_SINCE_BOOT = {
    1 << 16: "under-voltage",
    1 << 17: "the clock was capped",
    1 << 18: "throttled",
    1 << 19: "the soft temperature limit was active",
}
WARM_C, HOT_C = 70.0, 80.0
"""From 80 °C on, a Raspberry Pi throttles."""
_PLAUSIBLE_C = (-40.0, 150.0)
_GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_OWN_SCALING = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers for which `powersave` is not the lowest clock but the processor's own choice.

https://docs.kernel.org/admin-guide/pm/intel_pstate.html
"""
_COOLER = "give the board a heat sink, a fan, or more air"
_SUPPLY = "use the power supply that was made for the board, with a short cable, and less on its USB ports"
_LOOK_AGAIN = "vcgencmd get_throttled  # 0x0 is good; after a restart, and some hours later"


def processor(machine: Machine) -> Iterator[Finding]:
    """Governor, power and temperature."""
    yield _governor(machine)
    yield _power(machine)
    yield _temperature(machine)


def _governor(machine: Machine) -> Finding:
    found = {}
    for path in machine.matches(_GOVERNORS):
        governor = machine.text(path)
        if governor:
            found[governor] = path.rpartition("/")[0]
    if not found:
        return skip("governor", "the kernel does not scale the processor's clock here, or does not tell")
    slow = sorted(name for name in found if name != "performance")
    if not slow:
        return ok("governor", "performance: the processor always runs at full clock")
    folder = found[slow[0]]
    driver = machine.text(f"{folder}/scaling_driver") or ""
    if driver in _OWN_SCALING:
        return ok("governor", f"{', '.join(slow)}, and the processor chooses its clock itself ({driver})")
    return warn(
        "governor",
        f"{', '.join(slow)}: {_clocks(machine, folder)}. Decisions stay the same, but take longer, and not "
        "always equally long",
        f"echo performance | sudo tee {_GOVERNORS}",
        *_persistently(machine),
    )


def _clocks(machine: Machine, folder: str) -> str:
    low, high = (machine.integer(f"{folder}/cpuinfo_{which}_freq") for which in ("min", "max"))
    if not low or not high or low >= high:
        return "the clock is low when a sample comes"
    return f"the clock may be {low // 1000} MHz instead of {high // 1000} MHz when a sample comes"


def _persistently(machine: Machine) -> Iterator[str]:
    # `w` lines take shell patterns; see tmpfiles.d(5)
    line = f"w {_GOVERNORS} - - - - performance"
    yield f"echo '{line}' | sudo tee /etc/tmpfiles.d/edge-ad-governor.conf  # at every start"
    # Raspberry Pi OS has a service that sets the governor later than that.
    if "scaling_governor" in (machine.text("/etc/init.d/raspi-config") or ""):
        yield "sudo systemctl disable raspi-config.service  # it sets ondemand at every start"


def _power(machine: Machine) -> Finding:
    flags = _throttled(machine)
    if isinstance(flags, Finding):
        return flags
    now = [name for bit, name in _NOW.items() if flags & bit]
    before = [name for bit, name in _SINCE_BOOT.items() if flags & bit]
    since = f"since the start: {', '.join(before)}" if before else ""
    if flags & UNDER_VOLTAGE:
        return fail(
            "power",
            f"now: {', '.join(now)} ({flags:#x}); {since or 'not before'}. Under-voltage damages files on "
            f"the SD card: {_SUPPLY}",
            _LOOK_AGAIN,
        )
    if not now and not before:
        return ok("power", "no under-voltage and no throttling since the start")
    cure = _SUPPLY if any("voltage" in name for name in before) else _COOLER
    text = "; ".join(part for part in (f"now: {', '.join(now)}" if now else "", since) if part)
    return warn("power", f"{text} ({flags:#x}): {cure}", _LOOK_AGAIN)


def _throttled(machine: Machine) -> int | Finding:
    """The firmware's flags; or why they are not known."""
    answer = machine.run("vcgencmd", "get_throttled")
    if answer is not None:
        found = re.search(r"throttled=0x([0-9a-fA-F]{1,8})\b", answer.text)
        if found:
            return int(found[1], 16)
        device = machine.status("/dev/vcio")
        if device is not None and not machine.account.may(READ | WRITE, device):
            return skip(
                "power",
                f"{machine.account.name} may not ask the firmware (group video)",
                f"sudo usermod -aG video {shlex.quote(machine.account.name)}  # then log in anew",
            )
    # Only under-voltage, and only now: https://docs.kernel.org/hwmon/raspberrypi-hwmon.html
    for path in machine.matches("/sys/class/hwmon/hwmon*/name"):
        if machine.text(path) == "rpi_volt":
            alarm = machine.integer(f"{path.rpartition('/')[0]}/in0_lcrit_alarm")
            if alarm is not None:
                return UNDER_VOLTAGE if alarm else 0
    # Last, since the kernel complains of whoever reads it: https://github.com/raspberrypi/linux/pull/2706
    flags = machine.text("/sys/devices/platform/soc/soc:firmware/get_throttled")
    if flags is not None and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", flags):
        return int(flags, 16)
    if machine.is_pi:
        return skip(
            "power",
            "the firmware cannot be asked whether the supply holds its voltage",
            "sudo apt-get install -y raspi-utils-core || sudo apt-get install -y libraspberrypi-bin",
        )
    return skip("power", "this board does not tell whether its supply holds its voltage")


def _temperature(machine: Machine) -> Finding:
    zones = machine.matches("/sys/class/thermal/thermal_zone[0-9]*/temp")
    degrees = [value / 1000 for value in map(machine.integer, zones) if value is not None]
    low, high = _PLAUSIBLE_C
    degrees = [value for value in degrees if low < value < high]
    if not degrees:
        return skip("temperature", "no sensor tells it")
    hottest = max(degrees)
    text = f"{hottest:.0f} °C"
    again = "cat /sys/class/thermal/thermal_zone*/temp  # thousandths of a degree"
    if hottest >= HOT_C:
        return warn("temperature", f"{text}: so hot that the clock is slowed down; {_COOLER}", again)
    if hottest >= WARM_C:
        return warn(
            "temperature", f"{text}: near {HOT_C:g} °C, where the clock is slowed down; {_COOLER}", again
        )
    return ok("temperature", text)
