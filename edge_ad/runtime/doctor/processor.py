"""Whether the processor runs at full clock: governor, power supply, temperature."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from edge_ad.bench import firmware_flags, temperature
from edge_ad.bench.firmware_flags import NOW, SINCE_BOOT, SUPPLY, UNDER_VOLTAGE, named
from edge_ad.bench.governor import FULL_CLOCK, clock_range, full_clock_commands, governors, own_scaling
from edge_ad.bench.temperature import COOLER, HOT_C, WARM_C
from edge_ad.runtime.doctor.account import READ, WRITE
from edge_ad.runtime.doctor.finding import Finding, fail, ok, skip, warn
from edge_ad.runtime.doctor.machine import Machine


def processor(machine: Machine) -> Iterator[Finding]:
    """Governor, power and temperature."""
    yield _governor(machine)
    yield _power(machine)
    yield _temperature(machine)


def _governor(machine: Machine) -> Finding:
    found = governors(machine)
    if not found:
        return skip("governor", "the kernel does not scale the processor's clock here, or does not tell")
    slow = sorted(name for name in found if name != FULL_CLOCK)
    if not slow:
        return ok("governor", "performance: the processor always runs at full clock")
    folder = found[slow[0]]
    driver = own_scaling(machine, folder)
    if driver:
        return ok("governor", f"{', '.join(slow)}, and the processor chooses its clock itself ({driver})")
    return warn(
        "governor",
        f"{', '.join(slow)}: {clock_range(machine, folder)}. Decisions stay the same, but take longer, and "
        "not always equally long",
        *full_clock_commands(machine),
    )


def _power(machine: Machine) -> Finding:
    flags = _throttled(machine)
    if isinstance(flags, Finding):
        return flags
    now, before = named(flags, NOW), named(flags, SINCE_BOOT)
    since = f"since the start: {', '.join(before)}" if before else ""
    if flags & UNDER_VOLTAGE:
        return fail(
            "power",
            f"now: {', '.join(now)} ({flags:#x}); {since or 'not before'}. Under-voltage damages files on "
            f"the SD card: {SUPPLY}",
            firmware_flags.LOOK_AGAIN,
        )
    if not now and not before:
        return ok("power", "no under-voltage and no throttling since the start")
    cure = SUPPLY if any("voltage" in name for name in before) else COOLER
    text = "; ".join(part for part in (f"now: {', '.join(now)}" if now else "", since) if part)
    return warn("power", f"{text} ({flags:#x}): {cure}", firmware_flags.LOOK_AGAIN)


def _throttled(machine: Machine) -> int | Finding:
    """The firmware's flags; or why they are not known."""
    answer = machine.run("vcgencmd", "get_throttled")
    if answer is not None:
        flags = firmware_flags.parse_flags(answer.text)
        if flags is not None:
            return flags
        device = machine.status("/dev/vcio")
        if device is not None and not machine.account.may(READ | WRITE, device):
            return skip(
                "power",
                f"{machine.account.name} may not ask the firmware (group video)",
                f"sudo usermod -aG video {shlex.quote(machine.account.name)}  # then log in anew",
            )
    flags = firmware_flags.kernel_flags(machine)
    if flags is not None:
        return flags
    if machine.is_pi:
        return skip(
            "power",
            "the firmware cannot be asked whether the supply holds its voltage",
            "sudo apt-get install -y raspi-utils-core || sudo apt-get install -y libraspberrypi-bin",
        )
    return skip("power", "this board does not tell whether its supply holds its voltage")


def _temperature(machine: Machine) -> Finding:
    hottest = temperature.hottest_c(machine)
    if hottest is None:
        return skip("temperature", "no sensor tells it")
    text = f"{hottest:.0f} °C"
    if hottest >= HOT_C:
        cure = f"so hot that the clock is slowed down; {COOLER}"
        return warn("temperature", f"{text}: {cure}", temperature.LOOK_AGAIN)
    if hottest >= WARM_C:
        cure = f"near {HOT_C:g} °C, where the clock is slowed down; {COOLER}"
        return warn("temperature", f"{text}: {cure}", temperature.LOOK_AGAIN)
    return ok("temperature", text)
