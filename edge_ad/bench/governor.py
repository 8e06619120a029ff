"""Who chooses the processor's clock, and how to have it run at its highest."""

from __future__ import annotations

from collections.abc import Iterator

from edge_ad.bench.host import Host

FULL_CLOCK = "performance"
"""The governor that always chooses the highest clock: https://docs.kernel.org/admin-guide/pm/cpufreq.html"""
GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_OWN_SCALING = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers for which `powersave` is not the lowest clock but the processor's own choice.

https://docs.kernel.org/admin-guide/pm/intel_pstate.html
"""


def governors(host: Host) -> dict[str, str]:
    """Each governor that a processor has -> folder of such a processor; empty where the clock is fixed."""
    found = {}
    for path in host.matches(GOVERNORS):
        governor = host.text(path)
        if governor:
            found[governor] = path.rpartition("/")[0]
    return found


def own_scaling(host: Host, folder: str) -> str | None:
    """The driver under which a processor chooses its clock itself; None for others."""
    driver = host.text(f"{folder}/scaling_driver") or ""
    return driver if driver in _OWN_SCALING else None


def clock_range(host: Host, folder: str) -> str:
    """What a governor that saves power means for a sample."""
    low, high = (host.integer(f"{folder}/cpuinfo_{which}_freq") for which in ("min", "max"))
    if not low or not high or low >= high:
        return "the clock is low when a sample comes"
    return f"the clock may be {low // 1000} MHz instead of {high // 1000} MHz when a sample comes"


def full_clock_commands(host: Host) -> Iterator[str]:
    """Commands that set the governor now, and at every start."""
    yield f"echo {FULL_CLOCK} | sudo tee {GOVERNORS}"
    # `w` lines take shell patterns; see tmpfiles.d(5)
    line = f"w {GOVERNORS} - - - - {FULL_CLOCK}"
    yield f"echo '{line}' | sudo tee /etc/tmpfiles.d/edge-ad-governor.conf  # at every start"
    # Raspberry Pi OS has a service that sets the governor later than that.
    if "scaling_governor" in (host.text("/etc/init.d/raspi-config") or ""):
        yield "sudo systemctl disable raspi-config.service  # it sets ondemand at every start"
