"""How hot the processor is, and from where on that costs speed."""

from __future__ import annotations

from edge_ad.bench.host import Host

WARM_C, HOT_C = 70.0, 80.0
"""From 80 °C on, a Raspberry Pi throttles.

https://www.raspberrypi.com/documentation/computers/config_txt.html#overclocking
"""
COOLER = "give the board a heat sink, a fan, or more air"
LOOK_AGAIN = "cat /sys/class/thermal/thermal_zone*/temp  # thousandths of a degree"
_PLAUSIBLE_C = (-40.0, 150.0)


def hottest_c(host: Host) -> float | None:
    """Degrees of the hottest sensor; None where there is none, or none that makes sense."""
    zones = host.matches("/sys/class/thermal/thermal_zone[0-9]*/temp")
    degrees = [value / 1000 for value in map(host.integer, zones) if value is not None]
    low, high = _PLAUSIBLE_C
    return max((value for value in degrees if low < value < high), default=None)
