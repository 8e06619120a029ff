"""What a Raspberry Pi's firmware says of its supply and its clock: now, and since the start."""

from __future__ import annotations

import re

from edge_ad.bench.host import Host

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
UNDER_VOLTAGE = 1 << 0
CAPPED = 1 << 1
THROTTLED = 1 << 2
SOFT_LIMIT = 1 << 3
NOW = {
    UNDER_VOLTAGE: "under-voltage",
    CAPPED: "the clock is capped",
    THROTTLED: "throttled",
    SOFT_LIMIT: "the soft temperature limit is active",
}
SINCE_BOOT = {
    UNDER_VOLTAGE << 16: "under-voltage",
    CAPPED << 16: "the clock was capped",
    THROTTLED << 16: "throttled",
    SOFT_LIMIT << 16: "the soft temperature limit was active",
}
SUPPLY = "use the power supply that was made for the board, with a short cable, and less on its USB ports"
LOOK_AGAIN = "vcgencmd get_throttled  # 0x0 is good; after a restart, and some hours later"


def named(flags: int, names: dict[int, str]) -> list[str]:
    """In words what is set, of `NOW` or of `SINCE_BOOT`."""
    return [name for bit, name in names.items() if flags & bit]


def read_flags(host: Host) -> int | None:
    """The flags, from the firmware or from the kernel; None where neither tells."""
    answer = host.run("vcgencmd", "get_throttled")
    flags = None if answer is None else parse_flags(answer.text)
    return kernel_flags(host) if flags is None else flags


def parse_flags(answer: str) -> int | None:
    """The flags in what `vcgencmd get_throttled` prints."""
    found = re.search(r"throttled=0x([0-9a-fA-F]{1,8})\b", answer)
    return int(found[1], 16) if found else None


def kernel_flags(host: Host) -> int | None:
    """What the kernel knows of the flags."""
    # Only under-voltage, and only now: https://docs.kernel.org/hwmon/raspberrypi-hwmon.html
    for path in host.matches("/sys/class/hwmon/hwmon*/name"):
        if host.text(path) == "rpi_volt":
            alarm = host.integer(f"{path.rpartition('/')[0]}/in0_lcrit_alarm")
            if alarm is not None:
                return UNDER_VOLTAGE if alarm else 0
    # Last, since the kernel complains of whoever reads it: https://github.com/raspberrypi/linux/pull/2706
    text = host.text("/sys/devices/platform/soc/soc:firmware/get_throttled")
    if text is not None and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text):
        return int(text, 16)
    return None
